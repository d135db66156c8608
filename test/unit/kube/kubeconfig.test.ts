import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import { loadKubeConfig } from '../../../cli/kube/kubeconfig.ts';
import { proxyFor } from '../../../cli/kube/kubeconfig-proxy.ts';
import { InterceptorError } from '../../../src/errors.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'kubeconfig-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

interface Parts {
  contexts?: object[];
  clusters?: object[];
  users?: object[];
  'current-context'?: string;
}

/** A kubeconfig is YAML, and so JSON. */
async function write(name: string, parts: Parts | string): Promise<string> {
  const file = path.join(folder, name);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(
    file,
    typeof parts === 'string' ? parts : JSON.stringify({ apiVersion: 'v1', kind: 'Config', ...parts }),
  );
  return file;
}

function context(name: string, cluster = name, user = name, more: object = {}): object {
  return { name, context: { cluster, user, ...more } };
}
function cluster(name: string, server = `https://${name}:6443`, more: object = {}): object {
  return { name, cluster: { server, ...more } };
}
function user(name: string, fields: object = { token: `token-of-${name}` }): object {
  return { name, user: fields };
}
function whole(name: string, userFields?: object): Parts {
  return {
    contexts: [context(name)],
    clusters: [cluster(name)],
    users: [user(name, userFields)],
    'current-context': name,
  };
}

async function failure(promise: Promise<unknown>): Promise<InterceptorError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof InterceptorError, String(error));
    return error;
  }
  throw new Error('it did not fail');
}

test('a context gives server, namespace, user and token', async () => {
  const file = await write('config', {
    contexts: [context('dev', 'c', 'u', { namespace: 'shop' })],
    clusters: [cluster('c', 'https://api.example:6443/k8s/clusters/c-1/')],
    users: [user('u', { token: 'secret' })],
    'current-context': 'dev',
  });
  const access = await loadKubeConfig({ kubeconfig: file, env: {} });
  assert.equal(access.server, 'https://api.example:6443/k8s/clusters/c-1');
  assert.deepEqual(
    [access.namespace, access.contextName, access.userName, access.userKind],
    ['shop', 'dev', 'u', 'token'],
  );
  assert.equal(await access.authorization(), 'Bearer secret');
  assert.equal(access.proxyUrl, undefined);
  assert.equal(access.forgetCredentials(await access.credentials()), false);
});

test('in a KUBECONFIG list the first entry of a name wins, missing and empty files are ignored, the first current-context counts', async () => {
  const first = await write('a', { ...whole('one'), 'current-context': '' });
  const empty = await write('b', '');
  const second = await write('c', {
    contexts: [context('one', 'other'), context('two', 'one', 'two')],
    clusters: [cluster('one', 'https://wrong'), cluster('other')],
    users: [user('one', { token: 'wrong' }), user('two')],
    'current-context': 'two',
  });
  const third = await write('d', whole('three'));
  const KUBECONFIG = [path.join(folder, 'missing'), first, empty, second, third].join(path.delimiter);
  const access = await loadKubeConfig({ env: { KUBECONFIG } });
  assert.deepEqual(
    [access.contextName, access.server, await access.authorization()],
    ['two', 'https://one:6443', 'Bearer token-of-two'],
  );
  const one = await loadKubeConfig({ env: { KUBECONFIG }, context: 'one' });
  assert.deepEqual([one.clusterName, await one.authorization()], ['one', 'Bearer token-of-one']);
});

test('without KUBECONFIG ~/.kube/config is read', async () => {
  await write('.kube/config', whole('home'));
  assert.equal((await loadKubeConfig({ env: { HOME: folder } })).contextName, 'home');
});

test('files named in a kubeconfig are found beside it', async () => {
  await write('sub/ca.pem', PEM);
  await write('sub/token', 'from-file\n');
  const file = await write('sub/config', {
    ...whole('a', { tokenFile: 'token' }),
    clusters: [cluster('a', 'https://a', { 'certificate-authority': 'ca.pem', 'tls-server-name': 'kubernetes' })],
  });
  const access = await loadKubeConfig({ kubeconfig: file, env: {} });
  assert.deepEqual([access.tls.ca, access.tls.servername, access.tls.rejectUnauthorized], [PEM, 'kubernetes', true]);
  assert.equal(await access.authorization(), 'Bearer from-file');
});

test('a token file is read again after the server refused its token', async () => {
  await write('token', 'old');
  const access = await loadKubeConfig({
    kubeconfig: await write('config', whole('a', { tokenFile: 'token' })),
    env: {},
  });
  const old = await access.credentials();
  await write('token', 'new');
  assert.equal(await access.authorization(), 'Bearer old');
  assert.equal(access.forgetCredentials(old), true);
  assert.equal(await access.authorization(), 'Bearer new');
});

test('user name and password become basic authorization, impersonation becomes headers', async () => {
  const fields = { username: 'ann', password: 'pä', as: 'bob', 'as-groups': ['x', 'y'] };
  const access = await loadKubeConfig({ kubeconfig: await write('config', whole('a', fields)), env: {} });
  assert.equal(await access.authorization(), `Basic ${Buffer.from('ann:pä').toString('base64')}`);
  assert.deepEqual(access.headers, { 'impersonate-user': 'bob', 'impersonate-group': ['x', 'y'] });
});

test('an oidc user that is still logged in gives its id token, by way of client-node', async () => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = `${part({ alg: 'none' })}.${part({ exp: Date.now() / 1000 + 1000 })}.sig`;
  const fields = { 'auth-provider': { name: 'oidc', config: { 'id-token': token } } };
  const access = await loadKubeConfig({ kubeconfig: await write('config', whole('a', fields)), env: {} });
  assert.equal(await access.authorization(), `Bearer ${token}`);
});

test('an explicit file that does not exist is named', async () => {
  const error = await failure(loadKubeConfig({ kubeconfig: path.join(folder, 'nope'), env: {} }));
  assert.equal(error.code, 'KUBECONFIG_INVALID');
  assert.match(error.message, /nope does not exist/);
});

test('without any kubeconfig the error names where it looked', async () => {
  const error = await failure(loadKubeConfig({ env: { HOME: folder } }));
  assert.match(error.message, new RegExp(`no kubeconfig: ${folder}/.kube/config does not exist`));
  assert.match(error.hint ?? '', /KUBECONFIG/);
});

test('an empty file is called empty', async () => {
  const error = await failure(loadKubeConfig({ kubeconfig: await write('config', '# nothing\n'), env: {} }));
  assert.match(error.message, /config is empty/);
});

test('broken YAML is reported with its line and without its text', async () => {
  const file = await write('config', 'users:\n- name: a\n  user: {token: "s3cret\n');
  const error = await failure(loadKubeConfig({ kubeconfig: file, env: {} }));
  assert.match(error.message, /config is not YAML: .* in line \d/);
  assert.doesNotMatch(`${error.message} ${error.hint} ${String(error.cause)}`, /s3cret/);
});

test('a file that is no kubeconfig is called so', async () => {
  const error = await failure(loadKubeConfig({ kubeconfig: await write('config', 'just a text'), env: {} }));
  assert.match(error.message, /is not a kubeconfig/);
});

test('an unknown context is answered with the contexts there are', async () => {
  const error = await failure(
    loadKubeConfig({ kubeconfig: await write('config', whole('dev')), context: 'prod', env: {} }),
  );
  assert.match(error.message, /no context "prod"/);
  assert.match(error.hint ?? '', /contexts: dev/);
});

test('no current-context asks for --context', async () => {
  const file = await write('config', { ...whole('dev'), 'current-context': '' });
  const error = await failure(loadKubeConfig({ kubeconfig: file, env: {} }));
  assert.match(error.message, /no current-context/);
  assert.match(error.hint ?? '', /--context.*contexts: dev/);
});

test('a context without cluster, and one whose cluster or user is missing, are named; other contexts still work', async () => {
  const file = await write('config', {
    ...whole('good'),
    contexts: [
      context('good'),
      context('none', ''),
      context('lost', 'gone', 'good'),
      context('nobody', 'good', 'gone'),
    ],
  });
  const message = async (name: string): Promise<string> =>
    (await failure(loadKubeConfig({ kubeconfig: file, context: name, env: {} }))).message;
  assert.match(await message('none'), /context "none" in .* names no cluster/);
  assert.match(await message('lost'), /context "lost" names cluster "gone"/);
  assert.match(await message('nobody'), /context "nobody" names user "gone"/);
  assert.equal((await loadKubeConfig({ kubeconfig: file, env: {} })).contextName, 'good');
});

test('a certificate file that cannot be read, and one that is no certificate, are named', async () => {
  await write('not.pem', 'hello');
  const load = async (ca: string): Promise<string> => {
    const clusters = [cluster('a', 'https://a', { 'certificate-authority': ca })];
    return (await failure(loadKubeConfig({ kubeconfig: await write('config', { ...whole('a'), clusters }), env: {} })))
      .message;
  };
  assert.match(await load('gone.pem'), /certificate-authority of cluster "a": cannot read .*gone\.pem: ENOENT/);
  assert.match(await load('not.pem'), /certificate-authority of cluster "a" .* is not PEM/);
});

test('the proxy is chosen as Go chooses it', () => {
  const proxy = 'http://proxy:3128';
  const env = (NO_PROXY: string): Record<string, string> => ({ HTTPS_PROXY: proxy, NO_PROXY });
  assert.equal(proxyFor('https://api.example:6443', 'socks5://p:1', env('*')), 'socks5://p:1');
  assert.equal(proxyFor('https://api.example:6443', undefined, env('')), proxy);
  assert.equal(proxyFor('https://api.example:6443', undefined, { https_proxy: 'proxy:3128' }), proxy);
  assert.equal(proxyFor('http://api.example:6443', undefined, env('')), undefined);
  assert.equal(proxyFor('https://127.0.0.1:6443', undefined, env('')), undefined);
  assert.equal(proxyFor('https://localhost:6443', undefined, env('')), undefined);
  for (const list of ['*', 'api.example', 'example', '.example', '*.example', 'x, api.example:6443']) {
    assert.equal(proxyFor('https://api.example:6443', undefined, env(list)), undefined, list);
  }
  for (const list of ['.api.example', 'api.example:443', 'pi.example', '10.0.0.0/8']) {
    assert.equal(proxyFor('https://api.example:6443', undefined, env(list)), proxy, list);
  }
  assert.equal(proxyFor('https://10.1.2.3', undefined, env('10.0.0.0/8')), undefined);
  assert.equal(proxyFor('https://[fd00::1]', undefined, env('fd00::/8')), undefined);
  assert.equal(proxyFor('https://11.1.2.3', undefined, env('10.0.0.0/8')), proxy);
});

test('a proxy that is no URL is refused without showing it, as it may hold a password', () => {
  assert.throws(
    () => proxyFor('https://a', 'ftp://me:pw@x', {}),
    (error) =>
      error instanceof InterceptorError && error.code === 'KUBECONFIG_INVALID' && !error.message.includes('pw'),
  );
});
