// Workloads of the tests: a small HTTP app on the Node image, in every way a Service can point to it.

/** Where a Service's target port comes from: DESIGN section 3 treats each differently. */
export type PortStyle = 'named' | 'numeric' | 'undeclared';

export interface WorkloadOptions {
  readonly name: string;
  readonly image: string;
  readonly kind?: 'Deployment' | 'StatefulSet' | 'DaemonSet' | 'ReplicaSet';
  /** StatefulSet and DaemonSet: instead of RollingUpdate. */
  readonly updateStrategy?: 'OnDelete';
  readonly ports?: PortStyle;
  readonly replicas?: number;
  readonly env?: readonly unknown[];
  readonly container?: Readonly<Record<string, unknown>>;
  readonly podSpec?: Readonly<Record<string, unknown>>;
  /** Instead of APP_CODE. */
  readonly code?: string;
  readonly service?: Readonly<Record<string, unknown>>;
}

export const APP_PORT = 8080;
export const SERVICE_PORT = 80;

/**
 * Answers `<WHO> <host> <method> <path>`; on SIGTERM says `Connection: close` on every answer and goes on answering for
 * DRAIN_MS, as a well-behaved server behind a Service does. The same text runs as app and as process.
 */
export const APP_CODE = `
const http = require('node:http');
const who = process.env.WHO || 'app';
let draining = false;
const server = http.createServer((request, response) => {
  if (draining) response.setHeader('Connection', 'close');
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    if (request.url === '/env') return response.end(JSON.stringify(process.env));
    if (request.url === '/healthz') return response.end('ok');
    response.end(who + ' ' + require('node:os').hostname() + ' ' + request.method + ' ' + request.url + ' ' + Buffer.concat(chunks).length + '\\n');
  });
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.env.PORT || ${APP_PORT}), process.env.LISTEN_HOST || '0.0.0.0');
process.on('SIGTERM', () => {
  draining = true;
  setTimeout(() => { server.close(() => process.exit(0)); server.closeIdleConnections(); }, Number(process.env.DRAIN_MS || 2000));
});
process.on('SIGINT', () => process.emit('SIGTERM'));
`;

/** A workload with its Service (`<name>:80`), and a headless one that a StatefulSet needs. */
export function workload(options: WorkloadOptions): unknown[] {
  const { name, image, kind = 'Deployment', ports = 'named', replicas = 2 } = options;
  const labels = { app: name };
  const probePort = ports === 'named' ? 'http' : APP_PORT;
  const container = {
    name: 'app',
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', '-e', options.code ?? APP_CODE],
    env: [{ name: 'WHO', value: 'app' }, ...(options.env ?? [])],
    ...(ports === 'undeclared'
      ? {}
      : { ports: [{ containerPort: APP_PORT, ...(ports === 'named' ? { name: 'http' } : {}) }] }),
    readinessProbe: { httpGet: { path: '/healthz', port: probePort }, periodSeconds: 1 },
    livenessProbe: { httpGet: { path: '/healthz', port: probePort }, periodSeconds: 2 },
    ...options.container,
  };
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, labels },
    spec: {
      selector: labels,
      ports: [{ name: 'web', port: SERVICE_PORT, targetPort: ports === 'named' ? 'http' : APP_PORT }],
      ...options.service,
    },
  };
  const spec = {
    ...(kind === 'DaemonSet' ? {} : { replicas }),
    ...(options.updateStrategy === undefined ? {} : { updateStrategy: { type: options.updateStrategy } }),
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: { terminationGracePeriodSeconds: 10, containers: [container], ...options.podSpec },
    },
  };
  const metadata = { name, labels };
  if (kind !== 'StatefulSet') return [service, { apiVersion: 'apps/v1', kind, metadata, spec }];
  const headless = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `${name}-pods`, labels },
    spec: { clusterIP: 'None', selector: { app: name, unused: 'true' }, ports: [{ name: 'web', port: SERVICE_PORT }] },
  };
  return [service, headless, { apiVersion: 'apps/v1', kind, metadata, spec: { ...spec, serviceName: `${name}-pods` } }];
}

/** An object without what the server sets by itself on every write: what must be equal before and after. */
export function withoutServerMetadata(object: unknown): unknown {
  const copy = structuredClone(object) as { metadata?: Record<string, unknown>; status?: unknown };
  delete copy.status;
  for (const field of ['generation', 'resourceVersion', 'managedFields']) delete copy.metadata?.[field];
  const annotations = copy.metadata?.annotations as Record<string, string> | undefined;
  if (annotations !== undefined) {
    delete annotations['deployment.kubernetes.io/revision'];
    delete annotations['deprecated.daemonset.template.generation'];
    if (Object.keys(annotations).length === 0 && copy.metadata !== undefined) delete copy.metadata.annotations;
  }
  return copy;
}
