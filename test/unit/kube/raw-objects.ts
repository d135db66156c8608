import {
  type Container,
  isWorkloadKind,
  type Pod,
  type Service,
  type Workload,
  type WorkloadKind,
} from '../../../cli/kube/objects.ts';
import type { InstallRequest } from '../../../cli/kube/plan.ts';
import { choosePorts, type PortChoice } from '../../../cli/kube/ports.ts';

/** A container as the API server stores it. */
export function rawContainer(over: Partial<Container> = {}): Container {
  return {
    name: 'app',
    image: 'shop:1',
    imagePullPolicy: 'IfNotPresent',
    ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
    readinessProbe: { httpGet: { path: '/healthz', port: 'http', scheme: 'HTTP' }, periodSeconds: 10 },
    ...over,
  };
}

const STRATEGIES: Readonly<Record<WorkloadKind, Partial<Workload['spec']>>> = {
  Deployment: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } } },
  StatefulSet: { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } } },
  DaemonSet: { updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } } },
  ReplicaSet: {},
  Rollout: { strategy: { canary: {} } },
};

export function rawWorkload(
  kind: WorkloadKind,
  containers: Container[],
  over: Partial<Workload['spec']> = {},
): Workload {
  return {
    apiVersion: kind === 'Rollout' ? 'argoproj.io/v1alpha1' : 'apps/v1',
    kind,
    metadata: { name: 'web', namespace: 'shop', uid: 'uid-web', resourceVersion: '100', generation: 1 },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers, restartPolicy: 'Always' } },
      ...STRATEGIES[kind],
      ...over,
    },
    status:
      kind === 'DaemonSet'
        ? {
            observedGeneration: 1,
            desiredNumberScheduled: 2,
            updatedNumberScheduled: 2,
            numberReady: 2,
            numberAvailable: 2,
          }
        : { observedGeneration: 1, replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 },
  };
}

export function rawService(ports: Service['spec']['ports'], over: Partial<Service['spec']> = {}): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'shop', uid: 'uid-svc', resourceVersion: '50' },
    spec: { type: 'ClusterIP', clusterIP: '10.96.0.7', selector: { app: 'web' }, ports: ports ?? [], ...over },
  };
}

export function rawPod(over: Partial<Pod> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web-1', namespace: 'shop', uid: 'uid-pod', labels: { app: 'web' } },
    spec: { containers: [rawContainer()] },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [{ name: 'app', ready: true, restartCount: 0, state: { running: {} } }],
    },
    ...over,
  };
}

/** One port of a Service, on port 3000 of the laptop. */
export function portsThrough(
  service: Service,
  workload: Workload,
  servicePort: number | string | undefined,
  over: Partial<Parameters<typeof choosePorts>[0]> = {},
): PortChoice[] {
  const sources = {
    workload,
    services: [service],
    through: [service.metadata.name],
    mode: { kind: 'sidecar' } as const,
  };
  const option = { localPort: 3000, service: undefined, servicePort, protocol: undefined };
  return choosePorts({ ...sources, ...over }, [option]);
}

export function installRequest(
  workload: Workload,
  service: Service,
  over: Partial<InstallRequest> = {},
): InstallRequest {
  const [first] = service.spec.ports ?? [];
  return {
    namespace: 'shop',
    kind: isWorkloadKind(workload.kind) ? workload.kind : 'Deployment',
    name: workload.metadata.name,
    mode: { kind: 'sidecar' },
    services: [service],
    ports: over.ports ?? portsThrough(service, workload, first?.port),
    agent: { image: 'node:22-slim', code: 'agent();' },
    createdBy: { user: 'ann', host: 'laptop' },
    keepAgent: false,
    installId: '0badcafe',
    ...over,
  };
}

/** The Service of a StatefulSet: its callers come to the pods, by the names of ports. */
export const headless = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' }], {
  clusterIP: 'None',
});

/** As `intercept run`'s and a worker's: no port is asked for. */
export function withoutPorts(workload: Workload, over: Partial<InstallRequest>): InstallRequest {
  return installRequest(workload, headless, { services: [], ports: [], ...over });
}
