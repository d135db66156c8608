// Reads DNS messages (RFC 1035 §4, RFC 6891) where they lie: no record is decoded, so any type passes as it came, and a
// cached answer costs a copy. dns-packet makes messages; it would cut what it does not know.

export const HEADER_BYTES = 12;
/** Over UDP, to somebody who says nothing of EDNS. */
export const PLAIN_UDP_BYTES = 512;
export const MAX_MESSAGE_BYTES = 65_535;

export const FLAG_RESPONSE = 0x8000;
export const FLAG_TRUNCATED = 0x0200;
export const FLAG_RECURSION_DESIRED = 0x0100;
export const FLAG_RECURSION_AVAILABLE = 0x0080;
export const FLAG_AUTHENTIC = 0x0020;
export const FLAG_CHECKING_DISABLED = 0x0010;
export const OPCODE_MASK = 0x7800;
export const RCODE_MASK = 0x000f;

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
export const TYPE = { A: 1, SOA: 6, PTR: 12, AAAA: 28, OPT: 41, IXFR: 251, AXFR: 252 } as const;
export const CLASS = { IN: 1, ANY: 255 } as const;

/** Bytes of a question behind its name: type and class. */
const QUESTION_TAIL_BYTES = 4;
/** Of a record behind its name: type, class, TTL, data length. */
const RECORD_TAIL_BYTES = 10;
const MAX_WIRE_NAME_BYTES = 255;
const MAX_POINTERS = 128;

/** What the asker says of itself by EDNS. */
export interface Edns {
  readonly version: number;
  /** Largest answer it takes over UDP. */
  readonly udpBytes: number;
  readonly dnssecOk: boolean;
}

/** A message with one question, read as far as needed. The name is at HEADER_BYTES, without pointers. */
export interface Question {
  readonly message: Buffer;
  readonly flags: number;
  readonly type: number;
  readonly class: number;
  /** Where the question ends in the message. */
  readonly end: number;
  readonly edns: Edns | undefined;
}

/** Where a record lies in its message. */
export interface RecordSpan {
  readonly section: 'answer' | 'authority' | 'additional';
  readonly type: number;
  readonly class: number;
  readonly start: number;
  readonly ttlAt: number;
  readonly dataAt: number;
  readonly end: number;
}

/** An answer whose every record was found. */
export interface Reply {
  readonly message: Buffer;
  readonly rcode: number;
  /** Where its question ends. */
  readonly questionEnd: number;
  readonly records: readonly RecordSpan[];
}

/**
 * Reads a question.
 * @returns 'nothing' for what must not be answered (an answer, or too little for an id); 'malformed' and 'unsupported' are
 *   to be answered with FORMERR and NOTIMP
 */
export function readQuestion(message: Buffer): Question | 'nothing' | 'malformed' | 'unsupported' {
  if (message.length < HEADER_BYTES || message.length > MAX_MESSAGE_BYTES) return 'nothing';
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG_RESPONSE) !== 0) return 'nothing';
  if ((flags & OPCODE_MASK) !== 0) return 'unsupported';
  if (message.readUInt16BE(4) !== 1) return 'malformed';
  const nameEnd = skipPlainName(message, HEADER_BYTES);
  if (nameEnd === undefined || nameEnd + QUESTION_TAIL_BYTES > message.length) return 'malformed';
  const end = nameEnd + QUESTION_TAIL_BYTES;
  const records = readRecords(message, end);
  if (records === undefined) return 'malformed';
  const opts = records.filter(({ type }) => type === TYPE.OPT);
  if (opts.length > 1) return 'malformed'; // RFC 6891 §6.1.1
  return {
    message,
    flags,
    type: message.readUInt16BE(nameEnd),
    class: message.readUInt16BE(nameEnd + 2),
    end,
    edns: opts[0] === undefined ? undefined : readEdns(message, opts[0]),
  };
}

function readEdns(message: Buffer, opt: RecordSpan): Edns {
  return {
    udpBytes: opt.class, // RFC 6891 §6.1.2
    version: message[opt.ttlAt + 1] ?? 0,
    dnssecOk: ((message[opt.ttlAt + 2] ?? 0) & 0x80) !== 0,
  };
}

/** Reads an answer with one question. @returns undefined when it is none or is broken */
export function readReply(message: Buffer): Reply | undefined {
  if (message.length < HEADER_BYTES || message.length > MAX_MESSAGE_BYTES) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG_RESPONSE) === 0 || message.readUInt16BE(4) !== 1) return undefined;
  const nameEnd = skipPlainName(message, HEADER_BYTES);
  if (nameEnd === undefined || nameEnd + QUESTION_TAIL_BYTES > message.length) return undefined;
  const questionEnd = nameEnd + QUESTION_TAIL_BYTES;
  const records = readRecords(message, questionEnd);
  if (records === undefined) return undefined;
  return { message, rcode: flags & RCODE_MASK, questionEnd, records };
}

/** Whether a reply is to this question: same name (case aside), type and class. */
export function answers(reply: Reply, question: Question): boolean {
  if (reply.questionEnd !== question.end) return false;
  const nameEnd = question.end - QUESTION_TAIL_BYTES;
  for (let at = HEADER_BYTES; at < nameEnd; at++) {
    if (lowerCase(reply.message[at]) !== lowerCase(question.message[at])) return false;
  }
  return reply.message.compare(question.message, nameEnd, question.end, nameEnd, question.end) === 0;
}

/** The question's name as text without the last dot, '' for the root. Bytes above ASCII and dots in a label: see isTextName. */
export function questionName({ message, end }: Question): string {
  const labels: string[] = [];
  for (let at = HEADER_BYTES; at < end - QUESTION_TAIL_BYTES; ) {
    const length = message[at] ?? 0;
    if (length === 0) break;
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return labels.join('.');
}

/** Whether the name can be said as text: printable ASCII, and no dot inside a label. */
export function isTextName(question: Question): boolean {
  const name = questionName(question);
  let labels = 0;
  for (let at = HEADER_BYTES; (question.message[at] ?? 0) !== 0; at += 1 + (question.message[at] ?? 0)) labels += 1;
  return name !== '' && /^[\x21-\x7e]+$/.test(name) && name.split('.').length === labels;
}

const keyBytes = Buffer.allocUnsafe(MAX_WIRE_NAME_BYTES);

/** The same for questions with the same answer: name (case aside), type, class, and what changes an answer's form. */
export function questionKey({ message, end, type, class: klass, flags, edns }: Question): string {
  const length = end - QUESTION_TAIL_BYTES - HEADER_BYTES;
  for (let at = 0; at < length; at++) keyBytes[at] = lowerCase(message[HEADER_BYTES + at]);
  const form = (flags & (FLAG_AUTHENTIC | FLAG_CHECKING_DISABLED)) | (edns === undefined ? 0 : edns.dnssecOk ? 2 : 1);
  return `${type} ${klass} ${form} ${keyBytes.toString('latin1', 0, length)}`;
}

/** Length bytes are below 64 and no letters: a whole wire name may go through this. */
function lowerCase(byte: number | undefined): number {
  const value = byte ?? 0;
  return value >= 0x41 && value <= 0x5a ? value + 0x20 : value;
}

/** A question's name: nothing stands before it that it could point at. @returns where it ends, undefined when broken */
function skipPlainName(message: Buffer, start: number): number | undefined {
  for (let at = start; at < message.length; ) {
    const length = message[at] ?? 0;
    if (length > 63) return undefined;
    at += 1 + length;
    if (at - start > MAX_WIRE_NAME_BYTES) return undefined;
    if (length === 0) return at;
  }
  return undefined;
}

/** @returns where a record's name ends; undefined when it is cut, too long, or its pointers do not go back */
function skipName(message: Buffer, start: number): number | undefined {
  let end: number | undefined;
  let wireBytes = 0;
  let pointers = 0;
  for (let at = start, limit = start; at < message.length; ) {
    const length = message[at] ?? 0;
    if (length >= 0xc0) {
      if (at + 2 > message.length) return undefined;
      end ??= at + 2;
      const target = message.readUInt16BE(at) & 0x3fff;
      pointers += 1;
      if (target >= limit || target < HEADER_BYTES || pointers > MAX_POINTERS) return undefined;
      limit = target;
      at = target;
      continue;
    }
    if (length > 63) return undefined;
    wireBytes += 1 + length;
    if (wireBytes > MAX_WIRE_NAME_BYTES) return undefined;
    at += 1 + length;
    if (length === 0) return end ?? at;
  }
  return undefined;
}

function readRecords(message: Buffer, start: number): RecordSpan[] | undefined {
  const records: RecordSpan[] = [];
  let at = start;
  for (const [section, countAt] of SECTIONS) {
    for (let left = message.readUInt16BE(countAt); left > 0; left--) {
      const nameEnd = skipName(message, at);
      if (nameEnd === undefined || nameEnd + RECORD_TAIL_BYTES > message.length) return undefined;
      const dataAt = nameEnd + RECORD_TAIL_BYTES;
      const end = dataAt + message.readUInt16BE(nameEnd + 8);
      if (end > message.length) return undefined;
      const [type, klass] = [message.readUInt16BE(nameEnd), message.readUInt16BE(nameEnd + 2)];
      records.push({ section, type, class: klass, start: at, ttlAt: nameEnd + 4, dataAt, end });
      at = end;
    }
  }
  return records;
}

const SECTIONS = [
  ['answer', 6],
  ['authority', 8],
  ['additional', 10],
] as const;
