import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import { ExecPlugin, type ExecPluginOptions, parseExecConfig } from '../../../cli/kube/exec-plugin.ts';
import { InterceptorError } from '../../../src/errors.ts';

const API_VERSION = 'client.authentication.k8s.io/v1';
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'exec-plugin-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** A plugin that appends a line to `runs` and then does `body` (shell). */
async function plugin(body: string, exec: object = {}, options: Partial<ExecPluginOptions> = {}): Promise<ExecPlugin> {
  const file = path.join(folder, 'login');
  await writeFile(file, `#!/bin/sh\necho run >> "${folder}/runs"\n${body}\n`);
  await chmod(file, 0o755);
  return new ExecPlugin(parseExecConfig({ apiVersion: API_VERSION, command: './login', ...exec }, 'ann'), {
    userName: 'ann',
    folder,
    cluster: { server: 'https://a' },
    base: { authorization: undefined, cert: undefined, key: undefined },
    interactive: false,
    ...options,
  });
}

function answer(status: object): string {
  return `cat <<'END'\n${JSON.stringify({ apiVersion: API_VERSION, kind: 'ExecCredential', status })}\nEND`;
}

async function runs(): Promise<number> {
  return (await readFile(path.join(folder, 'runs'), 'utf8')).trim().split('\n').length;
}

async function failure(promise: Promise<unknown>): Promise<InterceptorError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof InterceptorError, String(error));
  return error;
}

test('callers at the same time share one run, and its answer is kept', async () => {
  const login = await plugin(answer({ token: 'T' }));
  const all = await Promise.all([login.credentials(), login.credentials(), login.credentials()]);
  assert.deepEqual(new Set(all.map(({ authorization }) => authorization)), new Set(['Bearer T']));
  await login.credentials();
  assert.equal(await runs(), 1);
});

test('a token that has expired, or that the server refused, is asked for again', async () => {
  const login = await plugin(answer({ token: 'T', expirationTimestamp: new Date(Date.now() - 1000).toISOString() }));
  await login.credentials();
  await login.credentials();
  assert.equal(await runs(), 2);
  const lasting = await plugin(
    answer({ token: 'T', expirationTimestamp: new Date(Date.now() + 3600_000).toISOString() }),
  );
  const first = await lasting.credentials();
  assert.equal(lasting.forget(first), true);
  const second = await lasting.credentials();
  assert.equal(await runs(), 4);
  lasting.forget(first); // another caller's refusal of the old token comes late: the new one stays
  assert.equal(await lasting.credentials(), second);
  assert.equal(await runs(), 4);
});

test('the plugin gets its env and arguments, and KUBERNETES_EXEC_INFO with the cluster when it wants it', async () => {
  const body = `printf '%s' "$KUBERNETES_EXEC_INFO" > "${folder}/info"; printf '%s' "$MODE $1" > "${folder}/seen"\n${answer({ token: 'T' })}`;
  await (
    await plugin(body, { env: [{ name: 'MODE', value: 'x' }], args: ['get-token'], provideClusterInfo: true })
  ).credentials();
  assert.deepEqual(JSON.parse(await readFile(path.join(folder, 'info'), 'utf8')), {
    kind: 'ExecCredential',
    apiVersion: API_VERSION,
    spec: { interactive: false, cluster: { server: 'https://a' } },
  });
  assert.equal(await readFile(path.join(folder, 'seen'), 'utf8'), 'x get-token');
});

test('a client certificate with its key is taken', async () => {
  const login = await plugin(answer({ clientCertificateData: 'CERT', clientKeyData: 'KEY' }));
  assert.deepEqual(await login.credentials(), { authorization: undefined, cert: 'CERT', key: 'KEY' });
});

test('a failing plugin is reported with what it said, and not kept', async () => {
  const login = await plugin('echo "please run: login" >&2; exit 3');
  const error = await failure(login.credentials());
  assert.equal(error.code, 'CLUSTER_UNAUTHORIZED');
  assert.match(error.message, /login of user "ann" ended with exit code 3: please run: login/);
  await failure(login.credentials());
  assert.equal(await runs(), 2);
});

test('a plugin that is not installed shows its installHint', async () => {
  const error = await failure(
    (await plugin('', { command: 'no-such-plugin-here', installHint: 'brew install it\n' })).credentials(),
  );
  assert.match(error.message, /no-such-plugin-here of user "ann" was not found/);
  assert.equal(error.hint, 'brew install it');
});

test('an answer of another version, without credentials or not JSON is refused without showing it', async () => {
  const message = async (body: string): Promise<string> => (await failure((await plugin(body)).credentials())).message;
  assert.match(
    await message(`echo '{"apiVersion":"client.authentication.k8s.io/v1beta1","status":{"token":"s3cret"}}'`),
    /v1beta1/,
  );
  assert.match(await message(answer({})), /neither a token nor a client certificate/);
  const text = await message('echo s3cret');
  assert.match(text, /not JSON/);
  assert.doesNotMatch(text, /s3cret/);
});

test('a plugin that must ask questions is not started without a terminal', async () => {
  const error = await failure((await plugin(answer({ token: 'T' }), { interactiveMode: 'Always' })).credentials());
  assert.match(error.message, /stdin is not a terminal/);
});

test('a caller that gives up ends the run when nobody else waits', async () => {
  const login = await plugin(`exec sleep 60`);
  const stop = new AbortController();
  const waiting = login.credentials(stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  await rm(path.join(folder, 'login'));
  assert.match((await failure(login.credentials())).message, /was not found/); // a run of its own
});

test('an exec entry without command or version is an invalid kubeconfig', () => {
  for (const exec of [{}, { command: 'x' }, { command: 'x', apiVersion: 'v1' }, null, 'text']) {
    assert.throws(
      () => parseExecConfig(exec, 'ann'),
      (error) => error instanceof InterceptorError && error.code === 'KUBECONFIG_INVALID',
    );
  }
});

test('of what a plugin says the end is shown, and no end of a token in it', async () => {
  const token = `eyJhbGciOiJSUzI1NiJ9.${'a1b2c3d4'.repeat(90)}`; // longer than what is shown
  const short = await plugin(`echo "cannot log in: Bearer ${token}" >&2; exit 1`);
  assert.match((await failure(short.credentials())).message, /exit code 1: cannot log in: Bearer \[redacted\]$/);
  const long = await plugin(`echo "Bearer ${token.repeat(8)} is refused" >&2; exit 1`); // longer than what is kept
  assert.match((await failure(long.credentials())).message, /exit code 1: is refused$/);
});
