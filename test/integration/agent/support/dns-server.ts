import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import dnsPacket, { type DecodedPacket, type Packet } from 'dns-packet';
import { LengthPrefixReader, withLength } from '../../../../src/net/length-prefix.ts';

/** What a resolver of a test does with a question; undefined: nothing. */
export type Answerer = (
  question: DecodedPacket,
  how: { readonly via: 'udp' | 'tcp'; readonly message: Buffer; readonly from: RemoteInfo | undefined },
) => Buffer | readonly Buffer[] | undefined;

/** A resolver on 127.0.0.x, UDP and TCP on the same port. */
export interface DnsServerDouble {
  readonly port: number;
  /** `via name`, as asked. */
  readonly asked: string[];
  /** TCP connections so far. */
  readonly connections: Socket[];
  close(): Promise<void>;
}

export async function startDnsServer(answerer: Answerer, address = '127.0.0.1', port = 0): Promise<DnsServerDouble> {
  const asked: string[] = [];
  const connections: Socket[] = [];
  const answer = (message: Buffer, via: 'udp' | 'tcp', from: RemoteInfo | undefined): readonly Buffer[] => {
    const question = dnsPacket.decode(message);
    asked.push(`${via} ${question.questions?.[0]?.name}`);
    const replies = answerer(question, { via, message, from }) ?? [];
    return Buffer.isBuffer(replies) ? [replies] : (replies as readonly Buffer[]);
  };
  const tcp = createServer((socket) => {
    connections.push(socket);
    socket.on('error', () => {});
    const reader = new LengthPrefixReader();
    socket.on('data', (chunk: Buffer) => {
      for (const message of reader.push(chunk)) {
        for (const reply of answer(message, 'tcp', undefined)) socket.write(withLength(reply));
      }
    });
  });
  tcp.listen(port, address);
  await once(tcp, 'listening');
  const bound = (tcp.address() as AddressInfo).port;
  const udp = createSocket('udp4');
  udp.on('message', (message, from) => {
    for (const reply of answer(message, 'udp', from)) udp.send(reply, from.port, from.address);
  });
  udp.bind(bound, address);
  await once(udp, 'listening');
  return {
    port: bound,
    asked,
    connections,
    close: async () => {
      for (const socket of connections) socket.destroy();
      tcp.close();
      udp.close();
      await Promise.all([once(tcp, 'close'), once(udp, 'close')]);
    },
  };
}

/** A reply to `question`. @param rcode RFC 1035 §4.1.1 */
export function replyTo(question: DecodedPacket, more: Partial<Packet> = {}, rcode = 0): Buffer {
  return dnsPacket.encode({
    type: 'response',
    id: question.id ?? 0,
    flags: dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE | rcode,
    questions: question.questions ?? [],
    ...more,
  });
}

/** A reply with one address. */
export function addressReply(question: DecodedPacket, address: string): Buffer {
  const name = question.questions?.[0]?.name ?? '';
  return replyTo(question, { answers: [{ type: 'A', name, ttl: 5, data: address }] });
}
