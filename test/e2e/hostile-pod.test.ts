import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { loadKubeConfig } from '../../cli/kube/kubeconfig.ts';
import { connectAgentTunnel } from '../../cli/session/agent-tunnel.ts';
import type { Carrier } from '../../cli/session/carriers.ts';
import { silentLog } from '../../src/log.ts';
import { AGENT_CONFIG_ENV, type AgentConfig, parseAgentConfig } from '../../src/protocol/agent-config.ts';
import { parseTunnelKey } from '../../src/protocol/handshake.ts';
import { waitFor } from '../cluster/exec.ts';
import { storeProgram } from '../support/bundle.ts';
import type { Caller, TestNamespace } from '../support/cluster.ts';
import { type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { parseAgentSecret } from '../support/told.ts';

const cluster = await clusterOrUndefined();

const CANARY = 'canary-in-the-tunnel';
const AGENT = 'kube-intercept-agent';
const DRAINERS = 100;
const ASK_MS = 30_000;
/** For an answer that does not come. */
const DROPPED_MS = 1_000;

interface Pod {
  readonly metadata: { readonly name: string };
  readonly status: { readonly podIP: string };
  readonly spec: {
    readonly containers: readonly {
      readonly name: string;
      readonly env?: readonly { name: string; value?: string }[];
    }[];
  };
}

/** How mallory's connection ended for the session, and what mallory saw. */
interface Met {
  readonly outcome: string;
  readonly seen: Buffer;
}

describe.skipIf(cluster === undefined)('a hostile pod', () => {
  let scene: Scene;
  let elsewhere: TestNamespace;
  let run: InterceptRun;
  let pod: Pod;
  let config: AgentConfig;
  let key: string;

  beforeAll(async () => {
    if (cluster === undefined) return;
    [scene, elsewhere] = await Promise.all([
      Scene.open(cluster, 'hostile-pod'),
      cluster.createNamespace('hostile-elsewhere'),
    ]);
    const env = [{ name: 'CANARY', value: CANARY }];
    await Promise.all([
      storeProgram(scene.caller, 'stranger'),
      storeProgram(scene.caller, 'mallory'),
      elsewhere.caller().then((caller) => storeProgram(caller, 'stranger')),
      scene.deploy({ name: 'web', replicas: 1, env }),
    ]);
    const command = ['--env', 'WHO=laptop', '--env', 'PORT=3000', '--', 'node', scene.processFile];
    run = await startIntercept(scene.laptop, ['web', '--port', '3000', ...command], { namespace: scene.namespace });
    await run.until('ready', 120_000);
    pod = await waitFor(async () => await agentPod(), {
      timeoutMs: 60_000,
      onTimeout: () => new Error(`no pod with an agent:\n${run.transcript}`),
    });
    const settings = pod.spec.containers.find(({ name }) => name === AGENT)?.env;
    config = parseAgentConfig(settings?.find(({ name }) => name === AGENT_CONFIG_ENV)?.value ?? '');
    key = parseAgentSecret(await scene.namespace.get('secrets')).key;
  });
  afterAll(async () => {
    run?.child.kill('SIGTERM');
    await run?.exited;
    await Promise.all([scene?.[Symbol.asyncDispose](), elsewhere?.dispose()]);
  });

  async function agentPod(): Promise<Pod | undefined> {
    const found = await scene.namespace.livePods<Pod>('web-');
    const [one] = found;
    return found.length === 1 && one?.spec.containers.some(({ name }) => name === AGENT) ? one : undefined;
  }

  async function stranger<Answer>(
    verb: string,
    {
      argument = '',
      port = config.tunnelPort,
      from = scene.caller,
    }: { argument?: string; port?: number; from?: Caller } = {},
  ): Promise<Answer> {
    const command = ['node', '/tmp/stranger.mjs', verb, pod.status.podIP, String(port), argument];
    const result = await from.exec(command, { timeoutMs: 120_000 });
    assert.equal(result.code, 0, `${verb}: ${result.stderr}`);
    return JSON.parse(result.stdout);
  }

  async function assertUntroubled(): Promise<void> {
    const tally = await scene.call('web', 20);
    assert.deepEqual([tally.by, tally.failures], [{ laptop: 20 }, []], run.transcript);
    const lost = run.events.filter(({ event }) => event === 'disconnected' || event === 'reconnecting');
    assert.deepEqual(lost, [], run.transcript);
    const now = await agentPod();
    assert.equal(now?.metadata.name, pod.metadata.name);
    const { status } = await scene.namespace.get<{ status: { containerStatuses: { restartCount: number }[] } }>(
      `pod/${pod.metadata.name}`,
    );
    assert.ok(status.containerStatuses.every(({ restartCount }) => restartCount === 0));
  }

  test('of another namespace is let in by no door that is shut in its own', async () => {
    const from = await elsewhere.caller();
    const talks = await stranger<{ heard: string[] }[]>('no-proof', { from });
    assert.deepEqual(
      talks.map(({ heard }) => heard),
      talks.map(() => ['hello']),
    );
    assert.match(await stranger<string>('wrong-key', { from }), /^TUNNEL_UNAUTHENTICATED: /);
    const another = 'A'.repeat(43); // a key, and not this agent's
    const seen = await stranger<{ outcome: string }>('replay', { from, argument: another });
    assert.match(seen.outcome, /^TUNNEL_UNAUTHENTICATED: /);
    await assertUntroubled();
  });

  test('that speaks an older version, with the key or without, is closed without an answer', async () => {
    const talks = await stranger<{ heard: string[] }[]>('downgrade', { argument: key });
    assert.deepEqual(
      talks.map(({ heard }) => heard),
      [['hello'], ['hello'], ['hello']],
    );
    await assertUntroubled();
  });

  test('that sends more than a handshake may have is cut', async () => {
    const [header, frame, proof, message] = await stranger<string[]>('oversize');
    assert.match(header ?? '', /^\{("status":"4\d\d")?\}$/);
    assert.equal(frame, '{"status":"101"}');
    for (const talk of [proof, message]) assert.match(talk ?? '', /"heard":\["hello"\]/);
    await assertUntroubled();
  });

  test('that asks the drain port, many times over, stops nothing', async () => {
    assert.ok(config.drainPort !== undefined);
    const answers = await stranger<(number | 'cut')[]>('drain', { port: config.drainPort, argument: String(DRAINERS) });
    assert.equal(answers.length, DRAINERS);
    assert.ok(answers.every((answer) => answer === 204 || answer === 'cut'));
    await assertUntroubled();
  });

  /** Leads a session of ours to mallory instead of the agent, as somebody between them could, and asks it for the environment. */
  async function meet(mode: string, carrier: Carrier = 'proxy'): Promise<Met> {
    const port = String(config.tunnelPort);
    const mallory = scene.caller.exec(['node', '/tmp/mallory.mjs', mode, pod.status.podIP, port], {
      timeoutMs: 60_000,
    });
    const hex = config.tunnelPort.toString(16).toUpperCase().padStart(4, '0');
    const listens = async (): Promise<true | undefined> => {
      const { code } = await scene.caller.exec([
        'grep',
        '-q',
        `:${hex} [0-9:A-F]* 0A`,
        '/proc/net/tcp',
        '/proc/net/tcp6',
      ]);
      return code === 0 ? true : undefined;
    };
    await waitFor(listens, { timeoutMs: 60_000, onTimeout: () => new Error('mallory does not listen') });
    const access = await loadKubeConfig({ kubeconfig: scene.namespace.developerKubeconfig, env: {} });
    const certificate = Buffer.from(
      (await scene.namespace.get<{ data: Record<string, string> }>(`secret/${await secretName()}`)).data['tls.crt'] ??
        '',
      'base64',
    ).toString();
    const options = {
      access,
      address: { namespace: scene.namespace.name, pod: scene.caller.pod, tunnelPort: config.tunnelPort, certificate },
      key: parseTunnelKey(key),
      identity: { sessionId: 'victim', user: 'ann', host: 'laptop' },
      resumeMs: 0,
      onOpen: () => {},
      onEvent: () => {},
      log: silentLog,
    };
    const outcome = await connectAgentTunnel(options, carrier, AbortSignal.timeout(30_000)).then(
      async (tunnel) => {
        const timeoutMs = mode === 'drop' ? DROPPED_MS : ASK_MS;
        const asked = tunnel.control.request('environment', {}, { timeoutMs }).then(
          (answer) => JSON.stringify(answer),
          (error: { code?: string; message: string }) => `${error.code}: ${error.message}`,
        );
        const answer = await asked;
        const [ended] = await Promise.all([tunnel.mux.closed, tunnel.close()]);
        return `${answer} ${String(ended ?? '')}`;
      },
      (error: { code?: string; message: string }) => `${error.code}: ${error.message}`,
    );
    const told = await mallory;
    assert.equal(told.code, 0, told.stderr);
    const { seen = '' } = JSON.parse(told.stdout) as { seen?: string };
    return { outcome, seen: Buffer.from(seen, 'base64') };
  }

  async function secretName(): Promise<string> {
    return parseAgentSecret(await scene.namespace.get('secrets')).name;
  }

  test('that stands for the agent without its key is refused by the session, over either carrier', async () => {
    assert.match((await meet('forge')).outcome, /^TUNNEL_UNAUTHENTICATED: .*the proof of the agent is wrong/);
    assert.match((await meet('downgrade')).outcome, /^TUNNEL_VERSION: /);
    assert.match((await meet('forge', 'port-forward')).outcome, /^TUNNEL_\w+: .*certificate/); // it is not the Secret's
    await assertUntroubled();
  });

  test('between session and agent reads nothing, and what it changes, repeats or leaves out ends the connection', async () => {
    const passed = await meet('pass');
    assert.ok(passed.outcome.includes(CANARY), passed.outcome); // it is the agent that answers
    assert.ok(passed.seen.byteLength > 1_000 && passed.seen.includes('"welcome"'));
    for (const form of [CANARY, Buffer.from(CANARY).toString('base64'), 'KUBERNETES_SERVICE_HOST', key])
      assert.ok(!passed.seen.includes(form), form);
    for (const mode of ['change', 'repeat']) {
      const { outcome } = await meet(mode);
      assert.match(outcome, /a message that the other end did not send/, mode);
    }
    const dropped = await meet('drop');
    assert.ok(!dropped.outcome.includes(CANARY), dropped.outcome);
    await assertUntroubled();
  });
});
