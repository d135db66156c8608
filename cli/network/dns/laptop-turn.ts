import type { LookedUp } from '../types.ts';

/**
 * The laptop's turn to be asked about a candidate of the search list: only where no candidate before it exists. Otherwise
 * its resolver would be told every name of the cluster, and hold up a thread of ours with each.
 */
export interface LaptopTurn {
  /** The same for lookups that come to the same end, those of one name: for these, one question is enough. */
  readonly key: string;
  readonly comes: Promise<boolean>;
}

/**
 * The turn about the next candidate: it comes when `before` has come and `asking` finds nothing.
 * @param before undefined: `asking` is about the first candidate
 * @param key of the turn that is made
 */
export function nextTurn(
  before: LaptopTurn | undefined,
  asking: Promise<readonly LookedUp[] | 'failed'>,
  key: string,
): LaptopTurn {
  const comes = async (): Promise<boolean> => {
    if (before !== undefined && !(await before.comes)) return false;
    const found = await asking;
    return found === 'failed' || found.length === 0;
  };
  return { key, comes: comes() };
}
