/** A message that is refused, since another reader might take it differently; `message` says what is wrong with it. */
export class BadMessage extends Error {
  readonly status: 400 | 431;

  constructor(reason: string, status: 400 | 431 = 400) {
    super(reason);
    this.name = 'BadMessage';
    this.status = status;
  }
}
