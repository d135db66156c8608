import type { DialCode } from './types.ts';

/** A connection that was not made. */
export class DialError extends Error {
  readonly code: DialCode;

  constructor(code: DialCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DialError';
    this.code = code;
  }
}
