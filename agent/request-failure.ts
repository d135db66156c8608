import type { Filter } from '../src/http/filter.ts';
import type { ControlError, Holder } from '../src/protocol/control.ts';

/** Why the agent did not do what a control request asked; becomes the response's `error`. */
export class RequestFailure extends Error {
  readonly code: string;
  readonly holder: Holder | undefined;
  readonly filter: Filter | undefined;

  /** @param filter what the holder has of the port; undefined: all of it */
  constructor(code: string, message: string, holder?: Holder, filter?: Filter) {
    super(message);
    this.name = 'RequestFailure';
    this.code = code;
    this.holder = holder;
    this.filter = filter;
  }

  toControlError(): ControlError {
    const { code, message, holder, filter } = this;
    return {
      code,
      message,
      ...(holder === undefined ? {} : { holder }),
      ...(filter === undefined ? {} : { filter }),
    };
  }
}
