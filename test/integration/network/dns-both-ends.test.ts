import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import dnsPacket from 'dns-packet';
import { afterEach, beforeEach, test } from 'vitest';
import { serveDns } from '../../../agent/outgoing/dns.ts';
import { DnsClient } from '../../../agent/outgoing/dns-client.ts';
import { AgentUpstream } from '../../../cli/network/dns/agent-upstream.ts';
import { PodResolver } from '../../../cli/network/dns/resolver.ts';
import type { Upstream } from '../../../cli/network/dns/upstream.ts';
import { silentLog } from '../../../src/log.ts';
import { Mux } from '../../../src/mux/mux.ts';
import { CARRIERS, type CarrierPair } from '../../support/carriers.ts';
import { until } from '../../support/until.ts';
import { NXDOMAIN, startZoneServer, type ZoneServer } from '../../support/zone-server.ts';
import { query } from '../../unit/dns/messages.ts';

// The laptop's resolver and the agent's, a tunnel of WebSockets between them, a DNS server behind the agent.

interface Tunnel {
  readonly pair: CarrierPair;
  readonly session: Mux;
  readonly agent: Mux;
}

const noLaptop: Upstream = { ask: () => Promise.reject(new Error('offline')) };
const webSocket = CARRIERS.find(({ name }) => /websocket/i.test(name));

let folder: string;
let pod: ZoneServer;
let client: DnsClient;
let tunnels: Tunnel[];
let current: Tunnel | undefined;
let waiters: (() => void)[];
let resolver: PodResolver;
let upstream: AgentUpstream;

async function openTunnel(): Promise<void> {
  assert.ok(webSocket);
  const pair = await webSocket.connect();
  const session = new Mux(pair.session, { side: 'session', onOpen: () => {}, onControl: () => {} });
  const agent = new Mux(pair.agent, {
    side: 'agent',
    onOpen: (stream) => void serveDns(stream, client, {}),
    onControl: () => {},
  });
  const tunnel = { pair, session, agent };
  tunnels.push(tunnel);
  current = tunnel;
  for (const wake of waiters.splice(0)) wake();
  void session.closed.then(() => {
    if (current === tunnel) current = undefined;
  });
}

beforeEach(async () => {
  pod = await startZoneServer(({ name, type }) => {
    if (name === 'large.svc.cluster.local') {
      const data = Array.from({ length: 80 }, (_, index) => `10.244.0.${index}`);
      return { answers: data.map((address) => ({ name, type: 'A', ttl: 30, data: address })) };
    }
    const number = /^n(\d+)\.svc\.cluster\.local$/.exec(name)?.[1];
    if (number === undefined || type !== 'A') return NXDOMAIN;
    return { answers: [{ name, type, ttl: 30, data: `10.96.${Number(number) >> 8}.${Number(number) & 255}` }] };
  });
  folder = await mkdtemp(join(tmpdir(), 'intercept-test-'));
  const resolvConf = join(folder, 'resolv.conf');
  await writeFile(resolvConf, 'nameserver 127.0.0.1\nsearch svc.cluster.local\noptions ndots:5\n');
  client = new DnsClient({ resolvConf, port: pod.port, deadlineMs: 60_000 });
  tunnels = [];
  current = undefined;
  waiters = [];
  upstream = new AgentUpstream({
    tunnel: () => current?.session,
    untilTunnel: (signal) =>
      new Promise<void>((resolve, reject) => {
        waiters.push(resolve);
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      }),
  });
  resolver = new PodResolver({
    search: ['svc.cluster.local'],
    ndots: 5,
    cluster: upstream,
    laptop: noLaptop,
    limits: { upstreamDeadlineMs: 60_000 },
    laptopSuffixes: [],
    clusterSuffixes: [],
    inClusterRange: () => false,
    log: silentLog,
  });
  await openTunnel();
});

afterEach(async () => {
  resolver.close();
  upstream.close();
  for (const { session, agent, pair } of tunnels) {
    await Promise.all([session.close(), agent.close()]);
    await pair.close();
    await until(() => session.stats().openStreams === 0 && agent.stats().openStreams === 0, 'streams gone');
    assert.deepEqual(session.stats(), { openStreams: 0, queuedBytes: 0, timers: 0 });
  }
  client.close();
  await pod.close();
  await rm(folder, { recursive: true });
});

test('500 lookups at once come through one stream, each with its own address', async () => {
  const names = Array.from({ length: 500 }, (_, index) => index);
  const told = await Promise.all(names.map((index) => resolver.lookup(`n${index}`, 4)));
  assert.deepEqual(
    told.map(([first]) => first?.address),
    names.map((index) => `10.96.${index >> 8}.${index & 255}`),
  );
  assert.equal(tunnels[0]?.session.stats().openStreams, 1);
});

test('an answer of 80 addresses comes whole over TCP and cut over UDP', async () => {
  const whole = await resolver.answer(query('large.svc.cluster.local'), 'tcp');
  assert.equal(dnsPacket.decode(whole).answers?.length, 80);
  const cut = dnsPacket.decode(await resolver.answer(query('large.svc.cluster.local'), 'udp'));
  assert.equal(cut.flag_tc, true);
  assert.equal(pod.asked.filter((asked) => asked.endsWith(' tcp')).length, 1); // the second one from the cache
});

test('a question asked while the tunnel is away waits for the next tunnel', async () => {
  assert.ok(current);
  await current.agent.close();
  await until(() => current === undefined, 'the loss noticed');
  const waiting = resolver.lookup('n1', 4);
  await openTunnel();
  assert.deepEqual(await waiting, [{ address: '10.96.0.1', family: 4, origin: 'cluster' }]);
});
