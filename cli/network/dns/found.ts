import { type AnsweredAddress, answeredAddresses } from '../../../src/dns/answers.ts';
import { emptyReply, syntheticReply } from '../../../src/dns/make.ts';
import { type Question, RCODE, type Reply, readReply, TYPE } from '../../../src/dns/message.ts';
import type { Origin } from './origins.ts';

/** Whatever is told does: the address never changes, and nothing is learned from it. */
const LOOPBACK_TTL_SECONDS = 30;

/** What was found out about a question; the reply is as its first asker would get it. */
export interface Found {
  readonly reply: Reply;
  readonly origin: Origin;
  readonly addresses: readonly AnsweredAddress[];
  /** The user's words say where its addresses are dialled from. */
  readonly chosen?: boolean;
  /** False: told to those who wait for it, and asked anew by the next one. */
  readonly keep: boolean;
}

/** Neither a yes (NOERROR) nor a no (NXDOMAIN): SERVFAIL, REFUSED and the like. */
export function isFailure({ rcode }: Reply): boolean {
  return rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN;
}

/** Without records, made here; asked anew by the next one. */
export function made(question: Question, rcode: number): Found {
  return fromBytes(emptyReply(question, rcode));
}

/** RFC 6761 §6.3: `localhost` is this machine wherever it is asked; other types than A and AAAA have no records. */
export function loopback(question: Question): Found {
  const values = question.type === TYPE.A ? ['127.0.0.1'] : question.type === TYPE.AAAA ? ['::1'] : [];
  return fromBytes(syntheticReply(question, { rcode: RCODE.NOERROR, values, ttlSeconds: LOOPBACK_TTL_SECONDS }));
}

/** What a message says that was made here: of the laptop, and not kept. */
export function fromBytes(message: Buffer): Found {
  const reply = readReply(message);
  if (reply === undefined) throw new Error('made a reply that cannot be read'); // our bug
  return { reply, origin: 'laptop', addresses: answeredAddresses(reply), keep: false };
}
