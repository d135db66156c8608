import { readdir } from 'node:fs/promises';
import { planResolverFiles, planSearch } from './plan-macos.ts';
import type { Wiring, WiringOptions } from './wiring.ts';

const FOLDER = '/etc/resolver';

/** resolver(5) files and the dynamic store. */
export async function wireMacos({ journal, wish }: WiringOptions): Promise<Wiring> {
  // Files of other programs (a VPN's, minikube's) stay what they are.
  const files = async (): Promise<Set<string>> =>
    new Set((await readdir(FOLDER).catch(() => [])).map((name) => `${FOLDER}/${name}`)); // ENOENT: made by the plan
  let change = planResolverFiles(wish, await files());
  await journal.make(change);
  await journal.make(planSearch(wish));
  return {
    by: FOLDER,
    update: async (next) => {
      await journal.takeBack(change.what);
      change = planResolverFiles(next, await files());
      await journal.make(change);
    },
    close: () => {},
  };
}
