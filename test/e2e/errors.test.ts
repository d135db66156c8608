import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, type TestContext, test as vitestTest } from 'vitest';
import { ERRORS, type ErrorCode } from '../../src/errors.ts';
import { useCluster } from '../support/cluster.ts';
import { FailingBench, type FailOptions } from '../support/failing-run.ts';
import { refusedTargets } from '../support/failing-workloads.ts';
import { installedCli, runIntercept } from '../support/intercept-run.ts';
import { makeCertificate } from '../support/test-certificates.ts';
import { createUser, type Rule, type TestKubeconfig } from '../support/test-user.ts';

const found = await useCluster();
const notRun = 'notRun' in found ? found.notRun : undefined;
let bench: FailingBench;
/** Tokens of users with other rights than the developer's, by name. */
const tokens: Record<string, string> = {};

/** Not run, with the reason, where there is no cluster. */
function test(name: string, body: () => Promise<void>): void {
  vitestTest(name, async (context: TestContext) => {
    if (notRun !== undefined) context.skip(notRun);
    await body();
  });
}

interface Case extends FailOptions {
  /** The sentence that names the test. */
  readonly name: string;
  readonly args: readonly string[];
  readonly code: ErrorCode;
  readonly message: RegExp;
  readonly hint: RegExp;
}

function cases(rows: readonly Case[]): void {
  for (const { name, args, code, message, hint, ...options } of rows)
    test(name, async () => {
      const failure = await bench.fail(args, options);
      assert.equal(failure.code, code, failure.run.transcript);
      assert.match(failure.message, message);
      assert.match(failure.hint, hint);
    });
}

const READ: readonly Rule[] = [
  { apiGroups: [''], resources: ['services', 'pods', 'events'], verbs: ['get', 'list', 'watch'] },
  {
    apiGroups: ['apps'],
    resources: ['deployments', 'statefulsets', 'replicasets'],
    verbs: ['get', 'list', 'watch'],
  },
];
const WRITE_OBJECTS: Rule = {
  apiGroups: [''],
  resources: ['configmaps', 'secrets'],
  verbs: ['get', 'list', 'create', 'delete'],
};
const WRITE_CONFIG_MAPS: Rule = { ...WRITE_OBJECTS, resources: ['configmaps'] };
const PATCH: Rule = { apiGroups: ['apps'], resources: ['deployments'], verbs: ['patch'] };

beforeAll(async () => {
  if ('notRun' in found) return;
  bench = await FailingBench.open(found, 'errors');
  const { namespace } = bench;
  await namespace.apply(refusedTargets(found.nodeImage));
  const user = async (name: string, rights: Parameters<typeof createUser>[3]) => {
    tokens[name] = await createUser(found, namespace, name, rights);
    bench.secrets.add(tokens[name]);
  };
  await Promise.all([
    user('viewer', { clusterRole: 'view' }),
    user('stranger', []),
    user('no-patch', [...READ, WRITE_OBJECTS]),
    user('no-secrets', [...READ, WRITE_CONFIG_MAPS, PATCH]),
    user('reader', []),
  ]);
  await namespace.kubectl([
    'create',
    'clusterrolebinding',
    `${namespace.name}-reader`,
    '--clusterrole=view',
    `--serviceaccount=${namespace.name}:reader`,
  ]);
  await namespace.rolledOut('deployment/web', 120_000);
  await namespace.rolledOut('daemonset/daemon', 120_000);
});

afterAll(async () => {
  if (bench === undefined) return;
  await bench.namespace.kubectl([
    'delete',
    'clusterrolebinding',
    `${bench.namespace.name}-reader`,
    '--ignore-not-found',
  ]);
  await bench[Symbol.asyncDispose]();
});

function as(name: string): (config: TestKubeconfig) => TestKubeconfig {
  return (config) => withUser(config, { token: tokens[name] });
}

function withUser(config: TestKubeconfig, user: Record<string, unknown>): TestKubeconfig {
  return { ...config, users: config.users.map(({ name }) => ({ name, user })) };
}

function withCluster(config: TestKubeconfig, over: Record<string, unknown>): TestKubeconfig {
  return {
    ...config,
    clusters: config.clusters.map(({ name, cluster }) => ({ name, cluster: { ...cluster, ...over } })),
  };
}

function tokenOf(config: TestKubeconfig): string {
  return String(config.users[0]?.user.token);
}

const run = ['--', 'node', '-e', ''];

cases([
  {
    name: 'a Service that does not exist is named, with those of a similar name',
    args: ['webb', '--port', '3000', ...run],
    code: 'TARGET_NOT_FOUND',
    message: /^no workload or service named "webb" in namespace "errors-\w+"$/,
    hint: /did you mean web\?.*-n <namespace>/,
  },
  {
    name: 'a Deployment that does not exist is named, with those of a similar name',
    args: ['deploy/pausd'],
    code: 'TARGET_NOT_FOUND',
    message: /^no deployment\/pausd in namespace "errors-\w+"$/,
    hint: /did you mean paused\?/,
  },
  {
    name: 'a Service without selector cannot be intercepted',
    args: ['noselector'],
    code: 'TARGET_UNSUPPORTED',
    message: /service "noselector" has no selector/,
    hint: /with a selector/,
  },
  {
    name: 'an ExternalName is refused with the name it stands for',
    args: ['external'],
    code: 'TARGET_UNSUPPORTED',
    message: /service "external" is an ExternalName.*db\.example\.com/,
    hint: /with a selector/,
  },
  {
    name: 'a headless Service is refused with the ways to take its callers: they go past the agent',
    args: ['headless'],
    code: 'TARGET_UNSUPPORTED',
    message: /service "headless" is headless/,
    hint: /--replace.*--capture redirect.*cluster IP/,
  },
  {
    name: 'a Service that has only SCTP ports is refused',
    args: ['sigtran', '--capture', 'redirect', '--port', '3000'],
    code: 'TARGET_UNSUPPORTED',
    message: /service "sigtran" has no TCP or UDP port \(m3ua 2905\/SCTP\)/,
    hint: /only TCP and UDP/,
  },
  {
    name: 'an SCTP port that is asked for is refused',
    args: ['sigtran', '--capture', 'redirect', '--port', '3000:m3ua'],
    code: 'USAGE_BAD_PORT',
    message: /port m3ua of service "sigtran" is SCTP/,
    hint: /only TCP and UDP/,
  },
  {
    name: 'a TCP port that is asked for as UDP is refused',
    args: ['web', '--port', '3000:web/udp'],
    code: 'USAGE_BAD_PORT',
    message: /port web of service "web" is TCP/,
    hint: /leave "\/udp" out/,
  },
  {
    name: 'a filter of a UDP port is refused: it has no requests',
    args: ['dns', '--port', '5353:dns', '--header', 'x-user: ann'],
    code: 'USAGE_BAD_OPTION',
    message: /port 53 is UDP: a filter cannot read it/,
    hint: /--port <local>:<port>\/udp/,
  },
  {
    name: 'a mirror of a UDP port is refused',
    args: ['dns', '--port', '5353:dns', '--mirror'],
    code: 'USAGE_BAD_OPTION',
    message: /port 53 is UDP: it cannot be mirrored/,
    hint: /--port <local>:<port>\/udp/,
  },
  {
    name: '--tls-from a Secret that does not exist is refused before anything is changed',
    args: ['web', '--port', '3000', '--header', 'x-user: ann', '--tls-from', 'nothing'],
    code: 'TARGET_NOT_FOUND',
    message: /"nothing"/,
    hint: /./,
  },
  {
    name: 'a Service over several workloads is refused with their names',
    args: ['mixed'],
    code: 'TARGET_UNSUPPORTED',
    message: /service "mixed" selects pods of several workloads: deployment\/(web|other), deployment\/(web|other)/,
    hint: /one workload/,
  },
  {
    name: 'a Service that selects no pods and no workload says so',
    args: ['nobody'],
    code: 'TARGET_NOT_FOUND',
    message: /no workload has pods for service "nobody": its selector matches nothing/,
    hint: /selector/,
  },
  {
    name: 'a Job is refused with the reason and the way out',
    args: ['job/report'],
    code: 'TARGET_UNSUPPORTED',
    message: /job\/report cannot be intercepted: a Job's pod template cannot be changed/,
    hint: /intercept run -- <command>/,
  },
  {
    name: 'a pod is refused with what it belongs to',
    args: ['pod/bare'],
    code: 'TARGET_UNSUPPORTED',
    message: /pod\/bare cannot be given a container/,
    hint: /make it from a Deployment/,
  },
  {
    name: 'a pod of its own is refused with the reason',
    args: ['bare'],
    code: 'TARGET_UNSUPPORTED',
    message: /service "bare" belong to pod\/bare; a pod of its own/,
    hint: /Deployments, StatefulSets, DaemonSets/,
  },
  {
    name: 'a workload that is scaled to 0 is refused with the command that scales it',
    args: ['zero'],
    code: 'TARGET_NOT_READY',
    message: /deployment\/zero is scaled to 0/,
    hint: /kubectl scale deployment\/zero --replicas=1 -n errors-/,
  },
  {
    name: 'a workload whose pods find no node is refused with the scheduler’s words',
    args: ['homeless'],
    code: 'TARGET_NOT_READY',
    message: /no pod of deployment\/homeless is ready: homeless-\S+: Unschedulable: .*nodes are available/,
    hint: /kubectl describe pod homeless-\S+ -n errors-/,
  },
  {
    name: 'a workload whose image cannot be pulled is refused with the kubelet’s words',
    args: ['imageless'],
    code: 'TARGET_NOT_READY',
    message: /imageless-\S+: container app: (ErrImagePull|ImagePullBackOff): .*127\.0\.0\.1:1\/none:1/,
    hint: /kubectl describe pod imageless-/,
  },
  {
    name: 'a workload whose app crashes is refused with its exit code',
    args: ['crashing'],
    code: 'TARGET_NOT_READY',
    message: /crashing-\S+: container app: .*ended with exit code 3/,
    hint: /kubectl (describe|logs)/,
  },
  {
    name: 'pods on the node’s network are refused',
    args: ['hostnet'],
    code: 'TARGET_UNSUPPORTED',
    message: /deployment\/hostnet use the node's network \(hostNetwork\)/,
    hint: /pod network/,
  },
  {
    name: 'pods on Windows nodes are refused',
    args: ['windows'],
    code: 'TARGET_UNSUPPORTED',
    message: /deployment\/windows run on Windows nodes/,
    hint: /Linux/,
  },
  {
    name: 'a paused Deployment is refused with the command that resumes it',
    args: ['paused'],
    code: 'TARGET_NOT_READY',
    message: /deployment\/paused is paused/,
    hint: /kubectl rollout resume deployment\/paused -n errors-/,
  },
  {
    name: 'a workload that no Service selects is refused with the ways to take it',
    args: ['deploy/serviceless'],
    code: 'TARGET_UNSUPPORTED',
    message: /no Service selects the pods of deployment\/serviceless/,
    hint: /--replace.*make a Service/,
  },
  {
    name: 'of several ports one must be chosen: they are listed by name and number',
    args: ['several', '--port', '3000'],
    code: 'USAGE_BAD_PORT',
    message: /service "several" has several ports: http 80, metrics 9090/,
    hint: /--port <local>:http/,
  },
  {
    name: 'a port name that the Service does not have is refused with those it has',
    args: ['several', '--port', '3000:grpc'],
    code: 'USAGE_BAD_PORT',
    message: /service "several" has no port grpc; it has http 80, metrics 9090/,
    hint: /by name or number/,
  },
  {
    name: 'a port number that the Service does not have is refused with those it has',
    args: ['web', '--port', '3000:8080'],
    code: 'USAGE_BAD_PORT',
    message: /service "web" has no port 8080; it has web 80/,
    hint: /by name or number/,
  },
  {
    name: 'the same port of the app cannot go to two local ports',
    args: ['web', '--port', '3000:web', '--port', '3001:80'],
    code: 'USAGE_BAD_PORT',
    message: /two --port options lead to the same port 8080/,
    hint: /once/,
  },
  {
    name: 'a targetPort name that no container declares is a fault of the workload and told so',
    args: ['unnamed'],
    code: 'TARGET_UNSUPPORTED',
    message: /service "unnamed" sends port 80 to the port named "grpc", which no container of "web" declares/,
    hint: /declare the name/,
  },
  {
    name: 'several Services of a workload: one must be chosen',
    args: ['deploy/web'],
    code: 'USAGE_BAD_OPTION',
    message: /several Services select the pods of deployment\/web: .*web/,
    hint: /--service web \(repeated for the callers of several\)$/,
  },
  {
    name: '--service must select the workload: those that do are named',
    args: ['deploy/web', '--service', 'zero'],
    code: 'USAGE_BAD_OPTION',
    message: /service "zero" does not select the pods of deployment\/web/,
    hint: /these do: .*web/,
  },
  {
    name: '--service must agree with a target that is a Service',
    args: ['svc/web', '--service', 'zero'],
    code: 'USAGE_BAD_OPTION',
    message: /--service zero.*svc\/web|service "web"/,
    hint: /deploy\//,
  },
]);

cases([
  {
    name: 'a user who may only read is told the right that is missing',
    args: ['web', '--port', '3000', ...run],
    kubeconfig: as('viewer'),
    code: 'CLUSTER_FORBIDDEN',
    message: /user "system:serviceaccount:errors-\w+:viewer" may not create (configmaps|secrets) in namespace "errors-/,
    hint: /Role: apiGroups \[""\], resources \["(configmaps|secrets)"\], verbs \["create"\]/,
  },
  {
    name: 'a user who may do nothing is told the first right that is missing',
    args: ['web'],
    kubeconfig: as('stranger'),
    code: 'CLUSTER_FORBIDDEN',
    message: /:stranger" may not get services in namespace "errors-/,
    hint: /resources \["services"\], verbs \["get"\]/,
  },
  {
    name: 'without the right to patch Deployments nothing is left of what was made before',
    args: ['web', '--port', '3000', ...run],
    kubeconfig: as('no-patch'),
    code: 'CLUSTER_FORBIDDEN',
    message: /:no-patch" may not patch deployments \(apps\) in namespace "errors-/,
    hint: /apiGroups \["apps"\], resources \["deployments"\], verbs \["patch"\]/,
  },
  {
    name: 'without the right to make Secrets nothing is left of what was made before',
    args: ['web', '--port', '3000', ...run],
    kubeconfig: as('no-secrets'),
    code: 'CLUSTER_FORBIDDEN',
    message: /:no-secrets" may not create secrets in namespace "errors-/,
    hint: /apiGroups \[""\], resources \["secrets"\], verbs \["create"\]/,
  },
  {
    name: 'another namespace than one’s own is forbidden, and named',
    args: ['web', '-n', 'kube-system'],
    code: 'CLUSTER_FORBIDDEN',
    message: /may not get services in namespace "kube-system"/,
    hint: /resources \["services"\]/,
  },
  {
    name: 'a namespace that does not exist is told from a Service that does not exist',
    args: ['web', '-n', 'nowhere'],
    kubeconfig: as('reader'),
    code: 'TARGET_NOT_FOUND',
    message: /namespace "nowhere" does not exist/,
    hint: /-n <namespace>/,
  },
]);

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

test('an API server that refuses connections is unreachable, at once', async () => {
  await bench.laptop.relay.refuse(true);
  try {
    // cluster and laptop are compared afterwards, through another way
    const failure = await bench.fail(['web', '--port', '3000', ...run]);
    assert.equal(failure.code, 'CLUSTER_UNREACHABLE');
    assert.match(failure.message, /cannot reach the API server https:\/\/.* of context "test": connection refused/);
    assert.match(failure.hint, /VPN/);
    assert.ok(failure.ms < 10_000, `${failure.ms} ms`);
  } finally {
    await bench.laptop.relay.refuse(false);
  }
});

test('an API server that stays silent is unreachable within the deadline of a connection', async () => {
  bench.laptop.relay.stall();
  try {
    const failure = await bench.fail(['web', '--port', '3000', ...run]);
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

const USAGE: readonly (readonly [readonly string[], ErrorCode, RegExp, RegExp])[] = [
  [['web', '--port', 'abc'], 'USAGE_BAD_PORT', /"abc" is not a port/, /--port 3000:http/],
  [['web', '--port', '0'], 'USAGE_BAD_PORT', /"0" is not a port/, /--port 3000/],
  [['web', '--port', '65536'], 'USAGE_BAD_PORT', /"65536" is not a port/, /--port 3000/],
  [['web', '--port', '3000:'], 'USAGE_BAD_PORT', /"3000:" is not a port/, /--port 3000/],
  [['web', '--port', '3000:80:1'], 'USAGE_BAD_PORT', /"3000:80:1" is not a port/, /--port 3000/],
  [['web', '--port', '3000:Web'], 'USAGE_BAD_PORT', /"3000:Web" is not a port/, /--port 3000/],
  [['web', '--to', ':80'], 'USAGE_BAD_OPTION', /--to ":80" is not host:port/, /--to \[::1\]:3000/],
  [['web', '--to', 'host:99999'], 'USAGE_BAD_OPTION', /--to "host:99999" is not host:port/, /for example/],
  [['web', '--env', 'NOVALUE', ...run], 'USAGE_BAD_OPTION', /--env "NOVALUE" is not KEY=VALUE/, /for example|--env/],
  [['web', '--env', '=x', ...run], 'USAGE_BAD_OPTION', /--env "=x" is not KEY=VALUE/, /for example|--env/],
  [['web', '--env', 'A=1'], 'USAGE_BAD_OPTION', /--env needs a command/, /for example/],
  [['web', '--tunnel', 'pigeon'], 'USAGE_BAD_OPTION', /'pigeon' is invalid.*auto, proxy, port-forward/, /--help/],
  [['web', '--listen-timeout', 'soon'], 'USAGE_BAD_OPTION', /--listen-timeout "soon" is not a number/, /60/],
  [['web', '--listen-timeout', '-1'], 'USAGE_BAD_OPTION', /--listen-timeout "-1" is not a number/, /60/],
  [['web', '--detach', ...run], 'USAGE_BAD_OPTION', /--detach and a command/, /&/],
  [['web', '--mirror', '--replace'], 'USAGE_BAD_OPTION', /--mirror and --replace exclude each other/, /leave one/],
  [['web', '--replace', '--path', '/api'], 'USAGE_BAD_OPTION', /a filter and --replace exclude/, /--capture redirect/],
  [
    ['web', '--replace', '--capture', 'redirect'],
    'USAGE_BAD_OPTION',
    /--replace and --capture redirect/,
    /ports of the app/,
  ],
  [['web', '--mirror', '--http'], 'USAGE_BAD_OPTION', /--mirror and --http exclude each other/, /dropped/],
  [
    ['web', '--mirror', '--no-fallback'],
    'USAGE_BAD_OPTION',
    /--mirror and --no-fallback exclude/,
    /app always answers/,
  ],
  [['web', '--mirror', '--mark'], 'USAGE_BAD_OPTION', /--mirror and --mark exclude/, /app always answers/],
  [['web', '--mirror', '--take-over'], 'USAGE_BAD_OPTION', /--mirror needs no --take-over/, /any number of mirrors/],
  [['web', '--mark'], 'USAGE_BAD_OPTION', /--mark needs a filter/, /bytes/],
  [['web', '--tls-from', 'web-tls'], 'USAGE_BAD_OPTION', /--tls-from needs a filter/, /TLS goes through/],
  [['web', '--capture', 'everything'], 'USAGE_BAD_OPTION', /'everything' is invalid.*service, redirect/, /--help/],
  [['web', '--hold', '61'], 'USAGE_BAD_OPTION', /--hold "61" is not/, /at most 60/],
  [['web', '--header', ': x'], 'USAGE_BAD_OPTION', /--header ": x"/, /./],
  [['web', '--header', 'x: ~('], 'USAGE_BAD_OPTION', /regular expression "\(": missing closing \)/, /./],
  [['web', '--path', 'api'], 'USAGE_BAD_OPTION', /--path "api"/, /\/api/],
  [['web', '--'], 'USAGE_BAD_OPTION', /no command after --/, /for example/],
  [['web', '--frobnicate'], 'USAGE_BAD_OPTION', /unknown option '--frobnicate'/, /--help/],
  [['web', 'node', 'app.js'], 'USAGE_BAD_OPTION', /too many arguments/, /intercept web -- node app\.js/],
  [[], 'USAGE_BAD_OPTION', /missing required argument 'target'/, /--help/],
  [['Web'], 'USAGE_BAD_TARGET', /"Web" is not a target/, /svc\/web/],
  [['node/web'], 'USAGE_BAD_TARGET', /"node\/web" is not a target/, /svc\/web/],
  [['cronjob/web'], 'TARGET_UNSUPPORTED', /cronjob\/web cannot be intercepted: a CronJob makes Jobs/, /intercept run/],
  [['a/b/c'], 'USAGE_BAD_TARGET', /"a\/b\/c" is not a target/, /svc\/web/],
  [['list', ...run], 'USAGE_BAD_OPTION', /"intercept list" takes no command/, /svc\/list/],
  [['list', 'extra'], 'USAGE_BAD_OPTION', /too many arguments for 'list'/, /^intercept list --help/],
  [['leave', 'web', '--all'], 'USAGE_BAD_OPTION', /a target and --all exclude each other/, /./],
  [['leave'], 'SESSION_NOT_FOUND', /no session on this laptop/, /intercept leave web/],
  [['leave', 'web'], 'SESSION_NOT_FOUND', /deployment\/web in errors-\w+ is not intercepted/, /intercept list/],
  [['leave', 'nothing'], 'TARGET_NOT_FOUND', /no workload or service named "nothing" in namespace/, /-n/],
  [['env', 'zero'], 'TARGET_NOT_READY', /deployment\/zero has no ready pod/, /kubectl get pods -n errors-/],
];
cases(
  USAGE.map(([args, code, message, hint]) => ({
    name: `"intercept ${args.join(' ')}" is refused with exit code ${ERRORS[code].exitCode}`,
    args,
    code,
    message,
    hint,
  })),
);

test('a command that is not there is refused with 127 before the cluster is touched', async () => {
  const failure = await bench.fail(['web', '--port', '3000', '--', 'no-such-command', '--flag']);
  assert.equal(failure.code, 'COMMAND_NOT_FOUND');
  assert.equal(ERRORS[failure.code].exitCode, 127);
  assert.match(failure.message, /cannot start "no-such-command": not found/);
  assert.match(failure.hint, /PATH/);
  assert.ok(!failure.run.events.some(({ event }) => event === 'patched'), failure.run.transcript);
});

test('a command that may not be executed is refused before the cluster is touched', async () => {
  const file = await bench.write('not-executable', '#!/bin/sh\n');
  const failure = await bench.fail(['web', '--port', '3000', '--', file]);
  assert.equal(failure.code, 'COMMAND_NOT_FOUND');
  assert.match(failure.message, /cannot start ".*not-executable": not executable/);
  assert.match(failure.hint, /chmod/);
  assert.ok(!failure.run.events.some(({ event }) => event === 'patched'), failure.run.transcript);
});

test('for people an error is three lines on stderr, and stdout stays empty', async () => {
  const { laptop, namespace } = bench;
  const result = await runIntercept(laptop, ['webb'], { namespace });
  assert.equal(result.code, 5);
  assert.equal(result.stdout, '');
  assert.equal(
    result.stderr,
    `error: no workload or service named "webb" in namespace "${namespace.name}"\n` +
      'hint: did you mean web? other namespaces are not searched (-n <namespace>)\n' +
      'code: TARGET_NOT_FOUND\n',
  );
});

test('--debug adds the stack and no token', async () => {
  const { laptop, namespace } = bench;
  const result = await runIntercept(laptop, ['web', '-n', 'kube-system', '--debug'], { namespace });
  assert.equal(result.code, 3);
  assert.match(result.stderr, /code: CLUSTER_FORBIDDEN\n(.*\n)*\s+at /);
  for (const secret of bench.secrets) assert.ok(!`${result.stdout}${result.stderr}`.includes(secret));
});

test('a Service that is named like a command is reached as svc/list, and the command stays the command', async () => {
  const { laptop, namespace } = bench;
  const before = await bench.snapshot();
  const target = await runIntercept(laptop, ['svc/list', '--dry-run', '--port', '3000'], { namespace });
  assert.equal(target.code, 0, target.stderr);
  assert.match(target.stderr, /found deployment\/web behind service\/list/);
  assert.match(target.stdout, /kube-intercept-agent/);
  const command = await runIntercept(laptop, ['list', '--json'], { namespace });
  assert.equal(command.code, 0, command.stderr);
  assert.deepEqual(JSON.parse(command.stdout), []);
  assert.deepEqual(await bench.snapshot(), before);
});

test('a wrong option prints one error for people and exits with 2', async () => {
  const result = await runIntercept(bench.laptop, ['web', '--frobnicate'], { namespace: bench.namespace });
  assert.equal(result.code, 2);
  assert.equal(result.stdout, '');
  assert.match(result.stderr, /^error: unknown option '--frobnicate'\n/);
  assert.ok((await installedCli()).endsWith('intercept.mjs'));
});

const plugin = { apiVersion: 'client.authentication.k8s.io/v1beta1', interactiveMode: 'Never' };

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
