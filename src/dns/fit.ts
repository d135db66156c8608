import {
  FLAG_RECURSION_DESIRED,
  FLAG_TRUNCATED,
  HEADER_BYTES,
  MAX_MESSAGE_BYTES,
  PLAIN_UDP_BYTES,
  type Question,
  type Reply,
  TYPE,
} from './message.ts';

/**
 * A reply made for one asker into the same for another with the same questionKey(): the asker's id, spelling of the name
 * (some check it, "0x20") and RD, and TTLs lower by the age. Pointers to the question's name show the new spelling too.
 * @param ageSeconds since the reply came; no TTL goes below 0
 */
export function replyFor(question: Question, reply: Reply, ageSeconds: number): Buffer {
  const copy = Buffer.allocUnsafe(reply.message.length);
  reply.message.copy(copy);
  question.message.copy(copy, 0, 0, 2);
  const flags = copy.readUInt16BE(2) & ~FLAG_RECURSION_DESIRED;
  copy.writeUInt16BE(flags | (question.flags & FLAG_RECURSION_DESIRED), 2);
  question.message.copy(copy, HEADER_BYTES, HEADER_BYTES, question.end);
  if (ageSeconds > 0) {
    for (const { type, ttlAt } of reply.records) {
      if (type !== TYPE.OPT) copy.writeUInt32BE(Math.max(0, ttlSeconds(copy, ttlAt) - ageSeconds), ttlAt);
    }
  }
  return copy;
}

/** A record's TTL; one with the highest bit set is 0 (RFC 2181 §8). */
export function ttlSeconds(message: Buffer, ttlAt: number): number {
  const ttl = message.readUInt32BE(ttlAt);
  return ttl > 0x7fffffff ? 0 : ttl;
}

/** What this asker takes over UDP. */
export function udpLimitBytes({ edns }: Question): number {
  return Math.min(Math.max(PLAIN_UDP_BYTES, edns?.udpBytes ?? 0), MAX_MESSAGE_BYTES);
}

/**
 * Cuts a reply that is too large for the asker's UDP. What helps only is dropped first; where answers are missing TC says
 * so and the asker comes again over TCP. As many whole records as fit stay: musl before 1.2.4 uses them, and never asks
 * over TCP.
 * @param message the bytes to cut, laid out as `reply` says (replyFor keeps the layout)
 */
export function fitUdp(question: Question, reply: Reply, message: Buffer): Buffer {
  const limit = udpLimitBytes(question);
  if (message.length <= limit) return message;
  const opt = reply.records.find(({ type }) => type === TYPE.OPT);
  const optBytes = opt === undefined ? Buffer.alloc(0) : bareOpt(message, opt.start, opt.dataAt);
  const counts = { answer: 0, authority: 0 };
  const wanted = reply.records.filter(({ section }) => section === 'answer').length;
  let end = reply.questionEnd;
  for (const record of reply.records) {
    if (record.section === 'additional' || record.end + optBytes.length > limit) break;
    counts[record.section] += 1;
    end = record.end;
  }
  const negative = wanted === 0 && counts.authority === 0;
  const cut = Buffer.concat([message.subarray(0, end), optBytes]);
  if (counts.answer < wanted || negative) cut.writeUInt16BE(cut.readUInt16BE(2) | FLAG_TRUNCATED, 2);
  cut.writeUInt16BE(counts.answer, 6);
  cut.writeUInt16BE(counts.authority, 8);
  cut.writeUInt16BE(opt === undefined ? 0 : 1, 10);
  return cut;
}

/** The OPT without its options. */
function bareOpt(message: Buffer, start: number, dataAt: number): Buffer {
  const opt = Buffer.from(message.subarray(start, dataAt));
  opt.writeUInt16BE(0, opt.length - 2);
  return opt;
}
