import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import dnsPacket, { type DecodedPacket } from 'dns-packet';
import { afterAll, beforeAll, test } from 'vitest';
import { MAX_DNS_ACTIVE, MAX_DNS_WAITING } from '../../../agent/limits.ts';
import type { OutgoingOptions } from '../../../agent/outgoing/outgoing.ts';
import { FLAG_TRUNCATED, RCODE } from '../../../src/dns/message.ts';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';
import { type AgentWorld, startWorld } from './support/agent-world.ts';
import { type Answerer, addressReply, type DnsServerDouble, replyTo, startDnsServer } from './support/dns-server.ts';
import { echoAs, listenTcp, readAll, until } from './support/tcp.ts';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kube-intercept-dns-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

interface Asker {
  readonly world: AgentWorld;
  readonly servers: DnsServerDouble[];
  readonly answers: Buffer[];
  send(message: Buffer): void;
  ask(message: Buffer): Promise<DecodedPacket & { raw: Buffer }>;
  close(): Promise<void>;
}

let files = 0;

/** Resolvers on 127.0.0.1, .2, …, the agent of a pod that has them, and a session's DNS stream. */
async function startAsker(
  answerers: readonly Answerer[],
  { lines = [], ...more }: Partial<OutgoingOptions> & { lines?: readonly string[] } = {},
): Promise<Asker> {
  const servers: DnsServerDouble[] = [];
  for (const [index, answerer] of answerers.entries())
    servers.push(await startDnsServer(answerer, `127.0.0.${index + 1}`, servers[0]?.port ?? 0));
  const resolvConf = join(dir, `resolv-${files++}.conf`);
  const nameservers = answerers.map((_, index) => `nameserver 127.0.0.${index + 1}`);
  await writeFile(resolvConf, [...nameservers, ...lines, ''].join('\n'));
  const outgoing = { resolvConf, hostsFile: '/nowhere', dnsPort: servers[0]?.port ?? 1, ...more };
  const world = await startWorld(undefined, { outgoing });
  const session = await world.dial();
  const stream = session.mux.open({ kind: 'dns', host: '', port: 0 });
  const reader = new LengthPrefixReader();
  const answers: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => answers.push(...reader.push(chunk)));
  const send = (message: Buffer): void => {
    stream.write(withLength(message));
  };
  return {
    world,
    servers,
    answers,
    send,
    ask: async (message) => {
      send(message);
      const mine = (): Buffer | undefined =>
        answers.find((answer) => answer.readUInt16BE(0) === message.readUInt16BE(0));
      await until(() => mine() !== undefined, 'it is answered');
      const raw = mine() ?? Buffer.alloc(0);
      return { ...dnsPacket.decode(raw), raw };
    },
    close: async () => {
      stream.end();
      await until(() => stream.destroyed, 'the agent ends the stream behind its last answer');
      await world.close();
      for (const server of servers) await server.close();
    },
  };
}

function question(name: string, id = 7, type: 'A' | 'TXT' | 'SRV' | 'AXFR' = 'A'): Buffer {
  return dnsPacket.encode({ type: 'query', id, flags: dnsPacket.RECURSION_DESIRED, questions: [{ type, name }] });
}

const rcodeOf = (answer: { raw: Buffer }): number => answer.raw.readUInt16BE(2) & 15;

test("a question is answered by the pod's resolver under the asker's id, spelling and without EDNS it did not ask for", async () => {
  const ids: (number | undefined)[] = [];
  const asker = await startAsker([
    (asked) => {
      ids.push(asked.id);
      assert.equal(asked.additionals?.[0]?.type, 'OPT');
      const [first] = asked.questions ?? [];
      const lower = { ...asked, questions: [{ type: 'A' as const, name: (first?.name ?? '').toLowerCase() }] };
      const answers = [{ type: 'A' as const, name: lower.questions[0]?.name ?? '', ttl: 5, data: '10.0.0.1' }];
      const opt = { type: 'OPT' as const, name: '.', udpPayloadSize: 4096, flags: 0, options: [] };
      return replyTo(lower, { answers, additionals: [opt as never] });
    },
  ]);
  for (const id of [7, 8, 9]) {
    const answer = await asker.ask(question('WeB.Shop.svc', id));
    assert.equal(answer.questions?.[0]?.name, 'WeB.Shop.svc');
    assert.deepEqual(
      answer.answers?.map((record) => 'data' in record && record.data),
      ['10.0.0.1'],
    );
    assert.deepEqual(answer.additionals, []);
  }
  assert.notDeepEqual(ids, [7, 8, 9]);
  await asker.close();
});

test('an answer of 60 KiB comes by TCP, and one connection serves several', async () => {
  const texts = Array.from({ length: 240 }, (_, index) => `${index} ${'x'.repeat(240)}`);
  const asker = await startAsker([
    (asked, { via }) => {
      const name = asked.questions?.[0]?.name ?? '';
      if (via === 'udp') return replyTo(asked, { flags: FLAG_TRUNCATED });
      return replyTo(asked, { answers: texts.map((data) => ({ type: 'TXT', name, ttl: 1, data })) });
    },
  ]);
  for (const id of [1, 2, 3]) {
    const answer = await asker.ask(question('large.example', id, 'TXT'));
    assert.equal(answer.answers?.length, 240);
    assert.ok(answer.raw.byteLength > 60_000);
  }
  assert.equal(asker.servers[0]?.connections.length, 1);
  // The server closes what was idle: the next answer comes all the same.
  asker.servers[0]?.connections[0]?.destroy();
  assert.equal((await asker.ask(question('large.example', 4, 'TXT'))).answers?.length, 240);
  await asker.close();
});

test('what is no answer to the question is not taken for one', async () => {
  const asker = await startAsker([
    (asked) => {
      const wrong = [
        { ...asked, id: ((asked.id ?? 0) + 1) % 65536 },
        { ...asked, questions: [{ type: 'A' as const, name: 'other.example' }] },
        { ...asked, questions: [{ type: 'AAAA' as const, name: 'web.example' }] },
      ].map((one) => addressReply(one, '6.6.6.6'));
      const garbage = [
        Buffer.alloc(0),
        Buffer.alloc(3),
        Buffer.alloc(600, 0xc0),
        addressReply(asked, '6.6.6.6').subarray(0, 40),
      ];
      return [...wrong, ...garbage, addressReply(asked, '10.0.0.9')];
    },
  ]);
  const answer = await asker.ask(question('web.example'));
  assert.deepEqual(
    answer.answers?.map((record) => 'data' in record && record.data),
    ['10.0.0.9'],
  );
  await asker.close();
});

test('a resolver that never answers leads to the next one where there is one, and to SERVFAIL at the deadline where not', async () => {
  const both = await startAsker([() => undefined, (asked) => addressReply(asked, '10.0.0.2')]);
  assert.equal((await both.ask(question('web.example'))).answers?.length, 1);
  await both.close();
  const alone = await startAsker([() => undefined], { dnsDeadlineMs: 300 });
  assert.equal(rcodeOf(await alone.ask(question('web.example'))), RCODE.SERVFAIL);
  await alone.close();
});

test('a lost datagram is sent again to the only resolver', async () => {
  let asked = 0;
  const asker = await startAsker([(packet) => (++asked === 1 ? undefined : addressReply(packet, '10.0.0.3'))]);
  assert.equal((await asker.ask(question('web.example'))).answers?.length, 1);
  assert.equal(asked, 2);
  await asker.close();
});

test('SERVFAIL and REFUSED lead to the next resolver, and are told when no other knows better', async () => {
  const asker = await startAsker([
    (asked) => replyTo(asked, {}, RCODE.SERVFAIL),
    (asked) =>
      asked.questions?.[0]?.name === 'known.example'
        ? addressReply(asked, '10.0.0.4')
        : replyTo(asked, {}, RCODE.REFUSED),
  ]);
  assert.equal((await asker.ask(question('known.example', 1))).answers?.length, 1);
  assert.equal(rcodeOf(await asker.ask(question('unknown.example', 2))), RCODE.SERVFAIL);
  assert.equal(asker.servers[0]?.asked.length, 1 + 2); // attempts: 2
  await asker.close();
});

test('NXDOMAIN is an answer', async () => {
  const asker = await startAsker([(asked) => replyTo(asked, {}, RCODE.NXDOMAIN), () => assert.fail('asked too')]);
  assert.equal(rcodeOf(await asker.ask(question('no.example'))), RCODE.NXDOMAIN);
  await asker.close();
});

test('a resolver that knows no EDNS is asked again without', async () => {
  const asker = await startAsker([
    (asked) => (asked.additionals?.length ? replyTo(asked, {}, RCODE.FORMERR) : addressReply(asked, '10.0.0.5')),
  ]);
  assert.equal((await asker.ask(question('web.example'))).answers?.length, 1);
  await asker.close();
});

test('options rotate and attempts of resolv.conf are followed', async () => {
  const answerer: Answerer = (asked) => addressReply(asked, '10.0.0.6');
  const asker = await startAsker([answerer, answerer], { lines: ['options rotate timeout:1 attempts:1'] });
  for (const id of [1, 2, 3, 4]) await asker.ask(question('web.example', id));
  assert.deepEqual(
    asker.servers.map(({ asked }) => asked.length),
    [2, 2],
  );
  await asker.close();
  const once = await startAsker([() => undefined], { lines: ['options attempts:1'], dnsDeadlineMs: 1_500 });
  await once.ask(question('web.example'));
  assert.equal(once.servers[0]?.asked.length, 1);
  await once.close();
});

test('garbage is answered FORMERR or not at all, and the stream lives on', async () => {
  const asker = await startAsker([(asked) => addressReply(asked, '10.0.0.7')]);
  for (const garbage of [
    Buffer.alloc(0),
    Buffer.alloc(1),
    Buffer.alloc(11),
    Buffer.from([0, 9, 0x80, 0, ...Buffer.alloc(8)]),
  ])
    asker.send(garbage);
  const formErr = [
    Buffer.concat([question('a.example', 1).subarray(0, 20)]),
    Buffer.concat([Buffer.from([0, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), Buffer.alloc(65_000, 0xff)]),
    Buffer.from([0, 3, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0]),
    Buffer.concat([Buffer.from([0, 4, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), Buffer.from([64]), Buffer.alloc(70)]),
  ];
  for (const garbage of formErr) assert.equal(rcodeOf(await asker.ask(garbage)), RCODE.FORMERR);
  assert.equal(rcodeOf(await asker.ask(Buffer.from([0, 5, 0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0]))), RCODE.NOTIMP);
  assert.equal(rcodeOf(await asker.ask(question('a.example', 6, 'AXFR'))), RCODE.REFUSED);
  assert.equal((await asker.ask(question('web.example', 7))).answers?.length, 1);
  assert.equal(asker.answers.length, formErr.length + 3);
  await asker.close();
});

test('500 questions at once are all answered; more than may wait are answered SERVFAIL', async () => {
  const asker = await startAsker([(asked) => addressReply(asked, '10.0.0.8')], { dnsDeadlineMs: 20_000 });
  for (let id = 0; id < 500; id += 1) asker.send(question(`name-${id}.example`, id));
  await until(() => asker.answers.length === 500, 'all are answered');
  assert.ok(asker.answers.every((raw) => rcodeOf({ raw }) === 0));
  await asker.close();
  const silent = await startAsker([() => undefined], { dnsDeadlineMs: 5_000 });
  for (let id = 0; id < MAX_DNS_ACTIVE + MAX_DNS_WAITING + 5; id += 1) silent.send(question('a.example', id));
  await until(() => silent.answers.length === 5, 'those beyond are answered at once');
  assert.ok(silent.answers.every((raw) => rcodeOf({ raw }) === RCODE.SERVFAIL));
  await until(() => silent.answers.length === MAX_DNS_ACTIVE + MAX_DNS_WAITING + 5, 'the others at the deadline');
  await silent.close();
});

test("a name to connect to is looked up by the pod's search list", async () => {
  const server = await listenTcp(echoAs('upstream'));
  const asker = await startAsker(
    [
      (asked) => {
        const [first] = asked.questions ?? [];
        if (first?.name !== 'api.shop.svc.cluster.local') return replyTo(asked, {}, RCODE.NXDOMAIN);
        return first.type === 'A' ? addressReply(asked, '127.0.0.1') : replyTo(asked);
      },
    ],
    { lines: ['search other.svc.cluster.local shop.svc.cluster.local', 'options ndots:5'] },
  );
  const session = await asker.world.dial();
  const stream = session.mux.open({ kind: 'tcp', host: 'api', port: server.port });
  stream.end('x');
  assert.equal((await readAll(stream)).bytes.toString(), 'upstream:x');
  assert.deepEqual(
    new Set(asker.servers[0]?.asked),
    new Set(['udp api.other.svc.cluster.local', 'udp api.shop.svc.cluster.local']),
  );
  await server.close();
  await asker.close();
});
