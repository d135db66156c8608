import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { test } from 'vitest';
import { tryRun } from '../../cluster/exec.ts';

interface Bill {
  readonly metadata: { readonly component: { readonly name: string; readonly purl: string } };
  readonly components: readonly { readonly name: string; readonly scope: string }[];
}

test('the bill of materials is JSON, of kube-intercept whatever the folder is called, and has what is bundled alone', async () => {
  const { code, stdout, stderr } = await tryRun([
    process.execPath,
    fileURLToPath(new URL('../../../sbom.mjs', import.meta.url)),
  ]);
  assert.equal(code, 0, stderr);
  const { metadata, components } = JSON.parse(stdout) as Bill;
  assert.equal(metadata.component.name, 'kube-intercept');
  assert.match(metadata.component.purl, /^pkg:npm\/kube-intercept@/);
  const names = components.map(({ name }) => name);
  assert.ok(names.includes('ws') && names.includes('undici'), names.join(' '));
  assert.ok(!names.includes('vitest') && !names.includes('typescript'), names.join(' '));
  assert.ok(components.every(({ scope }) => scope === 'required'));
});
