import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { tryRun } from '../../cluster/exec.ts';
import { NODE_MAJORS, nodeBinary } from '../../support/node-versions.ts';

const dist = (file: string): string => fileURLToPath(new URL(`../../../dist/${file}`, import.meta.url));
let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'kube-intercept-test-'));
});
afterAll(async () => await rm(home, { recursive: true, force: true }));

/** Code paths that load the whole program: help, the API client with an unreachable server, state files, the agent. */
const RUNS = [
  { args: [dist('intercept.mjs'), '--version'], code: 0, stderr: /^$/ },
  { args: [dist('intercept.mjs'), '--help'], code: 0, stderr: /^$/ },
  { args: [dist('intercept.mjs'), 'status'], code: 0, stderr: /^$/ },
  { args: [dist('intercept.mjs'), 'list'], code: 3, stderr: /^error: .*\nhint: .*\ncode: CLUSTER_UNREACHABLE\n$/ },
  {
    args: [dist('intercept.mjs'), 'web', '--port', 'x'],
    code: 2,
    stderr: /^error: .*\nhint: .*\ncode: USAGE_BAD_PORT\n$/,
  },
  { args: [dist('agent.mjs')], code: 1, stderr: /^$/ },
] as const;

describe.each(['this', ...NODE_MAJORS] as const)('on Node %s', (version) => {
  let node: string | undefined;
  beforeAll(async () => {
    node = version === 'this' ? process.execPath : await nodeBinary(version);
  }, 300_000);

  test.for(RUNS)('$args prints what it should and nothing of Node’s own', async ({ args, code, stderr }, context) => {
    if (node === undefined) context.skip('npm has no Node binary for this machine');
    const env = { HOME: home, PATH: process.env.PATH ?? '', KUBECONFIG: join(home, 'config') };
    await writeFile(env.KUBECONFIG, KUBECONFIG);
    const result = await tryRun([node ?? '', '--', ...args], { env, timeoutMs: 60_000 });
    assert.equal(result.code, code, result.stderr + result.stdout);
    assert.match(result.stderr, stderr);
    assert.doesNotMatch(result.stdout + result.stderr, /Warning|DEP\d{4}|node:internal/);
  });
});

const KUBECONFIG = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
  users: [{ name: 'u', user: { token: 't' } }],
  contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
  'current-context': 'c',
});
