// Builds dist/: the agent as one file, the CLI and its guardian as ESM with lazy chunks.
import { chmod, cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';
import { slimClientNode } from './build-client-node.mjs';
import { httpProxyPatches } from './build-plugins.mjs';

const { version } = JSON.parse(await readFile(new URL('./package.json', import.meta.url), 'utf8'));
const distDir = new URL('./dist', import.meta.url).pathname;
// Beside dist/ until it is complete: a test that copies dist/ meanwhile gets the old one, never half of one.
const cacheDir = new URL('./node_modules/.cache/', import.meta.url).pathname;
await mkdir(cacheDir, { recursive: true });
const workDir = await mkdtemp(`${cacheDir}build-`);
const outdir = `${workDir}/new`;

/** CommonJS dependencies call require() for Node's own modules; ESM output has none. */
const requireBanner =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

const common = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  minify: true,
  keepNames: true,
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
  define: { __VERSION__: JSON.stringify(version) },
  // Node >= 22 prints DEP0040 when a bundle loads its own punycode; the userland package is the same code.
  alias: { punycode: 'punycode/' },
  plugins: [httpProxyPatches, slimClientNode],
};

const built = await Promise.all([
  build({
    ...common,
    entryPoints: { agent: 'agent/main.ts' },
    outdir,
    outExtension: { '.js': '.mjs' },
    banner: { js: requireBanner },
  }),
  build({
    ...common,
    entryPoints: {
      intercept: 'cli/main.ts',
      guardian: 'cli/session/guardian-main.ts',
      'system-guardian': 'cli/network/system/guardian-main.ts',
    },
    outdir,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunks/[name]-[hash]',
    splitting: true,
    banner: { js: requireBanner },
  }),
  // Runs in the cluster, from a ConfigMap: one file.
  build({
    ...common,
    entryPoints: { janitor: 'cli/commands/janitor-main.ts' },
    outdir,
    outExtension: { '.js': '.mjs' },
    banner: { js: requireBanner },
  }),
  // Runs in the developer's own Node, which may be older than ours; no dependencies, CommonJS for --require.
  build({
    ...common,
    entryPoints: { preload: 'cli/network/proxy/preload/main.ts' },
    outdir,
    format: 'cjs',
    target: 'node18',
    outExtension: { '.js': '.cjs' },
  }),
]);
// Which packages are in it, by their folders: sbom.mjs reads it.
const inputs = built
  .flatMap(({ metafile }) => Object.values(metafile.outputs).flatMap((output) => Object.entries(output.inputs)))
  .flatMap(([input, { bytesInOutput }]) => (bytesInOutput > 0 ? [input] : []));
const folders = inputs.flatMap((input) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []);
await writeFile(`${cacheDir}bundled.json`, JSON.stringify([...new Set(folders)].sort()));
await chmod(`${outdir}/intercept.mjs`, 0o755);
await cp('deploy/janitor/janitor.yaml', `${outdir}/janitor.yaml`);
await cp('cli/network/namespace/inside', `${outdir}/inside`, { recursive: true });
await rename(distDir, `${workDir}/old`).catch(() => {}); // ENOENT: the first build
await rename(outdir, distDir);
await rm(workDir, { recursive: true });
