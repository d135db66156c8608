import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { parseListeningPorts } from '../../agent/listening-ports.ts';
import type { SessionEvent } from '../../cli/ui/events.ts';
import { AGENT_CONFIG_ENV, type AgentConfig, parseAgentConfig } from '../../src/protocol/agent-config.ts';
import { HANDSHAKE_DEADLINE_MS } from '../../src/protocol/limits.ts';
import { waitFor } from '../cluster/exec.ts';
import { storeProgram } from '../support/bundle.ts';
import { type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { APP_PORT } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();

const TARGET = 'web';
const AGENT = 'kube-intercept-agent';
const IDLE_PEERS = 40;
/** A machine under load may be late in closing; without a deadline nothing would be closed at all. */
const DEADLINE_MS = { min: HANDSHAKE_DEADLINE_MS - 500, max: HANDSHAKE_DEADLINE_MS + 5_000 };

interface Pod {
  readonly metadata: { readonly name: string };
  readonly status: { readonly podIP: string };
  readonly spec: { readonly containers: readonly Container[] };
}
interface Container {
  readonly name: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly volumeMounts?: readonly { readonly name: string }[];
}
interface Closed {
  readonly closedAfterMs: number;
}

describe.skipIf(cluster === undefined)('a pod of the same namespace without the Secret', () => {
  let scene: Scene;
  let run: InterceptRun;
  let pods: Pod[];
  let config: AgentConfig;
  /** The key as the Secret holds it. */
  let key: string;

  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'strangers');
    await storeProgram(scene.caller, 'stranger');
    await scene.deploy({ name: TARGET, replicas: 2 });
    run = await start();
    pods = await waitFor(async () => await agentPods(), {
      timeoutMs: 60_000,
      onTimeout: () => new Error(`not two pods with an agent:\n${run.transcript}`),
    });
    const env = agentOf(pods[0]).env?.find(({ name }) => name === AGENT_CONFIG_ENV);
    config = parseAgentConfig(env?.value ?? '');
    const secrets = await scene.namespace.get<{
      items: { metadata: { name: string }; data: Record<string, string> }[];
    }>('secrets');
    const secret = secrets.items.find(({ metadata }) => metadata.name.startsWith('kube-intercept-'));
    key = Buffer.from(secret?.data.key ?? '', 'base64').toString();
    assert.ok(key.length > 40);
  });
  afterAll(async () => {
    run?.child.kill('SIGTERM');
    await run?.exited;
    await scene?.[Symbol.asyncDispose]();
  });

  async function start(): Promise<InterceptRun> {
    const variables = ['WHO=laptop', 'PORT=3000', 'DRAIN_MS=0'].flatMap((variable) => ['--env', variable]);
    const args = [TARGET, '--port', '3000', ...variables, '--keep-agent', '--', 'node', scene.processFile];
    const started = await startIntercept(scene.laptop, args, { namespace: scene.namespace });
    await started.until('ready', 120_000);
    return started;
  }

  /** The pods with an agent, once all others are gone or going. */
  async function agentPods(): Promise<Pod[] | undefined> {
    const found = await scene.namespace.livePods<Pod>(`${TARGET}-`);
    const areAgents = found.every((pod) => pod.spec.containers.some(({ name }) => name === AGENT));
    return found.length === 2 && areAgents ? found : undefined;
  }

  function agentOf(pod: Pod | undefined): Container {
    const agent = pod?.spec.containers.find(({ name }) => name === AGENT);
    assert.ok(agent !== undefined);
    return agent;
  }

  /** Runs the stranger in the caller pod, against the first pod's tunnel port unless told otherwise. */
  async function stranger<Answer>(
    verb: string,
    argument = '',
    port = config.tunnelPort,
    pod = pods[0],
  ): Promise<Answer> {
    const command = ['node', '/tmp/stranger.mjs', verb, pod?.status.podIP ?? '', String(port), argument];
    const result = await scene.caller.exec(command, { timeoutMs: 200_000 });
    assert.equal(result.code, 0, `${verb}: ${result.stderr}`);
    return JSON.parse(result.stdout);
  }

  async function inAgent(...command: string[]): Promise<string> {
    return await scene.namespace.kubectl(['exec', pods[0]?.metadata.name ?? '', '-c', AGENT, '--', ...command]);
  }

  async function assertUntroubled(who: 'laptop' | 'app' = 'laptop'): Promise<void> {
    const tally = await scene.call(TARGET, 20);
    assert.deepEqual([tally.by, tally.failures], [{ [who]: 20 }, []], run.transcript);
    assert.ok(!run.events.some(({ event }) => event === 'disconnected'), run.transcript);
  }

  test('that connects and says nothing is cut at the deadline, and has heard a nonce at most', async () => {
    const [tcp, tls, silent] = await Promise.all([
      stranger<Closed & { receivedBytes: number }>('tcp'),
      stranger<Closed & { receivedBytes: number }>('tls'),
      stranger<Closed & { heard: string[] }>('silent'),
    ]);
    assert.deepEqual([tcp.receivedBytes, tls.receivedBytes, silent.heard], [0, 0, ['hello']]);
    for (const { closedAfterMs } of [tcp, tls, silent]) {
      assert.ok(
        closedAfterMs >= DEADLINE_MS.min && closedAfterMs <= DEADLINE_MS.max,
        `closed after ${closedAfterMs} ms`,
      );
    }
    await assertUntroubled();
  });

  test('that speaks before it has proved anything, or proves the wrong key, is closed without an answer', async () => {
    const talks = await stranger<(Closed & { heard: string[] })[]>('no-proof');
    assert.deepEqual(
      talks.map(({ heard }) => heard),
      talks.map(() => ['hello']),
    );
    assert.match(await stranger<string>('wrong-key'), /^TUNNEL_UNAUTHENTICATED: .*the agent refused the proof/); // no welcome
    await assertUntroubled();
  });

  test('that replays the proof of a session is closed without an answer, although the session was let in', async () => {
    const seen = await stranger<{ outcome: string; replayed: { heard: string[] } }>('replay', key);
    assert.deepEqual([seen.outcome, seen.replayed.heard], ['welcome', ['hello']]);
    await assertUntroubled();
  });

  test('learns from the tunnel port by HTTP that the agent is ready, and nothing else', async () => {
    const answers = await stranger<{ path: string; status: number; body: string; headers: string[] }[]>('http');
    const expected = answers.map(({ path }) => ({ path, status: path === '/readyz' ? 200 : 404, body: '' }));
    assert.deepEqual(
      answers.map(({ path, status, body }) => ({ path, status, body })),
      expected,
    );
    const usual = ['connection', 'content-length', 'date', 'transfer-encoding'];
    assert.deepEqual(
      answers.flatMap(({ headers }) => headers).filter((name) => !usual.includes(name)),
      [],
    );
  });

  test('reaches the process by a route port, whatever it says there, and never the agent', async () => {
    const [route] = config.routes;
    assert.equal(config.routes.length, 1);
    assert.equal(route?.appPort, APP_PORT);
    const close = 'HTTP/1.1\r\nHost: a\r\nConnection: close\r\n';
    for (const path of ['/readyz', '/tunnel', '/.well-known/kube-intercept-proof/abc']) {
      const answer = await stranger<string>('raw', `GET ${path} ${close}\r\n`, route.port);
      assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
      assert.ok(answer.includes(`laptop ${await laptopHost()} GET ${path} 0`), answer);
    }
    assert.equal(await stranger('raw', 'tls', route.port), 'no TLS');
  });

  /** The name that the process finds for its machine: the laptop is a network namespace, no host of its own. */
  async function laptopHost(): Promise<string> {
    return (await scene.laptop.run(['hostname'])).stdout.trim();
  }

  test('finds no port open in the pod but the tunnel, the routes and those of the app', async () => {
    const tables = await inAgent('cat', '/proc/net/tcp', '/proc/net/tcp6');
    const { tunnelPort, drainPort = 0, routes } = config;
    const wanted = [APP_PORT, tunnelPort, drainPort, ...routes.map((route) => route.port)];
    assert.deepEqual([...parseListeningPorts(tables)].sort(), wanted.sort());
    const datagrams = (await inAgent('cat', '/proc/net/udp', '/proc/net/udp6')).trim().split('\n');
    assert.deepEqual(
      datagrams.filter((line) => /^\s*\d+:/.test(line)),
      [],
    );
  });

  test('would find in the agent neither root, nor a capability, nor a file system to write to', async () => {
    const status = await inAgent('cat', '/proc/1/status');
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1]?.split(/\s+/);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.match(field(set)?.[0] ?? '', /^0+$/, set);
    assert.deepEqual(field('NoNewPrivs'), ['1']);
    for (const ids of ['Uid'])
      assert.ok(
        field(ids)?.every((id) => id !== '0'),
        status,
      );
    const root = (await inAgent('cat', '/proc/mounts')).split('\n').find((line) => line.split(' ')[1] === '/');
    assert.ok(root?.split(' ')[3]?.split(',').includes('ro'), root);
    await assert.rejects(inAgent('touch', '/tmp/x'), /Read-only file system/);
    await assert.rejects(inAgent('touch', '/kube-intercept/credentials/x'), /Read-only file system/);
  });

  test('cannot read the key but with the right to read Secrets', async () => {
    const { namespace } = scene;
    const as = `--as=system:serviceaccount:${namespace.name}`;
    await namespace.apply({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'viewer' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
      subjects: [{ kind: 'ServiceAccount', name: 'viewer', namespace: namespace.name }],
    });
    for (const account of ['viewer', 'default']) {
      await assert.rejects(namespace.kubectl(['get', 'secrets', `${as}:${account}`]), /secrets is forbidden/);
    }
    // The Secret's volume is the agent's alone, and no other object, log or output has the key.
    for (const { spec } of pods) {
      for (const { name, volumeMounts = [] } of spec.containers) {
        if (name !== AGENT) assert.ok(!volumeMounts.some((mount) => mount.name.startsWith('kube-intercept')), name);
      }
    }
    const environment = await inAgent('cat', '/proc/1/environ');
    const told = [
      await namespace.kubectl([
        'get',
        'pods,deployments,replicasets,configmaps,services,endpoints,events',
        '-o',
        'yaml',
      ]),
      await namespace.kubectl(['logs', pods[0]?.metadata.name ?? '', '-c', AGENT]),
      await scene.get(`http://${TARGET}/env`),
      environment,
      run.transcript + run.stdout,
    ];
    assert.ok(told.every((text) => text.length > 0));
    const forms = [key, Buffer.from(key).toString('base64'), Buffer.from(key, 'base64url').toString('hex')];
    for (const form of forms) assert.ok(!told.some((text) => text.includes(form)));
  });

  test('with 40 idle connections to each agent keeps no session from connecting', async () => {
    assert.notEqual(await run.interrupt(), null);
    await assertUntroubled('app');
    const floods = pods.map((pod) => stranger<{ cut: number }>('flood', String(IDLE_PEERS), config.tunnelPort, pod));
    try {
      await untilFlooded();
      run = await start();
      assert.equal(run.events.filter(({ event }) => event === 'patched').length, 0); // by the agents that are beset
      await assertUntroubled();
    } finally {
      await scene.caller.exec(['sh', '-c', 'kill $(cat /tmp/flood-*.pid)']);
    }
    const ended = await Promise.all(floods);
    for (const { cut } of ended) assert.ok(cut >= IDLE_PEERS - 32, `only ${cut} were cut`); // 32 are let be until their deadline
    const { elapsedMs } = await run.until('ready');
    const told = (name: SessionEvent['event']): number[] =>
      run.events.flatMap(({ event }, index) => (event === name ? [run.receivedAtMs[index] ?? Number.NaN] : []));
    const connectedMs = Math.max(...told('connected')) - Math.min(...told('agent-present'));
    console.log(
      `connected in ${connectedMs} ms, ready in ${elapsedMs} ms beside ${IDLE_PEERS} idle peers for each agent`,
    );
    assert.ok(
      connectedMs >= 0 && connectedMs < HANDSHAKE_DEADLINE_MS,
      `${connectedMs} ms: it had to wait until a stranger's time was over`,
    );
  });

  /** Until both agents hold as many strangers as they bear (MAX_UNAUTHENTICATED_PEERS). */
  async function untilFlooded(): Promise<void> {
    const count = async (): Promise<true | undefined> => {
      const tables = await inAgent('cat', '/proc/net/tcp', '/proc/net/tcp6');
      const port = config.tunnelPort.toString(16).toUpperCase();
      const established = tables.split('\n').filter((line) => new RegExp(`:${port} \\S+ 01 `).test(line));
      return established.length >= 30 ? true : undefined;
    };
    await waitFor(count, { timeoutMs: 60_000, onTimeout: () => new Error('the flood does not come about') });
  }
});
