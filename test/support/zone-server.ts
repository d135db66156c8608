// A DNS server on the loopback that knows what a test tells it: UDP (cut at the asker's size) and TCP, as a real one.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import dnsPacket from 'dns-packet';
import { LengthPrefixReader } from '../../src/net/length-prefix.ts';

export interface ZoneAnswer {
  /** 0 unless said. */
  readonly rcode?: number;
  readonly answers?: readonly dnsPacket.Answer[];
  readonly authorities?: readonly dnsPacket.Answer[];
}

export interface ZoneServer {
  readonly host: string;
  readonly port: number;
  /** Every question, in order: `A web.test udp`. */
  readonly asked: string[];
  close(): Promise<void>;
}

/** What a zone knows; `undefined` is no answer at all. */
export type Zone = (question: dnsPacket.Question) => ZoneAnswer | undefined | Promise<ZoneAnswer | undefined>;

export const NXDOMAIN: ZoneAnswer = { rcode: 3, authorities: [startOfAuthority(5)] };

export function startOfAuthority(minimum: number): dnsPacket.Answer {
  const data = { mname: 'ns.test', rname: 'admin.test', serial: 1, refresh: 1, retry: 1, expire: 1, minimum };
  return { type: 'SOA', name: 'test', ttl: minimum, data };
}

/** The bytes of a zone's answer to a question; undefined for no answer. */
export async function zoneReply(zone: Zone, message: Buffer): Promise<Buffer | undefined> {
  const query = dnsPacket.decode(message);
  const [question] = query.questions ?? [];
  if (question === undefined) return undefined;
  const answer = await zone(question);
  if (answer === undefined) return undefined;
  return dnsPacket.encode({
    type: 'response',
    id: query.id ?? 0,
    flags: dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE | (answer.rcode ?? 0),
    questions: [question],
    answers: [...(answer.answers ?? [])],
    authorities: [...(answer.authorities ?? [])],
    additionals: (query.additionals ?? []).filter(({ type }) => type === 'OPT'),
  });
}

export async function startZoneServer(zone: Zone): Promise<ZoneServer> {
  const asked: string[] = [];
  const reply = async (message: Buffer, via: string): Promise<Buffer | undefined> => {
    const [question] = dnsPacket.decode(message).questions ?? [];
    asked.push(`${question?.type} ${question?.name} ${via}`);
    return await zoneReply(zone, message);
  };
  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    sockets.add(socket);
    const reader = new LengthPrefixReader();
    socket.on('error', () => {}); // clients that leave
    socket.on('data', (chunk: Buffer) => {
      for (const message of reader.push(chunk)) {
        void reply(message, 'tcp').then((bytes) => {
          if (bytes !== undefined) socket.write(dnsPacket.streamEncode(dnsPacket.decode(bytes)));
        });
      }
    });
  });
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket('udp4');
  udp.on('message', (message, from) => {
    void reply(message, 'udp').then((bytes) => {
      if (bytes === undefined) return;
      const edns = dnsPacket.decode(message).additionals?.find(({ type }) => type === 'OPT');
      const limit = edns?.type === 'OPT' ? edns.udpPayloadSize : 512;
      if (bytes.length > limit) {
        const packet = dnsPacket.decode(bytes);
        bytes = dnsPacket.encode({ ...packet, flags: (packet.flags ?? 0) | dnsPacket.TRUNCATED_RESPONSE, answers: [] });
      }
      udp.send(bytes, from.port, from.address);
    });
  });
  udp.bind(port, '127.0.0.1');
  await once(udp, 'listening');
  return {
    host: '127.0.0.1',
    port,
    asked,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await Promise.all([new Promise((done) => tcp.close(done)), new Promise<void>((done) => udp.close(() => done()))]);
    },
  };
}

/** Every name has one address. */
export const addressZone: Zone = ({ name }) => ({ answers: [{ name, type: 'A', ttl: 30, data: '10.0.0.1' }] });
