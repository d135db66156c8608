// A scene whose workload `web` stands among the upstreams, on a laptop that has a network of its own.
import { waitFor } from '../cluster/exec.ts';
import type { TestCluster } from './cluster.ts';
import { type HomeNetwork, startHomeNetwork } from './home-network.ts';
import { Scene } from './scene.ts';
import { startUpstreams, type Upstreams } from './upstreams.ts';

export const WEB = 'web';
export const SECRET_FILE = '/etc/app-secret/password';
export const CONFIG_FILE = '/etc/app-config/mode';
export const TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token';
export const SECRET_TEXT = 'not for the log';

/** Only on the pod's own 127.0.0.1. */
export const LOOPBACK_PORT = 8099;
/** `/probes` tells how many probes were answered so far. */
const WEB_CODE = `
const http = require('node:http');
let probes = 0;
const server = http.createServer((request, response) => {
  if (request.url === '/healthz') probes += 1;
  response.end(request.url === '/probes' ? String(probes) : 'app ' + request.url + '\\n');
}).listen(8080);
http.createServer((request, response) => response.end('only in the pod\\n')).listen(${LOOPBACK_PORT}, '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`;

export interface NetworkScene {
  readonly scene: Scene;
  readonly upstreams: Upstreams;
  readonly home: HomeNetwork;
  /** The only pod of WEB that is not going: while an agent is installed, the one that connections leave from. */
  webPod(): Promise<WebPod>;
  dispose(): Promise<void>;
}

export interface WebPod {
  readonly name: string;
  readonly address: string;
  /** Restarts of all containers. */
  readonly restarts: number;
  /** When it last became ready or ceased to be, as the API has it. */
  readonly ready: { readonly status: string; readonly since: string };
}

interface PodObject {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly podIP: string;
    readonly containerStatuses: readonly { readonly restartCount: number }[];
    readonly conditions: readonly {
      readonly type: string;
      readonly status: string;
      readonly lastTransitionTime: string;
    }[];
  };
}

/** Opens a scene with the workload WEB (one pod, with a Secret and a ConfigMap mounted), the upstreams and a home network. */
export async function openNetworkScene(cluster: TestCluster, prefix: string): Promise<NetworkScene> {
  const scene = await Scene.open(cluster, prefix);
  const [upstreams, home] = await Promise.all([
    startUpstreams(cluster, scene.namespace),
    startHomeNetwork(scene.laptop),
    deployWeb(scene),
  ]);
  return {
    scene,
    upstreams,
    home,
    webPod: () =>
      waitFor(async () => await findWebPod(scene), {
        timeoutMs: 60_000,
        onTimeout: () => new Error(`not one pod of ${WEB}`),
      }),
    dispose: async () => {
      await Promise.all([upstreams.dispose(), scene[Symbol.asyncDispose]()]);
    },
  };
}

async function findWebPod(scene: Scene): Promise<WebPod | undefined> {
  const pods = await scene.namespace.livePods<PodObject>(`${WEB}-`);
  const [pod] = pods;
  if (pod === undefined || pods.length > 1) return undefined;
  const ready = pod.status.conditions.find(({ type }) => type === 'Ready');
  return {
    name: pod.metadata.name,
    address: pod.status.podIP,
    restarts: pod.status.containerStatuses.reduce((sum, { restartCount }) => sum + restartCount, 0),
    ready: { status: ready?.status ?? '', since: ready?.lastTransitionTime ?? '' },
  };
}

async function deployWeb(scene: Scene): Promise<void> {
  await scene.namespace.apply([
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'app' }, stringData: { password: SECRET_TEXT } },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'app' }, data: { mode: 'first' } },
  ]);
  const probe = {
    httpGet: { path: '/healthz', port: 'http' },
    periodSeconds: 1,
    timeoutSeconds: 5,
    failureThreshold: 1,
  };
  await scene.deploy({
    name: WEB,
    replicas: 1,
    code: WEB_CODE,
    container: {
      readinessProbe: probe,
      livenessProbe: { ...probe, failureThreshold: 3 },
      volumeMounts: [
        { name: 'secret', mountPath: '/etc/app-secret', readOnly: true },
        { name: 'config', mountPath: '/etc/app-config', readOnly: true },
      ],
    },
    podSpec: {
      terminationGracePeriodSeconds: 2,
      volumes: [
        { name: 'secret', secret: { secretName: 'app' } },
        { name: 'config', configMap: { name: 'app' } },
      ],
    },
  });
}
