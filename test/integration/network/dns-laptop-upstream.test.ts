import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once, setMaxListeners } from 'node:events';
import dnsPacket from 'dns-packet';
import { afterEach, describe, test } from 'vitest';
import { LaptopUpstream, ServersUpstream } from '../../../cli/network/dns/laptop-upstream.ts';
import { parseServer } from '../../../cli/network/dns/servers.ts';
import {
  addressZone,
  NXDOMAIN,
  startZoneServer,
  type Zone,
  type ZoneServer,
  zoneReply,
} from '../../support/zone-server.ts';
import { query } from '../../unit/dns/messages.ts';

const live = new AbortController().signal;
setMaxListeners(0, live); // of all questions here; in a session each has its own
const closing: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function zoneServer(zone: Zone): Promise<ZoneServer> {
  const server = await startZoneServer(zone);
  closing.push(() => server.close());
  return server;
}

const rcode = (message: Buffer): number => message.readUInt16BE(2) & 15;

describe('servers by their addresses', () => {
  test('an answer too large for UDP is fetched over TCP', async () => {
    const server = await zoneServer(({ name }) => ({
      answers: Array.from({ length: 80 }, (_, index) => ({ name, type: 'A', ttl: 30, data: `10.0.0.${index}` })),
    }));
    const told = await new ServersUpstream([server]).ask(query('large.test'), live);
    assert.equal(dnsPacket.decode(told).answers?.length, 80);
    assert.deepEqual(server.asked, ['A large.test udp', 'A large.test tcp']);
  });

  test('a server that fails, or where nobody listens, makes room for the next', async () => {
    const failing = await zoneServer(() => ({ rcode: 2 }));
    const good = await zoneServer(addressZone);
    const dead = createSocket('udp4').bind(0, '127.0.0.1');
    await once(dead, 'listening');
    const { port } = dead.address();
    await new Promise<void>((resolve) => dead.close(resolve));
    const told = await new ServersUpstream([{ host: '127.0.0.1', port }, failing, good]).ask(query('a.test'), live);
    assert.equal(rcode(told), 0);
    assert.equal(rcode(await new ServersUpstream([failing]).ask(query('a.test'), live)), 2);
  });

  test('a "no" is an answer: the next server is not asked', async () => {
    const [first, second] = [await zoneServer(() => NXDOMAIN), await zoneServer(addressZone)];
    assert.equal(rcode(await new ServersUpstream([first, second]).ask(query('a.test'), live)), 3);
    assert.deepEqual(second.asked, []);
  });

  test('forged datagrams are not taken: another id, another question, no answer at all', async () => {
    const liar = createSocket('udp4');
    liar.on('message', (message, from) => {
      const forge = (bytes: Buffer): void => liar.send(bytes, from.port, from.address);
      void (async () => {
        const reply = (await zoneReply(addressZone, message)) ?? Buffer.alloc(0);
        const otherId = Buffer.from(reply);
        otherId.writeUInt16BE((reply.readUInt16BE(0) + 1) & 0xffff, 0);
        const otherName = Buffer.from(reply);
        otherName[13] = 'z'.charCodeAt(0);
        for (const bytes of [Buffer.from('x'), otherId, otherName, message]) forge(bytes);
        forge((await zoneReply(() => NXDOMAIN, message)) ?? Buffer.alloc(0)); // the true one
      })();
    });
    liar.bind(0, '127.0.0.1');
    await once(liar, 'listening');
    closing.push(() => new Promise<void>((resolve) => liar.close(resolve)));
    const told = await new ServersUpstream([{ host: '127.0.0.1', port: liar.address().port }]).ask(
      query('a.test'),
      live,
    );
    assert.equal(rcode(told), 3);
  });

  test('without any answer the asker is told so, at its own time too', async () => {
    const deaf = await zoneServer(() => undefined);
    await assert.rejects(new ServersUpstream([]).ask(query('a.test'), live), /no DNS server/);
    await assert.rejects(new ServersUpstream([deaf]).ask(query('a.test'), AbortSignal.timeout(20)), {
      name: 'TimeoutError',
    });
  });

  test('addresses of servers are read in every spelling Node and resolv.conf have', () => {
    assert.deepEqual(parseServer('1.1.1.1'), { host: '1.1.1.1', port: 53 });
    assert.deepEqual(parseServer('1.1.1.1:5353'), { host: '1.1.1.1', port: 5353 });
    assert.deepEqual(parseServer('2001:db8::1'), { host: '2001:db8::1', port: 53 });
    assert.deepEqual(parseServer('[2001:db8::1]:5353'), { host: '2001:db8::1', port: 5353 });
    assert.deepEqual(parseServer('fe80::1%eth0'), { host: 'fe80::1%eth0', port: 53 });
    for (const bad of ['', 'dns.example', '1.1.1.1:0', '1.1.1.1:99999', '[1', ':53']) {
      assert.equal(parseServer(bad), undefined, bad);
    }
  });
});

describe('the laptop’s own resolver', () => {
  const laptop = new LaptopUpstream(new ServersUpstream([])); // no raw question may go out
  const ask = async (name: string, type: dnsPacket.RecordType = 'A'): Promise<dnsPacket.Packet> =>
    dnsPacket.decode(await laptop.ask(query(name, type), live));

  test('addresses come from the hosts file, each family its own', async () => {
    const told = await ask('localhost');
    assert.deepEqual(told.answers, [
      { name: 'localhost', type: 'A', class: 'IN', ttl: 10, flush: false, data: '127.0.0.1' },
    ]);
  });

  test('a name of an address comes from the hosts file', async () => {
    const [record] = (await ask('1.0.0.127.in-addr.arpa', 'PTR')).answers ?? [];
    assert.ok(record?.type === 'PTR');
    assert.match(record.data, /localhost/);
  });

  test('what getaddrinfo would take for an address is a name that does not exist', async () => {
    for (const name of ['10.1', '1.2.3.4', '0x7f.1', '0x7f000001', '12345']) {
      const told = await ask(name);
      assert.deepEqual([(told.flags ?? 0) & 15, told.answers], [3, []], name);
    }
  });

  test('other types, and names that are no text, go to the servers as they are', async () => {
    const server = await zoneServer(() => NXDOMAIN);
    const both = new LaptopUpstream(new ServersUpstream([server]));
    await both.ask(query('corp.example', 'MX'), live);
    await both.ask(query('sp ace.example'), live);
    await both.ask(query('168.192.in-addr.arpa', 'PTR'), live);
    assert.deepEqual(server.asked, ['MX corp.example udp', 'A sp ace.example udp', 'PTR 168.192.in-addr.arpa udp']);
  });
});
