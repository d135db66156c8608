import { build } from 'esbuild';

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
