import { replyFor } from '../../src/dns/fit.ts';
import { emptyReply, unreadableReply } from '../../src/dns/make.ts';
import { type Question, RCODE, type Reply, readQuestion, TYPE } from '../../src/dns/message.ts';
import { DNS_DEADLINE_MS, MAX_DNS_ACTIVE, MAX_DNS_WAITING } from '../limits.ts';
import { DnsExchange } from './dns-exchange.ts';
import { type DnsServers, readDnsServers } from './dns-servers.ts';
import { DnsTcp } from './dns-tcp.ts';

export interface DnsClientOptions {
  readonly resolvConf: string;
  /** Of all resolvers; 53 but in tests. */
  readonly port?: number;
  readonly deadlineMs?: number;
}

/** Asks the pod's resolvers for all sessions of the agent. */
export class DnsClient {
  readonly #options: DnsClientOptions;
  readonly #tcp = new Map<string, DnsTcp>();
  readonly #waiting = new Set<() => void>();
  readonly #expiries = new Set<() => void>();
  #isClosed = false;
  #active = 0;
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
   * @returns undefined for what must not be answered (an answer, or no whole header)
   */
  async answer(message: Buffer, signal: AbortSignal): Promise<Buffer | undefined> {
    const question = readQuestion(message);
    if (question === 'nothing') return undefined;
    if (question === 'malformed') return unreadableReply(message, RCODE.FORMERR);
    if (question === 'unsupported') return unreadableReply(message, RCODE.NOTIMP);
    // A zone transfer is many messages, and no business of an app.
    if (question.type === TYPE.AXFR || question.type === TYPE.IXFR) return emptyReply(question, RCODE.REFUSED);
    const reply = await this.ask(question, signal);
    if (reply === undefined) return emptyReply(question, RCODE.SERVFAIL);
    return withoutUnaskedEdns(question, reply);
  }

  /** @returns undefined when nobody answered in time, or too many questions wait */
  async ask(question: Question, signal?: AbortSignal): Promise<Reply | undefined> {
    const servers = await this.servers;
    if (this.#isClosed || signal?.aborted === true) return undefined;
    // Not AbortSignal.any(): a signal that lives long keeps something of each (Node 20).
    const expiry = new AbortController();
    const expire = (): void => expiry.abort();
    const timer = setTimeout(expire, this.#options.deadlineMs ?? DNS_DEADLINE_MS);
    signal?.addEventListener('abort', expire);
    this.#expiries.add(expire);
    try {
      if (!(await this.#turnToAsk(expiry.signal))) return undefined;
      try {
        return await this.#exchange(question, servers, expiry.signal);
      } finally {
        this.#active -= 1;
        const [next] = this.#waiting;
        next?.();
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

  /** @returns false when the time or the room is over */
  #turnToAsk(expired: AbortSignal): Promise<boolean> {
    if (this.#active < MAX_DNS_ACTIVE) {
      this.#active += 1;
      return Promise.resolve(true);
    }
    if (this.#waiting.size >= MAX_DNS_WAITING) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (isTurn: boolean): void => {
        this.#waiting.delete(begin);
        expired.removeEventListener('abort', giveUp);
        resolve(isTurn);
      };
      const begin = (): void => {
        this.#active += 1;
        settle(true);
      };
      const giveUp = (): void => settle(false);
      this.#waiting.add(begin);
      expired.addEventListener('abort', giveUp);
    });
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
