// Services and workloads that cannot be intercepted, made so that few of them need a running pod.

interface PodShape {
  readonly labels: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly container?: Readonly<Record<string, unknown>>;
}

/** A node that is not there: the pod exists and stays Pending. */
export const NOWHERE = { nodeSelector: { 'kube-intercept.test/node': 'none' } } as const;

function template(image: string, { labels, spec, container }: PodShape): unknown {
  const app = {
    name: 'app',
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['sleep', '1000000'],
    ports: [{ name: 'http', containerPort: 8080 }],
    ...container,
  };
  return { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers: [app], ...spec } };
}

export interface WorkloadShape extends Omit<PodShape, 'labels'> {
  readonly kind?: 'Deployment' | 'StatefulSet' | 'DaemonSet';
  readonly labels?: Readonly<Record<string, string>>;
  readonly replicas?: number;
  /** Fields of the workload's own spec. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** A workload of pods that sleep, labelled `app: <name>`. */
export function sleeper(image: string, name: string, shape: WorkloadShape = {}): unknown {
  const { kind = 'Deployment', replicas = 1, more = {}, labels = {}, ...pod } = shape;
  const own = { app: name };
  const spec = {
    ...(kind === 'DaemonSet' ? {} : { replicas }),
    ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
    selector: { matchLabels: own },
    template: template(image, { ...pod, labels: { ...own, ...labels } }),
    ...more,
  };
  return { apiVersion: 'apps/v1', kind, metadata: { name }, spec };
}

/** A Service on port 80 to the port named http of `app: <name>`, unless told otherwise. */
export function service(name: string, spec: Readonly<Record<string, unknown>> = {}): unknown {
  const ports = [{ name: 'web', port: 80, targetPort: 'http' }];
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { selector: { app: name }, ports, ...spec } };
}

/** A pod of its own. */
export function barePod(image: string, name: string): unknown {
  const shape = template(image, { labels: { app: name }, spec: NOWHERE }) as { metadata: object; spec: object };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { ...shape.metadata, name }, spec: shape.spec };
}

/** Everything the suite of refused targets needs; only `web` ever becomes ready. */
export function refusedTargets(image: string): unknown[] {
  const selectingWeb = { selector: { app: 'web' } };
  return [
    sleeper(image, 'web', { labels: { tier: 'front' } }),
    service('web'),
    service('noselector', { selector: undefined }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'external' },
      spec: { type: 'ExternalName', externalName: 'db.example.com' },
    },
    service('headless', { ...selectingWeb, clusterIP: 'None' }),
    service('dns', { ...selectingWeb, ports: [{ name: 'dns', port: 53, protocol: 'UDP', targetPort: 8080 }] }),
    // headless: kube-proxy needs no SCTP module of the kernel for it
    service('sigtran', {
      ...selectingWeb,
      clusterIP: 'None',
      ports: [{ name: 'm3ua', port: 2905, protocol: 'SCTP', targetPort: 2905 }],
    }),
    service('several', {
      ...selectingWeb,
      ports: [
        { name: 'http', port: 80, targetPort: 'http' },
        { name: 'metrics', port: 9090, targetPort: 9090 },
      ],
    }),
    service('unnamed', { ...selectingWeb, ports: [{ port: 80, targetPort: 'grpc' }] }),
    service('list', selectingWeb),
    sleeper(image, 'other', { labels: { tier: 'front' }, spec: NOWHERE }),
    service('mixed', { selector: { tier: 'front' } }),
    service('nobody'),
    sleeper(image, 'daemon', { kind: 'DaemonSet', container: { ports: [] } }),
    service('daemon'),
    barePod(image, 'bare'),
    service('bare'),
    sleeper(image, 'zero', { replicas: 0 }),
    service('zero'),
    sleeper(image, 'homeless', { spec: NOWHERE }),
    service('homeless'),
    sleeper(image, 'imageless', { container: { image: '127.0.0.1:1/none:1' } }),
    service('imageless'),
    sleeper(image, 'crashing', {
      container: {
        command: ['sh', '-c', 'exit 3'],
        // without it the pod is ready for a second when the kubelet happens to look while a run lasts
        readinessProbe: { exec: { command: ['false'] } },
      },
    }),
    service('crashing'),
    sleeper(image, 'hostnet', { replicas: 0, spec: { hostNetwork: true } }),
    service('hostnet'),
    sleeper(image, 'windows', { replicas: 0, spec: { nodeSelector: { 'kubernetes.io/os': 'windows' } } }),
    service('windows'),
    sleeper(image, 'paused', { replicas: 0, more: { paused: true } }),
    service('paused'),
    sleeper(image, 'serviceless', { replicas: 0 }),
  ];
}
