import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestCluster, TestNamespace } from '../support/cluster.ts';
import { startRelay } from '../support/faulty-relay.ts';
import { startUpstreams } from '../support/upstreams.ts';
import { type BareSocket, mebibytesPerSecond } from './bare-socket.ts';
import type { BenchSize } from './main.ts';
import { PortForward } from './port-forward.ts';
import { INTERCEPT, startSession } from './session.ts';
import { compare, median, type Row } from './stats.ts';

const CLIENT = fileURLToPath(new URL('./network-client.cjs', import.meta.url));
const DOMAIN = 'cluster.local';
const AT_ONCE = 16;
/** Nobody listens there: the intercept takes no traffic. */
const UNUSED_PORT = 3999;
const TIMEOUT_MS = 180_000;
/** Between a laptop and an API server elsewhere; the relay holds every byte back for half of it, each way. */
const FAR_ROUND_TRIP_MS = 20;
/** Over the distance all takes longer: so much less of it. */
const FAR_SHARE = 8;
/** A file of an ordinary size: windows that begin small show here. */
const SHORT_BYTES = 16 * 2 ** 20;

type Network = 'namespace' | 'proxy' | 'none';

/** Gives what the client program is run by: nothing, or `intercept run … --`. */
type Runner = (operation: string, ...operands: readonly (string | number)[]) => Promise<unknown>;

/**
 * What it costs to stand inside the cluster: DNS answers beside a bare round trip, connections and bytes to a Service beside
 * `kubectl port-forward` to the same one, and namespace mode beside proxy mode and none at all.
 */
export async function measureNetwork(
  cluster: TestCluster,
  namespace: TestNamespace,
  bare: BareSocket,
  size: BenchSize,
): Promise<Row[]> {
  const upstreams = await startUpstreams(cluster, namespace);
  const near = namespace.developerKubeconfig;
  const forward = await PortForward.start(cluster, near, 'api');
  const inside = (network: Network): Runner => insideRunner(near, network);
  const address = `http://${upstreams.clusterIps.api}`; // no lookup: port-forward has none either, and it is a row of its own
  const runners: Record<'forward' | 'namespace' | 'proxy', { run: Runner; url: string }> = {
    forward: { run: (...operands) => runClient(near, [CLIENT], operands), url: forward.url },
    namespace: { run: inside('namespace'), url: address },
    proxy: { run: inside('proxy'), url: address },
  };
  await keepAgent(namespace);
  const measured: Record<string, number[]> = {};
  const note = (name: string, value: number): void => {
    measured[name] = [...(measured[name] ?? []), value];
  };
  try {
    const bytes = size.streamBytes;
    for (let i = 0; i < size.repeats; i++) {
      note('echo', median(await bare.roundTrips(size.roundTrips)));
      note('dns', median(numbers(await inside('namespace')('dns', DOMAIN, size.roundTrips))));
      for (const [name, { run, url }] of Object.entries(runners)) {
        await noteAll(run, url, size.connections, bytes, (what, figure) => note(`${name}${what}`, figure));
      }
      for (const network of ['namespace', 'proxy', 'none'] as const)
        note(`${network}Start`, await startSeconds(near, network));
    }
    await measureFar(cluster, namespace, address, size, note);
  } finally {
    await forward.close();
    await startSession(namespace, ['leave', 'web']).exited;
    await upstreams.dispose();
  }
  const value = (name: string): number => median(measured[name] ?? []);
  const beside: Beside = (what, name, other, unit, target) => compare(what, value(name), value(other), unit, target);
  return [
    beside('DNS answer p50 beside a bare round trip', 'dns', 'echo', 'ms'),
    beside('GET on a new connection, p50, beside port-forward', 'namespaceGet', 'forwardGet', 'ms', { atMost: 0.5 }),
    beside('connections/s, 16 at once, beside port-forward', 'namespaceRate', 'forwardRate', '/s', { atLeast: 2 }),
    beside('outgoing, pod → laptop, beside port-forward', 'namespaceDown', 'forwardDown', 'MiB/s', { atLeast: 3 }),
    beside('outgoing, laptop → pod, beside port-forward', 'namespaceUp', 'forwardUp', 'MiB/s', { atLeast: 3 }),
    ...farRows(beside),
    beside('GET on a new connection, namespace beside proxy', 'namespaceGet', 'proxyGet', 'ms'),
    beside('pod → laptop, namespace beside proxy', 'namespaceDown', 'proxyDown', 'MiB/s'),
    beside('laptop → pod, namespace beside proxy', 'namespaceUp', 'proxyUp', 'MiB/s'),
    beside('run -- node -e 0, namespace beside none', 'namespaceStart', 'noneStart', 's'),
    beside('run -- node -e 0, proxy beside none', 'proxyStart', 'noneStart', 's'),
  ];
}

type Beside = (what: string, name: string, other: string, unit: string, target?: Parameters<typeof compare>[4]) => Row;

/** The same with the API server FAR_ROUND_TRIP_MS away, for both: what windows and round trips cost. */
async function measureFar(
  cluster: TestCluster,
  namespace: TestNamespace,
  address: string,
  size: BenchSize,
  note: (name: string, value: number) => void,
): Promise<void> {
  const relay = await startRelay(cluster.apiServer);
  relay.setDelay(FAR_ROUND_TRIP_MS / 2);
  const folder = await mkdtemp(join(tmpdir(), 'intercept-bench-'));
  const kubeconfig = join(folder, 'kubeconfig');
  await writeFile(kubeconfig, namespace.kubeconfigFor(`https://${relay.address}:${relay.port}`), { mode: 0o600 });
  const forward = await PortForward.start(cluster, kubeconfig, 'api');
  const runners: Record<string, { run: Runner; url: string }> = {
    farForward: { run: (...operands) => runClient(kubeconfig, [CLIENT], operands), url: forward.url },
    farNamespace: { run: insideRunner(kubeconfig, 'namespace'), url: address },
  };
  const connections = Math.ceil(size.connections / FAR_SHARE);
  const bytes = Math.ceil(size.streamBytes / FAR_SHARE);
  try {
    for (let i = 0; i < size.repeats; i++) {
      for (const [name, { run, url }] of Object.entries(runners)) {
        await noteAll(run, url, connections, bytes, (what, figure) => note(`${name}${what}`, figure));
      }
    }
  } finally {
    await forward.close();
    await relay.close();
    await rm(folder, { recursive: true });
  }
}

/** Notes Get (ms), Rate (/s), Short, Down and Up (MiB/s), as one client meets them one after another. */
async function noteAll(
  run: Runner,
  url: string,
  connections: number,
  bytes: number,
  note: (what: string, figure: number) => void,
): Promise<void> {
  const took = (await run('all', url, connections, AT_ONCE, SHORT_BYTES, bytes)) as Record<string, unknown>;
  note('Get', median(numbers(took.gets)));
  note('Rate', Number(took.rate));
  note('Short', rateOf(SHORT_BYTES, took.short));
  note('Down', rateOf(bytes, took.down));
  note('Up', rateOf(bytes, took.up));
}

function farRows(beside: Beside): Row[] {
  const at = (what: string, name: string, unit: string, target?: Parameters<typeof compare>[4]): Row =>
    beside(
      `${what}, API server ${FAR_ROUND_TRIP_MS} ms away`,
      `farNamespace${name}`,
      `farForward${name}`,
      unit,
      target,
    );
  return [
    at('GET on a new connection', 'Get', 'ms', { atMost: 0.5 }),
    at('pod → laptop, 16 MiB', 'Short', 'MiB/s', { atLeast: 3 }),
    at('pod → laptop', 'Down', 'MiB/s', { atLeast: 3 }),
    at('laptop → pod', 'Up', 'MiB/s', { atLeast: 3 }),
  ];
}

/** Runs the client inside, in a session of its own each time. */
function insideRunner(kubeconfig: string, network: Network): Runner {
  const command = [INTERCEPT, 'run', 'web', '--network', network, '--', process.execPath, CLIENT];
  return (...operands) => runClient(kubeconfig, command, operands);
}

/** Puts the agent in place for all sessions to come, so that each starts warm. */
async function keepAgent(namespace: TestNamespace): Promise<void> {
  const session = startSession(namespace, ['web', '--port', String(UNUSED_PORT), '--keep-agent']);
  await session.until('connected', 120_000);
  await session.interrupt();
}

async function runClient(
  kubeconfig: string,
  command: readonly string[],
  operands: readonly (string | number)[],
): Promise<unknown> {
  return JSON.parse(await runNode(kubeconfig, [...command, ...operands.map(String)]));
}

/** Seconds of a command that does nothing, from the start of `intercept run` to its end, with the agent in place. */
async function startSeconds(kubeconfig: string, network: Network): Promise<number> {
  const started = performance.now();
  const options = ['run', 'web', '--network', network];
  await runNode(kubeconfig, [INTERCEPT, ...options, '--', process.execPath, '-e', '0']);
  return (performance.now() - started) / 1000;
}

async function runNode(kubeconfig: string, args: readonly string[]): Promise<string> {
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: TIMEOUT_MS });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${args.join(' ')}: exit code ${String(code)}\n${output.stderr}`);
  return output.stdout;
}

function numbers(value: unknown): number[] {
  if (!Array.isArray(value)) throw new Error(`not a list of times: ${JSON.stringify(value)}`);
  return value.map(Number);
}

function rateOf(bytes: number, milliseconds: unknown): number {
  return mebibytesPerSecond(bytes, performance.now() - Number(milliseconds));
}
