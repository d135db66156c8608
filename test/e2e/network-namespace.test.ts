import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { tryRun, waitFor } from '../cluster/exec.ts';
import { readLayout } from '../cluster/layout.ts';
import { findNodeNamespace } from '../cluster/node-namespace.ts';
import { type ClientPrograms, useClientPrograms } from '../support/client-programs.ts';
import { HOME_NAME } from '../support/home-network.ts';
import { Inside } from '../support/inside.ts';
import {
  CONFIG_FILE,
  LOOPBACK_PORT,
  type NetworkScene,
  openNetworkScene,
  SECRET_FILE,
  SECRET_TEXT,
  TOKEN_FILE,
  WEB,
} from '../support/network-scene.ts';
import { clusterOrUndefined } from '../support/scene.ts';
import { assertPrints, assertReaches, clusterUrls, curl, psql, redisCli } from './network-checks.ts';

const cluster = await clusterOrUndefined();
const MAKES = ['curl', 'go', 'java', 'musl', 'node', 'python'] as const;

describe.skipIf(cluster === undefined)('a command in namespace mode', () => {
  let network: NetworkScene;
  let clients: ClientPrograms;
  let inside: Inside;
  beforeAll(async () => {
    if (cluster === undefined) return;
    [network, clients] = await Promise.all([openNetworkScene(cluster, 'inside'), useClientPrograms()]);
    inside = await Inside.start(network.scene, ['run', WEB, '--to-pod', String(LOOPBACK_PORT)]);
  });
  afterAll(async () => {
    await inside?.[Symbol.asyncDispose]();
    await network?.dispose();
  });

  test('is the default on Linux', async () => {
    const { mode } = await inside.session.until('network');
    assert.equal(mode, 'namespace', inside.session.transcript);
  });

  test.each(MAKES)(
    '%s reaches Services by every name they have in the pod, a pod by its own, and a ClusterIP',
    async (make) => {
      await assertReaches(inside, clients.fetch[make], clusterUrls(network.upstreams));
    },
  );

  test('psql reaches a Service by name, and redis-cli its ClusterIP', async (context) => {
    const { hasDatabases, clusterIps } = network.upstreams;
    context.skip(!hasDatabases, 'the cluster has no tools image');
    await assertPrints(inside, psql('postgres'), 'in-cluster\n');
    await assertPrints(inside, redisCli(clusterIps.redis ?? ''), 'PONG\n');
  });

  test('dig finds the SRV record of a Service by its short name, and TXT and PTR records', async () => {
    const { clusterIps } = network.upstreams;
    const api = `api.${network.scene.namespace.name}.svc.cluster.local.`;
    await assertPrints(inside, ['dig', '+search', '+short', 'SRV', '_http._tcp.api'], `0 100 80 ${api}\n`);
    await assertPrints(inside, ['dig', '+short', '-x', clusterIps.api ?? ''], `${api}\n`);
    await assertPrints(inside, ['dig', '+short', 'TXT', 'dns-version.cluster.local'], '"1.1.0"\n');
  });

  test('connections come from the pod, and what blocks the pod blocks them', async (context) => {
    const pod = await network.webPod();
    await assertPrints(inside, curl('http://api/whoami'), `${pod.address}\n`);

    const node = cluster?.own === true ? await findNodeNamespace(readLayout()) : undefined;
    if (node === undefined) return context.skip('only the cluster of test/cluster lets its node be changed');
    const rule = ['FORWARD', '-s', pod.address, '-d', network.upstreams.podAddress, '-j', 'DROP'];
    const iptables = ['nsenter', '--target', String(node.initPid), '--net', 'iptables', '-w'];
    assert.equal((await tryRun([...iptables, '-I', ...rule])).code, 0);
    try {
      const blocked = await inside.run(['curl', '-sS', '--connect-timeout', '3', 'http://api/blocked']);
      assert.equal(blocked.code, 28, `${blocked.stdout}${blocked.stderr}`); // CURLE_OPERATION_TIMEDOUT
    } finally {
      assert.equal((await tryRun([...iptables, '-D', ...rule])).code, 0);
    }
    await assertPrints(inside, curl('http://api/free'), 'api /free\n');
  });

  test('what the pod cannot reach fails as it does in the pod: refused, unknown', async () => {
    const refused = await inside.run(curl(`http://${network.upstreams.podName}:9/`));
    assert.equal(refused.code, 7, refused.stderr);
    const unknown = await inside.run(curl('http://no-such-service/'));
    assert.equal(unknown.code, 6, unknown.stderr); // CURLE_COULDNT_RESOLVE_HOST
  });

  test('names of the laptop’s own network are known and reached from the laptop, and names of the cluster never leave for it', async () => {
    await assertPrints(inside, curl(`http://${HOME_NAME}/`), /^home /);
    const asked = [...network.home.asked];
    assert.ok(asked.includes(HOME_NAME), asked.join(' '));
    assert.deepEqual(
      asked.filter((name) => name.endsWith('cluster.local') || name === 'api'),
      [],
    );
  });

  test('services on the laptop’s 127.0.0.1 are reached under it, and a port of the pod’s by --to-pod', async () => {
    const code = `require('node:http').createServer((q, r) => r.end('on the laptop\\n')).listen(8900, '127.0.0.1', () => console.log('up'))`;
    const server = network.scene.laptop.spawn([process.execPath, '-e', code]);
    try {
      await new Promise((resolve) => server.stdout?.once('data', resolve));
      await assertPrints(inside, curl('http://127.0.0.1:8900/'), 'on the laptop\n');
      await assertPrints(inside, curl('http://localhost:8900/'), 'on the laptop\n');
    } finally {
      server.kill('SIGKILL');
    }
    await assertPrints(inside, curl(`http://127.0.0.1:${LOOPBACK_PORT}/`), 'only in the pod\n');
    const outside = await network.scene.laptop.run(curl(`http://127.0.0.1:${LOOPBACK_PORT}/`));
    assert.equal(outside.stdout, 'only in the pod\n', outside.stderr);
  });

  test('it is the same user in the same folder, without a capability', async () => {
    const { laptop } = network.scene;
    await assertPrints(inside, ['sh', '-c', 'id -u; id -g; pwd'], `${laptop.uid}\n${laptop.uid}\n${laptop.home}\n`);
    await assertPrints(inside, ['grep', '-E', '^Cap(Inh|Prm|Eff|Amb)', '/proc/self/status'], /^(Cap\w+:\s+0+\n){4}$/);
  });

  test('the Secret, the ConfigMap and the token of the app are at their own paths, and a changed ConfigMap arrives', async () => {
    await assertPrints(inside, ['cat', SECRET_FILE], SECRET_TEXT);
    await assertPrints(inside, ['cat', CONFIG_FILE], 'first');
    await assertPrints(inside, ['sh', '-c', `cat "$INTERCEPT_ROOT${CONFIG_FILE}"`], 'first');
    const token = await inside.read(['cat', TOKEN_FILE]);
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    assert.match(claims.sub, new RegExp(`^system:serviceaccount:${network.scene.namespace.name}:`));
    const written = await inside.run(['sh', '-c', `echo no > ${SECRET_FILE}`]);
    assert.notEqual(written.code, 0);

    const { name } = await network.webPod();
    await network.scene.namespace.apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'app' },
      data: { mode: 'second' },
    });
    await network.scene.namespace.kubectl(['annotate', `pod/${name}`, 'test/sync=now']); // the kubelet looks at once
    await waitFor(async () => ((await inside.read(['cat', CONFIG_FILE])) === 'second' ? true : undefined), {
      timeoutMs: 100_000,
      intervalMs: 500,
      onTimeout: () => new Error(`the changed ConfigMap did not arrive\n${inside.session.transcript}`),
    });
  });
});
