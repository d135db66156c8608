import { run } from './perform.ts';
import { planRules, planSuffixes, READ_SUFFIXES } from './plan-windows.ts';
import type { Wiring, WiringOptions } from './wiring.ts';

/** Rules of the Name Resolution Policy Table and the suffix list. */
export async function wireWindows({ journal, wish }: WiringOptions): Promise<Wiring> {
  const suffixes = (await run(READ_SUFFIXES)).split(/\r?\n/).flatMap((line) => line.trim() || []);
  let change = planRules(wish);
  await journal.make(change);
  await journal.make(planSuffixes(wish, suffixes));
  return {
    by: 'NRPT',
    update: async (next) => {
      await journal.takeBack(change.what);
      change = planRules(next);
      await journal.make(change);
    },
    close: () => {},
  };
}
