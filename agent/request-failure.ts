import type { Filter } from '../src/http/filter.ts';
import type { ControlError, Holder, InTheWay } from '../src/protocol/control.ts';

/** Why the agent did not do what a control request asked; becomes the response's `error`. */
export class RequestFailure extends Error {
  readonly code: string;
  readonly holder: Holder | undefined;
  readonly filter: Filter | undefined;
  readonly others: readonly InTheWay[];
  readonly more: number;

  /**
   * @param filter what the holder has of the port; undefined: all of it
   * @param rest who else is in the way: some, and how many more
   */
  constructor(
    code: string,
    message: string,
    holder?: Holder,
    filter?: Filter,
    { others, more }: { readonly others: readonly InTheWay[]; readonly more: number } = { others: [], more: 0 },
  ) {
    super(message);
    this.name = 'RequestFailure';
    this.code = code;
    this.holder = holder;
    this.filter = filter;
    this.others = others;
    this.more = more;
  }

  toControlError(): ControlError {
    const { code, message, holder, filter, others, more } = this;
    return {
      code,
      message,
      ...(holder === undefined ? {} : { holder }),
      ...(filter === undefined ? {} : { filter }),
      ...(others.length === 0 ? {} : { others }),
      ...(more === 0 ? {} : { more }),
    };
  }
}
