import type { ControlError, Holder } from '../src/protocol/control.ts';

/** Why the agent did not do what a control request asked; becomes the response's `error`. */
export class RequestFailure extends Error {
  readonly code: string;
  readonly holder: Holder | undefined;

  constructor(code: string, message: string, holder?: Holder) {
    super(message);
    this.name = 'RequestFailure';
    this.code = code;
    this.holder = holder;
  }

  toControlError(): ControlError {
    const { code, message, holder } = this;
    return holder === undefined ? { code, message } : { code, message, holder };
  }
}
