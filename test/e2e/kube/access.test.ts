import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, type TestContext, test as vitestTest } from 'vitest';
import { isAlreadyExists, isForbidden, isNotFound, KubeClient, resourcePath } from '../../../cli/kube/client.ts';
import { openWebSocket, podProxyPath } from '../../../cli/kube/client-websocket.ts';
import { execInPod } from '../../../cli/kube/exec.ts';
import { loadKubeConfig } from '../../../cli/kube/kubeconfig.ts';
import { openPortForward } from '../../../cli/kube/port-forward.ts';
import { watch } from '../../../cli/kube/watch.ts';
import { errorText } from '../../../src/errors.ts';
import { type TestCluster, type TestNamespace, useCluster } from '../../support/cluster.ts';
import { startRelay } from '../../support/faulty-relay.ts';

const cluster = await useCluster();
const PORT = 7000;
/** Answers with the SHA-256 of what it was sent once the sender pauses for a line; echoes lines that begin with "echo". */
const SERVER = `
  const net = require('net'), crypto = require('crypto');
  net.createServer((socket) => {
    let kind, bytes = 0, hash = crypto.createHash('sha256'), want = 0;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      if (kind === undefined) {
        const line = chunk.indexOf(10);
        [kind, want] = chunk.subarray(0, line).toString().split(' ');
        chunk = chunk.subarray(line + 1);
        if (kind === 'send') { for (let left = +want; left > 0; left -= 65536) socket.write(Buffer.alloc(Math.min(65536, left), 7)); socket.end(); }
        if (kind === 'bye') socket.end('bye');
      }
      if (kind !== 'hash') return;
      bytes += chunk.length; hash.update(chunk);
      if (bytes >= +want) socket.end(hash.digest('hex'));
    });
  }).listen(${PORT});
`;

let namespace: TestNamespace;
const folders: string[] = [];

/** Not run, with the reason, where there is no cluster. */
function test(name: string, body: (cluster: TestCluster) => Promise<void>): void {
  vitestTest(name, async (context: TestContext) => {
    if ('notRun' in cluster) context.skip(cluster.notRun);
    else await body(cluster);
  });
}

beforeAll(async () => {
  if ('notRun' in cluster) return;
  namespace = await cluster.createNamespace('kube');
  await namespace.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'edit' }, // the client can do more than the product asks of it
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'edit' },
    subjects: [{ kind: 'ServiceAccount', name: 'developer', namespace: namespace.name }],
  });
  const container = {
    name: 'app',
    image: cluster.nodeImage,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', '-e', SERVER],
  };
  const spec = { terminationGracePeriodSeconds: 0, containers: [container] };
  await namespace.apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'app' }, spec });
  await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/app', '--timeout=60s'], { timeoutMs: 65_000 });
});
afterAll(async () => {
  if ('notRun' in cluster) return;
  await namespace.dispose();
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true })));
});

async function editAccess() {
  return await loadKubeConfig({ kubeconfig: namespace.developerKubeconfig, env: {} });
}
function target() {
  return { namespace: namespace.name, pod: 'app', port: PORT, signal: AbortSignal.timeout(30_000) };
}

test('an edit user may read and write in the namespace; what is missing elsewhere is named with its rule', async () => {
  await using client = await KubeClient.connect(await editAccess());
  const configMaps = resourcePath({ apiVersion: 'v1', resource: 'configmaps', namespace: namespace.name });
  const made = await client.create(configMaps, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'x' },
    data: { a: '1' },
  });
  await assert.rejects(client.create(configMaps, { metadata: { name: 'x' } }), isAlreadyExists);
  const patched = await client.patch(`${configMaps}/x`, { data: { b: '2' } }, 'merge');
  assert.deepEqual(patched.data, { a: '1', b: '2' });
  const old = { ...made, data: { c: '3' } };
  await assert.rejects(client.replace(`${configMaps}/x`, old), /modified/);
  const listed = (await client.list(configMaps)).items.find(({ metadata }) => metadata.name === 'x');
  assert.deepEqual(listed, await client.get(`${configMaps}/x`));
  assert.equal(await client.delete(`${configMaps}/x`), true);
  assert.equal(await client.delete(`${configMaps}/x`), false);
  await assert.rejects(client.get(`${configMaps}/x`), isNotFound);
  await assert.rejects(client.list('/api/v1/nodes'), (error) => {
    assert.ok(isForbidden(error));
    assert.match(error.message, /may not list nodes in the whole cluster/);
    assert.match(error.hint ?? '', /ClusterRole: apiGroups \[""\], resources \["nodes"\], verbs \["list"\]/);
    return true;
  });
});

test('a watch survives a cut and a closed door: what was deleted meanwhile is reported', async ({ apiServer }) => {
  const relay = await startRelay(apiServer);
  const folder = await mkdtemp(path.join(tmpdir(), 'kube-watch-'));
  folders.push(folder);
  const file = path.join(folder, 'config');
  await writeFile(file, namespace.kubeconfigFor(`https://127.0.0.1:${relay.port}`));
  await using direct = await KubeClient.connect(await editAccess());
  await using client = await KubeClient.connect(await loadKubeConfig({ kubeconfig: file, env: {} }));
  const configMaps = resourcePath({ apiVersion: 'v1', resource: 'configmaps', namespace: namespace.name });
  const make = (name: string) => direct.create(configMaps, { metadata: { name, labels: { watched: 'yes' } } });
  await make('one');
  const seen: string[] = [];
  const stop = new AbortController();
  const states: string[] = [];
  const events = watch(client, configMaps, {
    labelSelector: 'watched=yes',
    signal: AbortSignal.any([stop.signal, AbortSignal.timeout(30_000)]),
    onState: ({ state }) => {
      states.push(state);
      // While the door is closed: another object, and the first one's end. Then it opens again.
      if (state === 'reconnecting' && states.length === 2) void changeBehindClosedDoor();
    },
  });
  const changeBehindClosedDoor = async (): Promise<void> => {
    await make('two');
    await direct.delete(`${configMaps}/one`);
    await relay.refuse(false);
  };
  for await (const event of events) {
    seen.push(event.type === 'SYNC' ? 'SYNC' : `${event.type} ${event.object.metadata.name}`);
    if (event.type === 'SYNC' && states.length === 0)
      setImmediate(() => void relay.refuse(true).then(() => relay.reset()));
    if (event.type === 'DELETED') stop.abort();
  }
  await relay.close();
  assert.deepEqual(seen, ['ADDED one', 'SYNC', 'ADDED two', 'DELETED one']);
  assert.equal(states.at(-1), 'connected');
});

test('16 MiB go up a port-forward unchanged, and 64 MiB come down it', async () => {
  const payload = randomBytes(16 * 1024 * 1024);
  const up = await openPortForward(await editAccess(), target());
  up.write(`hash ${payload.byteLength}\n`);
  up.write(payload);
  assert.equal(await text(up), createHash('sha256').update(payload).digest('hex'));
  const down = await openPortForward(await editAccess(), target());
  const bytes = 64 * 1024 * 1024;
  down.write(`send ${bytes}\n`);
  let received = 0;
  await pipeline(down, async (source: AsyncIterable<Buffer>) => {
    for await (const chunk of source) received += chunk.byteLength;
  });
  assert.equal(received, bytes);
});

test('the end of the app’s side ends the stream, and a port where nobody listens destroys it with the kubelet’s words', async () => {
  const stream = await openPortForward(await editAccess(), target());
  stream.write('bye\n');
  assert.equal(await text(stream), 'bye');
  const nobody = await openPortForward(await editAccess(), { ...target(), port: PORT + 1 });
  nobody.resume();
  const [error] = await once(nobody, 'error');
  assert.match(errorText(error), /port-forward to kube-\w+\/app:7001: .*(refused|failed)/);
});

test('a pod that is not there, and a right that is missing, are refused before the WebSocket opens', async () => {
  const access = await editAccess();
  await assert.rejects(openPortForward(access, { ...target(), pod: 'gone' }), isNotFound);
  await assert.rejects(openPortForward(access, { ...target(), namespace: 'kube-system' }), (error) => {
    assert.ok(isForbidden(error), errorText(error));
    assert.match(error.message, /may not (get|create) pods\/portforward in namespace "kube-system"/);
    return true;
  });
  const proxy = podProxyPath({ namespace: namespace.name, pod: 'gone', port: 9900, path: 'tunnel' });
  await assert.rejects(
    openWebSocket(access, { path: proxy, maxPayloadBytes: 1000, signal: AbortSignal.timeout(30_000) }),
    isNotFound,
  );
});

test('a command in a pod gives its output and exit code, or says why it could not start', async () => {
  const access = await editAccess();
  const run = (...command: string[]) =>
    execInPod(access, {
      namespace: namespace.name,
      pod: 'app',
      container: 'app',
      command,
      signal: AbortSignal.timeout(30_000),
    });
  assert.deepEqual(await run('sh', '-c', 'echo out; echo err >&2; exit 3'), {
    stdout: 'out\n',
    stderr: 'err\n',
    exitCode: 3,
  });
  assert.equal((await run('node', '-e', 'process.stdout.write("x".repeat(100000))')).stdout.length, 100_000);
  await assert.rejects(run('no-such-command'), /no-such-command/);
});
