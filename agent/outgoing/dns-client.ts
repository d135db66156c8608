import { replyFor } from '../../src/dns/fit.ts';
import { emptyReply, unreadableReply } from '../../src/dns/make.ts';
import { type Question, RCODE, type Reply, readQuestion, TYPE } from '../../src/dns/message.ts';
import { DNS_DEADLINE_MS, MAX_DNS_ACTIVE, MAX_DNS_WAITING } from '../limits.ts';
import { DnsExchange } from './dns-exchange.ts';
import { type DnsServers, readDnsServers } from './dns-servers.ts';
import { DnsTcp } from './dns-tcp.ts';
import { Shares } from './shares.ts';

export interface DnsClientOptions {
  readonly resolvConf: string;
  /** Of all resolvers; 53 but in tests. */
  readonly port?: number;
  readonly deadlineMs?: number;
}

interface Waiter {
  readonly owner: object;
  begin(): void;
}

/** Asks the pod's resolvers for all sessions of the agent. */
export class DnsClient {
  readonly #options: DnsClientOptions;
  readonly #tcp = new Map<string, DnsTcp>();
  readonly #waiting = new Set<Waiter>();
  readonly #places = new Shares(MAX_DNS_WAITING);
  readonly #asking = new Shares(MAX_DNS_ACTIVE);
  readonly #expiries = new Set<() => void>();
  #isClosed = false;
  #turn = 0;
  #servers: Promise<DnsServers> | undefined;

  constructor(options: DnsClientOptions) {
    this.#options = options;
  }

  /** The pod's resolv.conf; the kubelet writes it once, before the pod starts. */
  get servers(): Promise<DnsServers> {
    this.#servers ??= readDnsServers(this.#options.resolvConf);
    return this.#servers;
  }

  /**
   * Answers a DNS message as a resolver would; the asker's id and spelling come back. Never rejects.
   * @param signal the asker is gone: the answer is of no more use
   * @param owner whose question it is
   * @returns undefined for what must not be answered (an answer, or no whole header)
   */
  async answer(message: Buffer, signal: AbortSignal, owner: object): Promise<Buffer | undefined> {
    const question = readQuestion(message);
    if (question === 'nothing') return undefined;
    if (question === 'malformed') return unreadableReply(message, RCODE.FORMERR);
    if (question === 'unsupported') return unreadableReply(message, RCODE.NOTIMP);
    // A zone transfer is many messages, and no business of an app.
    if (question.type === TYPE.AXFR || question.type === TYPE.IXFR) return emptyReply(question, RCODE.REFUSED);
    const reply = await this.ask(question, owner, signal);
    if (reply === undefined) return emptyReply(question, RCODE.SERVFAIL);
    return withoutUnaskedEdns(question, reply);
  }

  /** @returns undefined when nobody answered in time, or too many questions wait */
  async ask(question: Question, owner: object, signal?: AbortSignal): Promise<Reply | undefined> {
    const servers = await this.servers;
    if (this.#isClosed || signal?.aborted === true) return undefined;
    // Not AbortSignal.any(): a signal that lives long keeps something of each (Node 20).
    const expiry = new AbortController();
    const expire = (): void => expiry.abort();
    const timer = setTimeout(expire, this.#options.deadlineMs ?? DNS_DEADLINE_MS);
    signal?.addEventListener('abort', expire);
    this.#expiries.add(expire);
    try {
      const done = await this.#turnToAsk(owner, expiry.signal);
      if (done === undefined) return undefined;
      try {
        return await this.#exchange(question, servers, expiry.signal);
      } finally {
        done();
        if (this.#asking.total < MAX_DNS_ACTIVE) this.#nextWaiter()?.begin();
      }
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', expire);
      this.#expiries.delete(expire);
    }
  }

  /** Ends what is under way without an answer. */
  close(): void {
    this.#isClosed = true;
    for (const expire of this.#expiries) expire();
    for (const tcp of this.#tcp.values()) tcp.close();
  }

  #exchange(question: Question, servers: DnsServers, expired: AbortSignal): Promise<Reply | undefined> {
    const { port = 53 } = this.#options;
    const first = servers.rotate ? this.#turn++ % servers.nameservers.length : 0;
    return new Promise((resolve) => {
      if (expired.aborted) {
        resolve(undefined);
        return;
      }
      const connections = { port, tcpOf: (address: string) => this.#tcpOf(address, port) };
      const exchange = new DnsExchange(question, servers, first, connections, (reply) => {
        expired.removeEventListener('abort', expire);
        resolve(reply);
      });
      const expire = (): void => exchange.expire();
      expired.addEventListener('abort', expire);
    });
  }

  /** @returns to be called when it is answered; undefined when the time or the room is over */
  async #turnToAsk(owner: object, expired: AbortSignal): Promise<(() => void) | undefined> {
    const now = this.#asking.take(owner);
    if (now !== undefined) return now;
    const leave = this.#places.take(owner);
    if (leave === undefined) return undefined;
    return await new Promise((resolve) => {
      const settle = (done: (() => void) | undefined): void => {
        leave();
        this.#waiting.delete(waiter);
        expired.removeEventListener('abort', giveUp);
        resolve(done);
      };
      const giveUp = (): void => settle(undefined);
      const waiter: Waiter = { owner, begin: () => settle(this.#asking.take(owner)) };
      this.#waiting.add(waiter);
      expired.addEventListener('abort', giveUp);
    });
  }

  /** Whose session has the fewest questions under way; of those who has waited longest. */
  #nextWaiter(): Waiter | undefined {
    let next: Waiter | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    for (const waiter of this.#waiting) {
      const count = this.#asking.of(waiter.owner);
      if (count >= fewest) continue;
      fewest = count;
      next = waiter;
    }
    return next;
  }

  #tcpOf(address: string, port: number): DnsTcp {
    const known = this.#tcp.get(address) ?? new DnsTcp({ address, port });
    this.#tcp.set(address, known);
    return known;
  }
}

/** Who did not speak EDNS must not be answered in it (RFC 6891 §7): we asked with it for our own sake. */
function withoutUnaskedEdns(question: Question, reply: Reply): Buffer {
  const message = replyFor(question, reply, 0);
  const last = reply.records.at(-1);
  if (question.edns !== undefined || last?.type !== TYPE.OPT) return message;
  message.writeUInt16BE(message.readUInt16BE(10) - 1, 10);
  return message.subarray(0, last.start);
}
