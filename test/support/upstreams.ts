// What a process inside the cluster reaches: one pod that is several servers, under the Services of two namespaces.
import { randomBytes } from 'node:crypto';
import type { TestCluster, TestNamespace } from './cluster.ts';

/** Addresses in the answer for `large`: about 5 KiB, more than any UDP answer. */
export const LARGE_ANSWER_ADDRESSES = 80;
export const PG_USER = 'postgres';

const HTTP_PORT = 8080;
const OTHER_HTTP_PORT = 8081;
const ECHO_PORT = 7000;

/**
 * HTTP: `/whoami` the caller's address, `/zeros/<n>` so many bytes, `/sink` how many came in the request, all else
 * `<who> <path>`, where <who> differs by port; ECHO_PORT: what came, over TCP and UDP.
 */
const CODE = `
const http = require('node:http');
const CHUNK = Buffer.alloc(65536);
function zeros(response, left) {
  const pump = () => {
    while (left > 0) {
      const size = Math.min(left, CHUNK.length);
      left -= size;
      if (!response.write(size === CHUNK.length ? CHUNK : CHUNK.subarray(0, size))) return response.once('drain', pump);
    }
    response.end();
  };
  pump();
}
for (const [port, who] of [[${HTTP_PORT}, 'api'], [${OTHER_HTTP_PORT}, 'other-api']]) {
  http.createServer((request, response) => {
    const zero = /^\\/zeros\\/(\\d+)$/.exec(request.url);
    if (zero) return zeros(response, Number(zero[1]));
    if (request.url === '/whoami') return response.end(request.socket.remoteAddress.replace('::ffff:', '') + '\\n');
    if (request.url === '/sink') {
      let bytes = 0;
      return request.on('data', (chunk) => { bytes += chunk.length; }).on('end', () => response.end(bytes + '\\n'));
    }
    response.end(who + ' ' + request.url + '\\n');
  }).listen(port);
}
require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {}); // callers that leave
  socket.pipe(socket);
}).listen(${ECHO_PORT});
const udp = require('node:dgram').createSocket('udp4');
udp.on('message', (message, from) => udp.send(message, from.port, from.address));
udp.bind(${ECHO_PORT});
process.on('SIGTERM', () => process.exit(0));
`;

const POSTGRES_SCRIPT = [
  'initdb --pgdata=/tmp/pg --auth=trust --no-sync --locale=C --encoding=UTF8 > /dev/null',
  "echo 'host all all all trust' >> /tmp/pg/pg_hba.conf",
  "exec postgres -D /tmp/pg -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off -c cluster_name=in-cluster",
].join('\n');
const REDIS = ['redis-server', '--protected-mode', 'no', '--save', '', '--appendonly', 'no', '--dir', '/tmp'];
const POSTGRES_UID = 999;

/** The servers of a test, and what they are called. */
export interface Upstreams {
  /** Of `api` in the test's own namespace; also the source of nothing: the servers only answer. */
  readonly podAddress: string;
  /** Name of the second namespace: `api` there answers `other-api`. */
  readonly otherNamespace: string;
  /** A name that exists for that pod alone: `nodes-0.nodes`. */
  readonly podName: string;
  /** ClusterIPs, by Service: api, postgres, redis, echo. */
  readonly clusterIps: Readonly<Record<string, string>>;
  readonly hasDatabases: boolean;
  dispose(): Promise<void>;
}

/**
 * Starts the servers in a test's namespace and a second namespace beside it: Services `api` (80) in both, `postgres` (5432) and
 * `redis` (6379) where the cluster has the tools image, `echo` (7000, TCP and UDP), headless `nodes` with the pod `nodes-0`,
 * and `large`, a headless one with LARGE_ANSWER_ADDRESSES addresses behind which nobody is.
 */
export async function startUpstreams(cluster: TestCluster, namespace: TestNamespace): Promise<Upstreams> {
  const otherNamespace = `other-${randomBytes(3).toString('hex')}`;
  const hasDatabases = cluster.toolsImage !== undefined;
  await Promise.all([
    cluster.kubectl(['create', 'namespace', otherNamespace]),
    namespace.apply([...services(hasDatabases), ...largeAnswer(), statefulSet(cluster)]),
  ]);
  await namespace.rolledOut('statefulset/nodes', 120_000);
  const pod = await namespace.get<{ status: { podIP: string } }>('pod/nodes-0');
  const podAddress = pod.status.podIP;
  await cluster.apply(otherNamespace, withoutSelector('api', 80, OTHER_HTTP_PORT, podAddress));
  const { items } = await namespace.get<{ items: { metadata: { name: string }; spec: { clusterIP: string } }[] }>(
    'services',
  );
  const clusterIps = Object.fromEntries(items.map(({ metadata, spec }) => [metadata.name, spec.clusterIP]));
  return {
    podAddress,
    otherNamespace,
    podName: 'nodes-0.nodes',
    clusterIps,
    hasDatabases,
    dispose: async () => {
      await cluster.kubectl(['delete', 'namespace', otherNamespace, '--wait=false', '--ignore-not-found']);
    },
  };
}

function statefulSet(cluster: TestCluster): unknown {
  const labels = { app: 'nodes' };
  const base = { imagePullPolicy: 'IfNotPresent', image: cluster.toolsImage ?? cluster.nodeImage };
  const ready = (port: number): unknown => ({ tcpSocket: { port }, periodSeconds: 1, failureThreshold: 60 });
  const databases = [
    {
      ...base,
      name: 'postgres',
      command: ['sh', '-ec', POSTGRES_SCRIPT],
      securityContext: { runAsUser: POSTGRES_UID },
      readinessProbe: ready(5432),
    },
    { ...base, name: 'redis', command: REDIS, readinessProbe: ready(6379) },
  ];
  const servers = { ...base, name: 'servers', command: ['node', '-e', CODE], readinessProbe: ready(HTTP_PORT) };
  const containers = [servers, ...(cluster.toolsImage === undefined ? [] : databases)];
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'nodes' },
    spec: {
      serviceName: 'nodes',
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 1, containers } },
    },
  };
}

function services(hasDatabases: boolean): unknown[] {
  const selector = { app: 'nodes' };
  const service = (name: string, ports: readonly unknown[], more: object = {}): unknown => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { selector, ports, ...more },
  });
  const http = { name: 'http', port: 80, targetPort: HTTP_PORT };
  return [
    service('api', [http]),
    service('nodes', [{ name: 'http', port: HTTP_PORT }], { clusterIP: 'None' }),
    service('echo', [
      { name: 'tcp', port: ECHO_PORT },
      { name: 'udp', port: ECHO_PORT, protocol: 'UDP' },
    ]),
    ...(hasDatabases
      ? [service('postgres', [{ name: 'postgres', port: 5432 }]), service('redis', [{ name: 'redis', port: 6379 }])]
      : []),
  ];
}

function withoutSelector(name: string, port: number, targetPort: number, ip: string): unknown[] {
  const ports = [{ name: 'http', port: targetPort }];
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: { ports: [{ name: 'http', port, targetPort }] },
    },
    { apiVersion: 'v1', kind: 'Endpoints', metadata: { name }, subsets: [{ addresses: [{ ip }], ports }] },
  ];
}

function largeAnswer(): unknown[] {
  const addresses = Array.from({ length: LARGE_ANSWER_ADDRESSES }, (_, index) => ({ ip: `198.51.100.${index + 1}` }));
  const ports = [{ name: 'http', port: 80 }];
  const metadata = { name: 'large' };
  return [
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { clusterIP: 'None', ports } },
    { apiVersion: 'v1', kind: 'Endpoints', metadata, subsets: [{ addresses, ports }] },
  ];
}
