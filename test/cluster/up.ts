import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DAEMONS, type Daemon, daemonLog, isDaemonRunning, startDaemon } from './daemons.ts';
import { run, tryRun, waitFor } from './exec.ts';
import { kubectl } from './kubectl.ts';
import { DNS_PORT, DNS_SERVICE_IP, type Layout, NODE_NAME } from './layout.ts';
import { writeNodeConfig } from './node-config.ts';
import { findNodeNamespace, type NodeNamespace, removeNodeNamespace, startNodeNamespace } from './node-namespace.ts';
import { installHostPackages } from './packages.ts';
import { writePki } from './pki.ts';
import { ensureCache } from './programs.ts';
import { ClusterError, step } from './progress.ts';

/** On a machine with more to do than it can, a cluster that works may not say so at once: it is others' too, and not thrown away for that. */
const PATIENCE_MS = 60_000;

/** Brings the cluster up, from whatever there is: nothing, the rest of an interrupted run, or a cluster that works. */
export async function bringUp(layout: Layout): Promise<void> {
  if (await becomesHealthy(layout)) return;
  await installHostPackages();
  await ensureCache(layout);
  await step('remove what an earlier run left', () => removeNodeNamespace(layout));
  await mkdir(layout.stateDir, { recursive: true, mode: 0o755 });
  const [node] = await step('make the node and its certificates', () =>
    Promise.all([startNodeNamespace(layout), writePki(layout), writeNodeConfig(layout)]),
  );
  await startDaemon(layout, node, 'etcd');
  await startDaemon(layout, node, 'kube-apiserver');
  await startDaemon(layout, node, 'containerd');
  const images = step('load the images', () => loadImages(layout, node));
  images.catch(() => {}); // awaited below
  await step('start the API server', () => waitForApi(layout));
  for (const name of ['kube-controller-manager', 'kube-scheduler', 'dns'] as const)
    await startDaemon(layout, node, name);
  await images;
  for (const name of ['kubelet', 'kube-proxy'] as const) await startDaemon(layout, node, name);
  await applyDns(layout);
  await step('wait for the node', () => waitForNode(layout));
}

/** Whether every daemon runs and the node is ready, or becomes so in PATIENCE_MS. */
async function becomesHealthy(layout: Layout): Promise<boolean> {
  const judge = async (): Promise<boolean | undefined> => {
    const problem = await findProblem(layout);
    if (problem === undefined) return true;
    return SLOW.includes(problem) ? undefined : false;
  };
  return await waitFor(judge, {
    timeoutMs: PATIENCE_MS,
    intervalMs: 1_000,
    onTimeout: () => new Error('too slow'),
  }).catch(() => false);
}

const [NO_ANSWER, NOT_READY] = ['the API server does not answer', 'the node is not ready'];
/** What may be so for a while although every daemon runs. */
const SLOW: readonly string[] = [NO_ANSWER, NOT_READY];

/** What keeps the cluster from being usable, or undefined when nothing does. */
export async function findProblem(layout: Layout): Promise<string | undefined> {
  const hasKubeconfig = await access(layout.kubeconfig).then(
    () => true,
    () => false, // ENOENT
  );
  if (!hasKubeconfig || (await findNodeNamespace(layout)) === undefined) return 'it is not up';
  for (const name of DAEMONS) if (!(await isDaemonRunning(layout, name))) return `${name} is not running`;
  const node = await kubectl(layout, ['get', 'node', NODE_NAME, '-o', 'json'], { timeoutMs: 5000 }).catch(
    () => undefined,
  );
  if (node === undefined) return NO_ANSWER;
  return isReady(JSON.parse(node)) ? undefined : NOT_READY;
}

interface NodeObject {
  readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

function isReady(node: NodeObject): boolean {
  return node.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}

async function waitForApi(layout: Layout): Promise<void> {
  await waitFor(
    async () => {
      const ready = await tryKubectl(layout, ['get', '--raw', '/readyz']);
      return ready === 'ok' ? true : await requireRunning(layout, ['etcd', 'kube-apiserver']);
    },
    { timeoutMs: 60_000, onTimeout: () => new ClusterError('the API server did not become ready in 60 s', '') },
  ).catch((cause) => explain(layout, cause, 'kube-apiserver'));
}

async function waitForNode(layout: Layout): Promise<void> {
  await waitFor(
    async () => {
      const node = await tryKubectl(layout, ['get', 'node', NODE_NAME, '-o', 'json']);
      if (node === undefined || !isReady(JSON.parse(node))) return requireRunning(layout, DAEMONS);
      const account = await tryKubectl(layout, ['get', 'serviceaccount', 'default', '-n', 'default', '-o', 'name']);
      return account === undefined ? requireRunning(layout, DAEMONS) : true;
    },
    { timeoutMs: 60_000, onTimeout: () => new ClusterError('the node did not become ready in 60 s', '') },
  ).catch((cause) => explain(layout, cause, 'kubelet'));
}

async function tryKubectl(layout: Layout, args: readonly string[]): Promise<string | undefined> {
  return kubectl(layout, args, { timeoutMs: 5000 }).catch(() => undefined); // not yet: the caller asks again
}

class DaemonEnded extends Error {
  readonly daemon: Daemon;
  constructor(daemon: Daemon) {
    super(`${daemon} ended`);
    this.daemon = daemon;
  }
}

async function requireRunning(layout: Layout, names: readonly Daemon[]): Promise<undefined> {
  for (const name of names) if (!(await isDaemonRunning(layout, name))) throw new DaemonEnded(name);
}

async function explain(layout: Layout, cause: unknown, suspect: Daemon): Promise<never> {
  const daemon = cause instanceof DaemonEnded ? cause.daemon : suspect;
  const message = cause instanceof Error ? cause.message : String(cause);
  throw new ClusterError(
    `${message}\n${await daemonLog(layout, daemon)}`,
    'all logs are in the folder named above; `npm run cluster -- up` starts afresh',
  );
}

async function loadImages(layout: Layout, node: NodeNamespace): Promise<void> {
  const inside = ['nsenter', '--target', String(node.initPid), '--mount', '--net', '--pid', '--'];
  const ctr = [...inside, join('/run/intercept/cache', layout.programsDir.slice(layout.cacheDir.length), 'bin/ctr')];
  const containerd = [...ctr, '--address', '/run/containerd/containerd.sock', '--namespace', 'k8s.io'];
  await waitFor(
    async () => ((await tryRun([...containerd, 'version'])).code === 0 ? true : requireRunning(layout, ['containerd'])),
    { timeoutMs: 20_000, onTimeout: () => new ClusterError('containerd did not answer in 20 s', '') },
  ).catch((cause) => explain(layout, cause, 'containerd'));
  const archive = join('/run/intercept/cache', layout.imagesDir.slice(layout.cacheDir.length), 'images.tar');
  await run([...containerd, 'images', 'import', archive], { timeoutMs: 120_000 });
}

/** The kube-dns Service, with the DNS server on the node as its only endpoint. */
async function applyDns(layout: Layout): Promise<void> {
  const metadata = { name: 'kube-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };
  const protocols = ['UDP', 'TCP'].map((protocol) => ({ name: protocol === 'UDP' ? 'dns' : 'dns-tcp', protocol }));
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { clusterIP: DNS_SERVICE_IP, ports: protocols.map((each) => ({ ...each, port: 53, targetPort: DNS_PORT })) },
  };
  const endpoints = {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata,
    subsets: [
      { addresses: [{ ip: layout.nodeAddress }], ports: protocols.map((each) => ({ ...each, port: DNS_PORT })) },
    ],
  };
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [service, endpoints] });
  await kubectl(layout, ['apply', '-f', '-'], { input });
}
