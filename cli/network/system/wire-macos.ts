import { readdir, readFile } from 'node:fs/promises';
import { isOwnResolverFile, planResolverFiles, planSearch } from './plan-macos.ts';
import type { Wiring, WiringOptions } from './wiring.ts';

const FOLDER = '/etc/resolver';

/** resolver(5) files and the dynamic store. */
export async function wireMacos({ journal, wish }: WiringOptions): Promise<Wiring> {
  // Files of other programs (a VPN's, minikube's) stay what they are.
  const files = async (): Promise<Set<string>> => {
    const paths = (await readdir(FOLDER).catch(() => [])).map((name) => `${FOLDER}/${name}`); // ENOENT: made by the plan
    const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8').catch(() => ''))); // unreadable: not ours
    return new Set(paths.filter((_path, index) => !isOwnResolverFile(texts[index] ?? '')));
  };
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
