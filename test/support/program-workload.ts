// Workloads whose program is a bundle, in a ConfigMap: the cluster's images hold Node and no packages.
import { chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleProgram } from './bundle.ts';
import type { Laptop } from './laptop.ts';
import type { Scene } from './scene.ts';
import type { WorkloadOptions } from './workloads.ts';

const FOLDER = '/program';

/**
 * Stores a program of test/support/programs in the namespace and tells what a workload needs to run it.
 * @returns options for scene.deploy(), to be merged with others
 */
export async function programWorkload(
  scene: Scene,
  program: string,
  args: readonly string[] = [],
): Promise<Required<Pick<WorkloadOptions, 'container' | 'podSpec'>>> {
  const name = `program-${program}`;
  const data = { 'main.mjs': await bundleProgram(program) };
  // Not by apply: what it keeps of the object in an annotation may be too long there.
  await scene.namespace.kubectl(['create', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data }),
  });
  return {
    container: {
      command: ['node', `${FOLDER}/main.mjs`, ...args],
      volumeMounts: [{ name: 'program', mountPath: FOLDER }],
    },
    podSpec: { volumes: [{ name: 'program', configMap: { name } }] },
  };
}

/** Stores a program of test/support/programs in the laptop's home. @returns its path: `node` runs it */
export async function laptopProgram(laptop: Laptop, program: string): Promise<string> {
  const file = join(laptop.home, `${program}.mjs`);
  await writeFile(file, await bundleProgram(program));
  await chown(file, laptop.uid, laptop.uid);
  return file;
}
