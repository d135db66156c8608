import { build } from 'esbuild';
import { waitFor } from '../cluster/exec.ts';
import type { Caller } from './cluster.ts';

const FOLDER = new URL('./programs/', import.meta.url).pathname;

/**
 * A program of test/support/programs as one piece of ESM text, packages included: it runs where this repository is not,
 * in a pod or as a user who may not read it.
 * @param name the file's name without .ts
 */
export async function bundleProgram(name: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [`${FOLDER}${name}.ts`],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    minify: true,
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire('/');" },
  });
  const [file] = outputFiles;
  if (file === undefined) throw new Error(`no output for ${name}`);
  return file.text;
}

/**
 * Puts a program of test/support/programs into the caller pod.
 * @returns its path there: `node` runs it
 */
export async function storeProgram(caller: Caller, name: string): Promise<string> {
  const input = await bundleProgram(name);
  const file = `/tmp/${name}.mjs`;
  // kubectl exec loses the end of its input now and then: what arrived is counted.
  const store = async (): Promise<string | undefined> => {
    const { stdout } = await caller.exec(['sh', '-c', `cat > ${file} && wc -c < ${file}`], { input });
    return Number(stdout) === Buffer.byteLength(input) ? file : undefined;
  };
  return await waitFor(store, { timeoutMs: 60_000, onTimeout: () => new Error(`cannot store ${file} in the caller`) });
}
