import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import dnsPacket from 'dns-packet';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { loadKubeConfig } from '../../cli/kube/kubeconfig.ts';
import { type AgentTunnel, connectAgentTunnel } from '../../cli/session/agent-tunnel.ts';
import { RCODE } from '../../src/dns/message.ts';
import { silentLog } from '../../src/log.ts';
import type { MuxStream } from '../../src/mux/mux.ts';
import { LengthPrefixReader, withLength } from '../../src/net/length-prefix.ts';
import { AGENT_CONFIG_ENV, parseAgentConfig } from '../../src/protocol/agent-config.ts';
import type { PodFile } from '../../src/protocol/control.ts';
import { parseTunnelKey } from '../../src/protocol/handshake.ts';
import { waitFor } from '../cluster/exec.ts';
import { type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';

const cluster = await clusterOrUndefined();

const TOKEN_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';
const VOLUMES = {
  container: {
    volumeMounts: [
      { name: 'config', mountPath: '/etc/config' },
      { name: 'config', mountPath: '/app/one.yaml', subPath: 'a.yaml' },
      { name: 'secret', mountPath: '/etc/secret' },
      { name: 'scratch', mountPath: '/data' },
    ],
    lifecycle: {
      postStart: { exec: { command: ['sh', '-c', 'echo made by the app > /data/made; ln -s /etc/passwd /data/out'] } },
    },
  },
  podSpec: {
    volumes: [
      { name: 'config', configMap: { name: 'settings' } },
      { name: 'secret', secret: { secretName: 'password', defaultMode: 0o400 } },
      { name: 'scratch', emptyDir: {} },
    ],
    hostAliases: [{ ip: '127.0.0.1', hostnames: ['alias.example'] }],
  },
};

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

describe.skipIf(cluster === undefined)('what a session opens in the pod', () => {
  let scene: Scene;
  let run: InterceptRun;
  let tunnel: AgentTunnel;
  let pod: Pod;
  const events: string[] = [];

  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'outgoing');
    const { namespace } = scene;
    await namespace.apply([
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { 'a.yaml': 'one: 1\n' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'password' }, stringData: { password: 'geheim' } },
    ]);
    await scene.deploy({ name: 'web', replicas: 1, ...VOLUMES }, { name: 'api', replicas: 2 });
    run = await startIntercept(
      scene.laptop,
      [
        'web',
        '--port',
        '3000',
        '--network',
        'none',
        '--files',
        'off',
        '--env',
        'PORT=3000',
        '--env',
        'WHO=laptop',
        '--',
        'node',
        scene.processFile,
      ],
      { namespace },
    );
    await run.until('ready', 120_000);
    pod = await agentPod();
    tunnel = await connect();
  });
  afterAll(async () => {
    await tunnel?.close();
    run?.child.kill('SIGTERM');
    await run?.exited;
    await scene?.[Symbol.asyncDispose]();
  });

  async function agentPod(): Promise<Pod> {
    return await waitFor(
      async () => {
        const pods = await scene.namespace.livePods<Pod>('web-');
        return pods.find(({ spec }) => spec.containers.some(({ name }) => name === 'kube-intercept-agent'));
      },
      { timeoutMs: 60_000, onTimeout: () => new Error('no pod with an agent') },
    );
  }

  async function connect(): Promise<AgentTunnel> {
    const secrets = await scene.namespace.get<{
      items: { metadata: { name: string }; data: Record<string, string> }[];
    }>('secrets');
    const secret = secrets.items.find(({ metadata }) => metadata.name.startsWith('kube-intercept-'));
    const key = parseTunnelKey(Buffer.from(secret?.data.key ?? '', 'base64').toString());
    const env = pod.spec.containers.flatMap((container) => container.env ?? []);
    const { tunnelPort } = parseAgentConfig(env.find(({ name }) => name === AGENT_CONFIG_ENV)?.value ?? '');
    const access = await loadKubeConfig({ kubeconfig: scene.namespace.developerKubeconfig });
    return await connectAgentTunnel(
      {
        access,
        address: { namespace: scene.namespace.name, pod: pod.metadata.name, tunnelPort, certificate: '' },
        key,
        identity: { sessionId: randomUUID(), user: 'test', host: 'test' },
        resumeMs: 0,
        onOpen: (stream) => stream.refuse('refused'),
        onEvent: ({ event }) => events.push(event),
        log: silentLog,
      },
      'proxy',
      AbortSignal.timeout(30_000),
    );
  }

  const openTcp = (host: string, port: number): MuxStream => tunnel.mux.open({ kind: 'tcp', host, port });

  async function textOf(stream: MuxStream): Promise<string> {
    let text = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    await once(stream, 'end');
    return text;
  }

  async function httpGet(host: string, port = 80): Promise<string> {
    const stream = openTcp(host, port);
    stream.end(`GET /hi HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    return await textOf(stream);
  }

  async function ask(name: string, type: 'A' | 'SRV'): Promise<dnsPacket.DecodedPacket> {
    const stream = tunnel.mux.open({ kind: 'dns', host: '', port: 0 });
    stream.end(withLength(dnsPacket.encode({ id: 1, flags: 256, questions: [{ name, type }] })));
    const reader = new LengthPrefixReader();
    const answers: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => answers.push(...reader.push(chunk)));
    await once(stream, 'end');
    return dnsPacket.decode(answers[0] ?? Buffer.alloc(0));
  }

  async function readFile(path: string): Promise<string> {
    const stream = tunnel.mux.open({ kind: 'file', host: '', port: 0 });
    stream.end(withLength(Buffer.from(path)));
    return await textOf(stream);
  }

  async function listFiles(): Promise<{
    files: readonly PodFile[];
    unreadable: readonly string[];
    roots: readonly string[];
  }> {
    return await tunnel.control.request('files', { exclude: [], maxFiles: 100, maxBytes: 1e6, watch: true });
  }

  test('reaches Services by every name the pod knows, aliases of the pod, and the pod itself', async () => {
    const { name } = scene.namespace;
    for (const host of ['api', `api.${name}`, `api.${name}.svc.cluster.local`, `API.${name}.svc.cluster.local.`])
      assert.match(await httpGet(host), /app api-\S+ GET \/hi/);
    const { nameservers, search, ndots, addresses } = await tunnel.control.request('network', {});
    assert.equal(search[0], `${name}.svc.cluster.local`);
    assert.equal(addresses[0], pod.status.podIP);
    assert.equal(ndots, 5);
    assert.ok(nameservers.length > 0);
    for (const host of ['127.0.0.1', 'alias.example', 'localhost'])
      assert.match(await httpGet(host, 8080), /app web-\S+ GET/);
  });

  test('is told why a connection is not made', async () => {
    for (const [host, port, reason] of [
      ['127.0.0.1', 1, 'refused'],
      ['no-such-service', 80, 'not-found'],
      ['255.255.255.255', 80, 'unreachable'],
    ] as const) {
      const stream = openTcp(host, port);
      await assert.rejects(stream.opened);
      assert.equal(stream.resetReason, reason, host);
    }
  });

  test("asks the pod's resolver, for SRV too", async () => {
    const { answers = [] } = await ask('_https._tcp.kubernetes.default.svc.cluster.local', 'SRV');
    const [srv] = answers;
    assert.ok(srv?.type === 'SRV');
    assert.deepEqual([srv.data.port, srv.data.target], [443, 'kubernetes.default.svc.cluster.local']);
    assert.equal(((await ask('no-such.svc.cluster.local', 'A')).flags ?? 0) & 15, RCODE.NXDOMAIN);
  });

  test("lists and reads the app's files, tells what it may not read, and when a ConfigMap changes", async () => {
    const { roots, files, unreadable } = await listFiles();
    assert.deepEqual(roots, ['/app/one.yaml', '/data', '/etc/config', '/etc/secret', TOKEN_DIR]);
    assert.deepEqual(
      files.map(({ path }) => path),
      [
        '/app/one.yaml',
        '/data/made',
        '/etc/config/a.yaml',
        ...['ca.crt', 'namespace', 'token'].map((name) => `${TOKEN_DIR}/${name}`),
      ],
    );
    assert.deepEqual(unreadable, ['/data/out', '/etc/secret/password']);
    assert.equal(await readFile('/etc/config/a.yaml'), 'one: 1\n');
    assert.equal(await readFile('/data/made'), 'made by the app\n');
    assert.equal(await readFile(`${TOKEN_DIR}/namespace`), scene.namespace.name);
    for (const path of ['/etc/passwd', '/data/out', '/kube-intercept/credentials/key'])
      await assert.rejects(readFile(path), { code: 'ENOTFOUND' });
    await scene.namespace.apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'settings' },
      data: { 'a.yaml': 'two: 2\n' },
    });
    await waitFor(async () => (events.includes('files-changed') ? true : undefined), {
      timeoutMs: 120_000,
      onTimeout: () => new Error('the change is not told'),
    });
    assert.equal(await readFile('/etc/config/a.yaml'), 'two: 2\n');
  });
});
