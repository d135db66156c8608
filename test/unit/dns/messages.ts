import dnsPacket from 'dns-packet';
import { type Question, type Reply, readQuestion, readReply } from '../../../src/dns/message.ts';

/** A question as a client would send it. @param ednsBytes 0: without EDNS */
export function query(name: string, type: dnsPacket.RecordType = 'A', ednsBytes = 0, id = 4711): Buffer {
  const packet: dnsPacket.Packet = {
    type: 'query',
    id,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ name, type, class: 'IN' }],
  };
  if (ednsBytes > 0) packet.additionals = [opt(ednsBytes)];
  return dnsPacket.encode(packet);
}

export function opt(udpPayloadSize: number): dnsPacket.OptAnswer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
}

/** @throws Error when it is none */
export function asQuestion(message: Buffer): Question {
  const question = readQuestion(message);
  if (typeof question === 'string') throw new Error(`not a question: ${question}`);
  return question;
}

/** @throws Error when it is none */
export function asReply(message: Buffer): Reply {
  const reply = readReply(message);
  if (reply === undefined) throw new Error('not a reply');
  return reply;
}

export interface Sections {
  readonly rcode?: number;
  readonly answers?: dnsPacket.Answer[];
  readonly authorities?: dnsPacket.Answer[];
  readonly additionals?: dnsPacket.Answer[];
}

/** An answer to a question as a server would send it. */
export function replyTo(message: Buffer, { rcode = 0, ...sections }: Sections): Buffer {
  const { id = 0, questions = [] } = dnsPacket.decode(message);
  const flags = dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE | rcode;
  return dnsPacket.encode({ type: 'response', id, flags, questions, ...sections });
}

export function addresses(name: string, ttl: number, ...texts: string[]): dnsPacket.Answer[] {
  return texts.map((data) => ({ name, type: data.includes(':') ? 'AAAA' : 'A', ttl, data }));
}

export function soa(ttl: number, minimum: number): dnsPacket.Answer {
  const data = { mname: 'ns.test', rname: 'admin.test', serial: 1, refresh: 1, retry: 1, expire: 1, minimum };
  return { type: 'SOA', name: 'test', ttl, data };
}
