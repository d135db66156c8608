import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { type ClientPrograms, useClientPrograms } from '../support/client-programs.ts';
import { HOME_NAME } from '../support/home-network.ts';
import { type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { type Laptop, withSudo } from '../support/laptop.ts';
import { type NetworkScene, openNetworkScene } from '../support/network-scene.ts';
import { clusterOrUndefined } from '../support/scene.ts';
import { assertPrints, assertReaches, clusterUrls, curl, psql, redisCli } from './network-checks.ts';

const cluster = await clusterOrUndefined();
/**
 * Not musl: it asks all servers of resolv.conf at once and takes the first answer, and on a laptop of glibc without
 * systemd-resolved the laptop's own stay behind ours (README; network-system-faults shows what for).
 */
const MAKES = ['curl', 'go', 'java', 'node', 'python'] as const;

describe.skipIf(cluster === undefined)('the whole laptop in system mode', () => {
  let network: NetworkScene;
  let clients: ClientPrograms;
  let laptop: Laptop;
  let session: InterceptRun;
  beforeAll(async () => {
    if (cluster === undefined) return;
    [network, clients] = await Promise.all([openNetworkScene(cluster, 'system'), useClientPrograms()]);
    const { scene } = network;
    laptop = scene.laptop; // what runs there is the ordinary user's; only the session has root's rights
    const args = ['connect', '--namespace', scene.namespace.name];
    session = await startIntercept(withSudo(laptop), args, { namespace: scene.namespace });
    await session.until('ready', 120_000);
  });
  afterAll(async () => {
    session?.child.kill('SIGINT');
    await session?.exited;
    await network?.dispose();
  });

  test.each(MAKES)(
    '%s reaches Services by every name they have in the pod, a pod by its own, and a ClusterIP',
    async (make) => {
      await assertReaches(laptop, clients.fetch[make], clusterUrls(network.upstreams));
    },
  );

  test('that user may list the Services of one namespace only: the other’s were found when they were asked for', async () => {
    const { system } = await session.until('network');
    assert.match(
      system ?? '',
      new RegExp(`Services of namespace ${network.scene.namespace.name}, names by 127\\.64\\.0\\.`),
    );
    await assertPrints(laptop, curl(`http://api.${network.upstreams.otherNamespace}/asked`), 'other-api /asked\n');
  });

  test('psql reaches a Service by name, and redis-cli its ClusterIP', async (context) => {
    const { hasDatabases, clusterIps } = network.upstreams;
    context.skip(!hasDatabases, 'the cluster has no tools image');
    await assertPrints(laptop, psql('postgres'), 'in-cluster\n');
    await assertPrints(laptop, redisCli(clusterIps.redis ?? ''), 'PONG\n');
  });

  test('dig finds the SRV record of a Service', async () => {
    const api = `api.${network.scene.namespace.name}.svc.cluster.local.`;
    await assertPrints(laptop, ['dig', '+search', '+short', 'SRV', '_http._tcp.api'], `0 100 80 ${api}\n`);
  });

  test('names of the laptop’s own network are known as before, and as fast', async () => {
    await assertPrints(laptop, ['curl', '-sS', '--max-time', '4', `http://${HOME_NAME}/`], /^home /);
  });

  test('a Service that comes is reached, and one that goes is unknown', async () => {
    const { namespace } = network.scene;
    const spec = { selector: { app: 'nodes' }, ports: [{ port: 81, targetPort: 8080 }] };
    await namespace.apply({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'late' }, spec });
    const answers = async (code: number): Promise<true | undefined> =>
      (await laptop.run(curl('http://late:81/come'))).code === code ? true : undefined;
    const onTimeout = (): Error => new Error(`the Service was not followed\n${session.transcript}`);
    await waitFor(() => answers(0), { timeoutMs: 30_000, intervalMs: 300, onTimeout });
    await namespace.kubectl(['delete', 'service', 'late']);
    await waitFor(() => answers(6), { timeoutMs: 30_000, intervalMs: 300, onTimeout }); // CURLE_COULDNT_RESOLVE_HOST
  });
});
