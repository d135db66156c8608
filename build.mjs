// Builds dist/: the agent as one file, the CLI and its guardian as ESM with lazy chunks.
import { chmod, readFile, rm } from 'node:fs/promises';
import { build } from 'esbuild';
import { slimClientNode } from './build-client-node.mjs';
import { httpProxyPatches } from './build-plugins.mjs';

const { version } = JSON.parse(await readFile(new URL('./package.json', import.meta.url), 'utf8'));
const outdir = new URL('./dist/', import.meta.url).pathname;

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
  define: { __VERSION__: JSON.stringify(version) },
  // Node >= 22 prints DEP0040 when a bundle loads its own punycode; the userland package is the same code.
  alias: { punycode: 'punycode/' },
  plugins: [httpProxyPatches, slimClientNode],
};

await rm(outdir, { recursive: true, force: true });
await Promise.all([
  build({
    ...common,
    entryPoints: { agent: 'agent/main.ts' },
    outdir,
    outExtension: { '.js': '.mjs' },
    banner: { js: requireBanner },
  }),
  build({
    ...common,
    entryPoints: { intercept: 'cli/main.ts', guardian: 'cli/session/guardian-main.ts' },
    outdir,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunks/[name]-[hash]',
    splitting: true,
    banner: { js: requireBanner },
  }),
]);
await chmod(new URL('./dist/intercept.mjs', import.meta.url), 0o755);
