import dnsPacket, { type Answer } from 'dns-packet';
import { FLAG_RECURSION_DESIRED, PLAIN_UDP_BYTES, type Question, RCODE } from '../../../src/dns/message.ts';
import { type Reply, TTL_SECONDS } from './own-names.ts';

/** No UDP answer of ours is larger, whatever the asker takes (RFC 9715: no fragments). */
const MAX_UDP_BYTES = 1_232;

/**
 * The bytes of a reply to a question.
 * @param via 'udp': cut to what the asker takes, with TC, so that it asks again by TCP
 */
export function encodeReply(reply: Reply, question: Question, domain: string, via: 'udp' | 'tcp'): Buffer {
  const limit =
    question.edns === undefined
      ? PLAIN_UDP_BYTES
      : Math.max(PLAIN_UDP_BYTES, Math.min(question.edns.udpBytes, MAX_UDP_BYTES));
  const whole = encode(reply, question, domain);
  if (via === 'tcp' || whole.length <= limit) return whole;
  const lean = encode({ ...reply, additionals: [] }, question, domain);
  if (lean.length <= limit) return lean;
  return encode({ ...reply, answers: [], additionals: [] }, question, domain, dnsPacket.TRUNCATED_RESPONSE);
}

function encode(reply: Reply, question: Question, domain: string, extraFlags = 0): Buffer {
  const flags =
    (question.flags & FLAG_RECURSION_DESIRED) |
    dnsPacket.AUTHORITATIVE_ANSWER |
    dnsPacket.RECURSION_AVAILABLE |
    extraFlags |
    RCODE[reply.code];
  const additionals = [...reply.additionals];
  if (question.edns !== undefined) additionals.push(optRecord());
  const negative = reply.answers.length === 0 && extraFlags === 0;
  const bytes = dnsPacket.encode({
    type: 'response',
    id: question.message.readUInt16BE(0),
    flags,
    questions: [],
    answers: [...reply.answers],
    authorities: negative ? [startOfAuthority(domain)] : [],
    additionals,
  });
  // The question goes back as it came, letter case and all; without compression the records hold no offsets.
  const header = Buffer.from(bytes.subarray(0, 12));
  header.writeUInt16BE(1, 4);
  return Buffer.concat([header, question.message.subarray(12, question.end), bytes.subarray(12)]);
}

function optRecord(): Answer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: MAX_UDP_BYTES,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
}

function startOfAuthority(domain: string): Answer {
  const times = { serial: 1, refresh: 7200, retry: 1800, expire: 86_400, minimum: TTL_SECONDS };
  const data = { mname: `ns.dns.${domain}`, rname: `hostmaster.${domain}`, ...times };
  return { type: 'SOA', name: domain, ttl: TTL_SECONDS, data };
}
