import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { errorSuite, WITH_COMMAND, withUser } from '../support/error-suite.ts';
import { makeCertificate } from '../support/test-certificates.ts';
import type { TestKubeconfig } from '../support/test-user.ts';

// No login succeeds: what the namespace holds does not matter.
const { cases, test } = await errorSuite(async () => async () => {});

const plugin = { apiVersion: 'client.authentication.k8s.io/v1beta1', interactiveMode: 'Never' };

function withCluster(config: TestKubeconfig, over: Record<string, unknown>): TestKubeconfig {
  return {
    ...config,
    clusters: config.clusters.map(({ name, cluster }) => ({ name, cluster: { ...cluster, ...over } })),
  };
}

function tokenOf(config: TestKubeconfig): string {
  return String(config.users[0]?.user.token);
}

cases([
  {
    name: 'a token that the server does not know is refused, and not shown',
    args: ['web'],
    kubeconfig: (config) => withUser(config, { token: 'no-token-of-this-cluster' }),
    code: 'CLUSTER_UNAUTHORIZED',
    message: /does not accept user "developer" of context "test" \(token\)$/,
    hint: /log in .*again.*kubeconfig-\d+/,
  },
  {
    name: 'an expired token is called expired, with the date',
    args: ['web'],
    kubeconfig: (config) => withUser(config, { token: expired(tokenOf(config)) }),
    code: 'CLUSTER_UNAUTHORIZED',
    message: /does not accept user "developer".*: the token expired on 2020-01-01/,
    hint: /log in .*again/,
  },
  {
    name: 'an expired client certificate is called expired, with the date',
    args: ['web'],
    kubeconfig: (config) => withUser(config, expiredCertificate()),
    code: 'CLUSTER_UNAUTHORIZED',
    message: /does not accept user "developer".*: the client certificate expired on 2020-01-01/,
    hint: /log in .*again/,
  },
  {
    name: 'a user without credentials is told so',
    args: ['web'],
    kubeconfig: (config) => withUser(config, {}),
    code: 'CLUSTER_FORBIDDEN',
    message: /system:anonymous.*sent no credentials/,
    hint: /./,
  },
  {
    name: 'a server whose certificate another authority signed is not trusted',
    args: ['web'],
    kubeconfig: (config) =>
      withCluster(config, { 'certificate-authority-data': base64(makeCertificate(['other']).cert) }),
    code: 'CLUSTER_UNREACHABLE',
    message: /cannot reach the API server https:.*signed by an unknown authority/,
    hint: /certificate-authority/,
  },
  {
    name: 'a server whose certificate is for other names is not trusted, and the names are shown',
    args: ['web'],
    kubeconfig: (config) => withCluster(config, { 'tls-server-name': 'other.example' }),
    code: 'CLUSTER_UNREACHABLE',
    message: /certificate is for another name.*other\.example.*kubernetes/,
    hint: /tls-server-name/,
  },
  {
    name: 'a server name that cannot be resolved is unreachable',
    args: ['web'],
    kubeconfig: (config) => withCluster(config, { server: 'https://cluster.invalid:6443' }),
    code: 'CLUSTER_UNREACHABLE',
    message:
      /cannot reach the API server https:\/\/cluster\.invalid:6443 of context "test": .*(name not found|name server)/,
    hint: /name|DNS/,
  },
  {
    name: 'a server that is no API server is unreachable or refused in words',
    args: ['web'],
    kubeconfig: (config) =>
      withCluster(config, { server: String(config.clusters[0]?.cluster.server).replace('https:', 'http:') }),
    code: 'CLUSTER_REFUSED',
    message: /HTTP request to an HTTPS server/,
    hint: /scheme/,
  },
]);

test('an API server that refuses connections is unreachable, at once', async (bench) => {
  await bench.laptop.relay.refuse(true);
  try {
    // cluster and laptop are compared afterwards, through another way
    const failure = await bench.fail(['web', '--port', '3000', ...WITH_COMMAND]);
    assert.equal(failure.code, 'CLUSTER_UNREACHABLE');
    assert.match(failure.message, /cannot reach the API server https:\/\/.* of context "test": connection refused/);
    assert.match(failure.hint, /VPN/);
    assert.ok(failure.ms < 10_000, `${failure.ms} ms`);
  } finally {
    await bench.laptop.relay.refuse(false);
  }
});

test('an API server that stays silent is unreachable within the deadline of a connection', async (bench) => {
  bench.laptop.relay.stall();
  try {
    const failure = await bench.fail(['web', '--port', '3000', ...WITH_COMMAND]);
    assert.equal(failure.code, 'CLUSTER_UNREACHABLE');
    assert.match(failure.message, /of context "test": no answer in time/);
    assert.match(failure.hint, /VPN/);
    assert.ok(failure.ms < 20_000, `${failure.ms} ms`);
  } finally {
    bench.laptop.relay.resume();
  }
});

cases([
  {
    name: 'a kubeconfig that does not exist is named (KUBECONFIG)',
    args: ['web'],
    env: { KUBECONFIG: '/nonexistent/config' },
    code: 'KUBECONFIG_INVALID',
    message: /no kubeconfig: \/nonexistent\/config does not exist/,
    hint: /--kubeconfig or KUBECONFIG/,
  },
  {
    name: 'a kubeconfig that does not exist is named (--kubeconfig)',
    args: ['web', '--kubeconfig', '/nonexistent/config'],
    code: 'KUBECONFIG_INVALID',
    message: /kubeconfig \/nonexistent\/config does not exist/,
    hint: /--kubeconfig/,
  },
  {
    name: 'an empty kubeconfig is called empty',
    args: ['web'],
    kubeconfig: () => '',
    code: 'KUBECONFIG_INVALID',
    message: /kubeconfig \S+ is empty/,
    hint: /--kubeconfig/,
  },
  {
    name: 'a kubeconfig that is not YAML is named with the line, without its text',
    args: ['web'],
    kubeconfig: (config) => `users:\n- name: a\n  user: {token: ${tokenOf(config)}\nclusters: [`,
    code: 'KUBECONFIG_INVALID',
    message: /kubeconfig \S+ is not YAML: .*line \d/,
    hint: /./,
  },
  {
    name: 'a context that does not exist is refused with those that do',
    args: ['web', '--context', 'prod'],
    code: 'KUBECONFIG_INVALID',
    message: /no context "prod" in /,
    hint: /contexts: test/,
  },
  {
    name: 'a kubeconfig without a current context is refused with those it has',
    args: ['web'],
    kubeconfig: (config) => ({ ...config, 'current-context': '' }),
    code: 'KUBECONFIG_INVALID',
    message: /no current-context in /,
    hint: /--context.*contexts: test/,
  },
  {
    name: 'a context whose user is not there is refused',
    args: ['web'],
    kubeconfig: (config) => ({ ...config, users: [] }),
    code: 'KUBECONFIG_INVALID',
    message: /user "developer"/,
    hint: /./,
  },
  {
    name: 'a credential plugin that is not installed is named',
    args: ['web'],
    kubeconfig: (config) => withUser(config, { exec: { ...plugin, command: 'no-such-plugin' } }),
    code: 'CLUSTER_UNAUTHORIZED',
    message: /credential plugin no-such-plugin of user "developer" was not found/,
    hint: /PATH/,
  },
  {
    name: 'a credential plugin that fails is shown with its own words and the kubeconfig’s hint',
    args: ['web'],
    kubeconfig: (config) =>
      withUser(config, {
        exec: {
          ...plugin,
          command: 'sh',
          args: ['-c', 'echo "session ended: run login" >&2; exit 9'],
          installHint: 'get it from example.com',
        },
      }),
    code: 'CLUSTER_UNAUTHORIZED',
    message: /credential plugin sh of user "developer" ended with exit code 9: session ended: run login/,
    hint: /get it from example\.com|log in again/,
  },
  {
    name: 'a credential plugin that prints nonsense is refused without showing it',
    args: ['web'],
    kubeconfig: (config) => withUser(config, { exec: { ...plugin, command: 'echo', args: [tokenOf(config)] } }),
    code: 'CLUSTER_UNAUTHORIZED',
    message: /credential plugin echo of user "developer" printed something that is not JSON/,
    hint: /terminal/,
  },
]);

/** The same token with another end: its signature is wrong then, and its claims say it is old. */
function expired(token: string): string {
  const [header, claims = '', signature] = token.split('.');
  const parsed = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8'));
  const old = { ...parsed, exp: Date.parse('2020-01-01T00:00:00Z') / 1000 };
  return [header, Buffer.from(JSON.stringify(old)).toString('base64url'), signature].join('.');
}

function expiredCertificate(): Record<string, unknown> {
  const validity = { notBefore: new Date('2019-01-01'), notAfter: new Date('2020-01-01T00:00:00Z') };
  const { cert, key } = makeCertificate(['developer'], undefined, validity);
  assert.ok(new X509Certificate(cert).validTo);
  return { 'client-certificate-data': base64(cert), 'client-key-data': base64(key) };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
