import dnsPacket from 'dns-packet';
import { isIPv4 } from '../net/ip.ts';
import {
  FLAG_AUTHENTIC,
  FLAG_CHECKING_DISABLED,
  FLAG_RECURSION_AVAILABLE,
  FLAG_RECURSION_DESIRED,
  FLAG_RESPONSE,
  HEADER_BYTES,
  isTextName,
  OPCODE_MASK,
  type Question,
  questionName,
  type RCODE,
  TYPE,
} from './message.ts';
import { nameFault, withoutLastDot } from './names.ts';

/** What we say we take over UDP: passes every network unfragmented (DNS flag day 2020). */
export const OUR_UDP_BYTES = 1232;
/** How long a "no" of the laptop holds: its own resolver tells no time. */
const LAPTOP_NEGATIVE_SECONDS = 5;
const DNSSEC_OK = 0x8000;
const BAD_VERSION = 1;
const MAX_ID = 65_535;

/** An OPT record with nothing in it (RFC 6891 §6.1.2). @param ttl extended rcode, version and flags */
function optRecord(ttl: number): Buffer {
  const opt = Buffer.alloc(11);
  opt.writeUInt16BE(TYPE.OPT, 1);
  opt.writeUInt16BE(OUR_UDP_BYTES, 3);
  opt.writeUInt32BE(ttl, 5);
  return opt;
}

/** A question as bytes, id 0. @throws Error on a name that nameFault() would refuse */
export function makeQuestion(name: string, type: 'A' | 'AAAA'): Buffer {
  const fault = nameFault(name);
  if (fault !== undefined) throw new Error(fault);
  return dnsPacket.encode({
    type: 'query',
    id: 0,
    flags: FLAG_RECURSION_DESIRED,
    questions: [{ name: withoutLastDot(name), type, class: 'IN' }],
  });
}

/**
 * The question as we pass it on, id 0: same name (its case too), type, class and DNSSEC wishes; EDNS where the asker has
 * it, without its options, which are between two neighbours (cookies, client subnet).
 */
export function forwardedQuestion({ message, flags, end, edns }: Question): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(FLAG_RECURSION_DESIRED | (flags & (FLAG_AUTHENTIC | FLAG_CHECKING_DISABLED)), 2);
  head.writeUInt16BE(1, 4);
  if (edns !== undefined) head.writeUInt16BE(1, 10);
  const parts = [head, message.subarray(HEADER_BYTES, end)];
  if (edns !== undefined) parts.push(optRecord(edns.dnssecOk ? DNSSEC_OK : 0));
  return Buffer.concat(parts);
}

/** An answer without records: SERVFAIL, NXDOMAIN, … */
export function emptyReply(question: Question, rcode: number): Buffer {
  const { message, flags, end, edns } = question;
  const head = replyHead(message, flags, rcode);
  head.writeUInt16BE(1, 4);
  if (edns !== undefined) head.writeUInt16BE(1, 10);
  const parts = [head, message.subarray(HEADER_BYTES, end)];
  if (edns !== undefined) parts.push(optRecord(edns.dnssecOk ? DNSSEC_OK : 0));
  return Buffer.concat(parts);
}

/** The answer to an EDNS version we do not know (RFC 6891 §6.1.3). */
export function badVersionReply(question: Question): Buffer {
  const reply = emptyReply(question, 0);
  reply.writeUInt8(BAD_VERSION, reply.length - 6);
  return reply;
}

/** The answer to a message whose question cannot be read: a header alone, so that it is never larger than what came. */
export function unreadableReply(message: Buffer, rcode: number): Buffer {
  return replyHead(message, message.readUInt16BE(2), rcode);
}

function replyHead(message: Buffer, flags: number, rcode: number): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  message.copy(head, 0, 0, 2);
  const kept = flags & (OPCODE_MASK | FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED);
  head.writeUInt16BE(FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | kept | rcode, 2);
  return head;
}

/** What the laptop's getaddrinfo or getnameinfo said. No values: the name exists (`rcode` 0) without such records, or not. */
export interface Synthetic {
  readonly rcode: typeof RCODE.NOERROR | typeof RCODE.NXDOMAIN;
  /** Addresses for A and AAAA questions, names for PTR. */
  readonly values: readonly string[];
  readonly ttlSeconds: number;
}

/** An answer of our own making to an A, AAAA or PTR question; to any other one without values. */
export function syntheticReply(question: Question, { rcode, values, ttlSeconds: ttl }: Synthetic): Buffer {
  if (!isTextName(question)) return emptyReply(question, rcode);
  const name = questionName(question);
  const type = question.type === TYPE.PTR ? 'PTR' : question.type === TYPE.AAAA ? 'AAAA' : 'A';
  const good = values.filter((value) =>
    type === 'PTR' ? nameFault(value) === undefined : isIPv4(value) === (type === 'A'),
  );
  const times = { serial: 1, refresh: 3600, retry: 600, expire: 86_400, minimum: LAPTOP_NEGATIVE_SECONDS };
  const reply = dnsPacket.encode({
    type: 'response',
    id: question.message.readUInt16BE(0),
    flags: FLAG_RECURSION_AVAILABLE | (question.flags & (FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED)) | rcode,
    questions: [{ name, type, class: 'IN' }],
    answers: good.map((data) => ({ name, type, ttl, data })),
    // A SOA, so that this "no" is kept for a moment like others (RFC 2308 §5).
    authorities:
      good.length > 0
        ? []
        : [
            {
              type: 'SOA',
              name: '.',
              ttl: LAPTOP_NEGATIVE_SECONDS,
              data: { mname: 'laptop.invalid', rname: 'laptop.invalid', ...times },
            },
          ],
  });
  question.message.copy(reply, HEADER_BYTES, HEADER_BYTES, question.end); // the asker's bytes
  if (question.edns === undefined) return reply;
  reply.writeUInt16BE(1, 10);
  return Buffer.concat([reply, optRecord(question.edns.dnssecOk ? DNSSEC_OK : 0)]);
}

/** The message under another id; the original stays as it is. @param id 0 … 65535 */
export function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id & MAX_ID, 0);
  return copy;
}
