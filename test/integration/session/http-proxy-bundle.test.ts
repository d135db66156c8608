import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { test } from 'vitest';

test('the bundled http-proxy has no call that prints a deprecation warning on Node 22 or later', async () => {
  const plugins: { httpProxyPatches: Plugin } = await import(pathToFileURL('build-plugins.mjs').href);
  const { outputFiles } = await build({
    entryPoints: ['http-proxy'],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    plugins: [plugins.httpProxyPatches],
  });
  const text = outputFiles[0]?.text ?? '';
  assert.match(text, /deleteLength/); // it is http-proxy
  assert.doesNotMatch(text, /_extend/);
  assert.doesNotMatch(text, /\.parse\(req\.url\)/);
});
