import type { Random } from './random.ts';

/** Something that reads what strangers send. */
export interface Target {
  readonly name: string;
  /** What well-behaved peers send: mutation begins here. */
  readonly seeds: readonly (Buffer | string)[];
  /** Inputs are JSON: values of them are changed, too. */
  readonly isJson?: boolean;
  /** Words of the language, to be put in anywhere. */
  readonly tokens?: readonly string[];
  /**
   * Reads one input in every way there is.
   * @param random for cuts and the like
   * @throws when something does not hold
   */
  run(input: Buffer, random: Random): void | Promise<void>;
  /** Ends what `run` has started, and checks that nothing is left. */
  close?(): Promise<void>;
}
