import { forwardedQuestion, OUR_UDP_BYTES } from '../../src/dns/make.ts';
import { FLAG_TRUNCATED, type Question, RCODE, type Reply } from '../../src/dns/message.ts';
import { DNS_TRY_MS } from '../limits.ts';
import type { DnsServers } from './dns-servers.ts';
import type { DnsTcp } from './dns-tcp.ts';
import { askByUdp } from './dns-udp.ts';

/** These mean "ask another server" (glibc's res_send). */
const NEXT_SERVER: ReadonlySet<number> = new Set([RCODE.SERVFAIL, RCODE.NOTIMP, RCODE.REFUSED, RCODE.FORMERR]);

interface Try {
  readonly address: string;
  /** Without EDNS: for a server that does not understand it. */
  readonly plain: boolean;
}

/**
 * One question to the pod's resolvers: each in turn, as often as resolv.conf says, over UDP, and over TCP where the answer was
 * cut. A server that is only slow may still answer while the next is asked.
 */
export class DnsExchange {
  readonly #question: Question;
  readonly #port: number;
  readonly #tcpOf: (address: string) => DnsTcp;
  readonly #onSettled: (reply: Reply | undefined) => void;
  readonly #tryMs: number;
  readonly #tries: Try[];
  readonly #running = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  /** What a server said that was no use, if none is of more. */
  #poor: Reply | undefined;
  #isOver = false;

  /**
   * @param first which server begins (`rotate`)
   * @param onSettled once; undefined: nobody answered
   */
  constructor(
    question: Question,
    servers: DnsServers,
    first: number,
    connections: { readonly port: number; readonly tcpOf: (address: string) => DnsTcp },
    onSettled: (reply: Reply | undefined) => void,
  ) {
    const { nameservers, attempts, timeoutMs } = servers;
    this.#question = question;
    this.#port = connections.port;
    this.#tcpOf = connections.tcpOf;
    this.#onSettled = onSettled;
    this.#tryMs = Math.min(timeoutMs, DNS_TRY_MS);
    const turn = nameservers.map((_, index) => nameservers[(first + index) % nameservers.length] ?? '');
    this.#tries = Array.from({ length: attempts }, () => turn.map((address) => ({ address, plain: false }))).flat();
    this.#next();
  }

  /** The time is over: takes what there is. */
  expire(): void {
    this.#settle(this.#poor);
  }

  #next(): void {
    clearTimeout(this.#timer);
    const next = this.#tries.shift();
    if (next === undefined) {
      if (this.#running.size === 0) this.#settle(this.#poor);
      return;
    }
    this.#timer = setTimeout(() => this.#next(), this.#tryMs);
    const message = this.#message(next);
    const server = { address: next.address, port: this.#port };
    this.#run(
      (settled) => askByUdp(server, this.#question, message, settled),
      (reply) => this.#judge(next, reply),
    );
  }

  #message({ plain }: Try): Buffer {
    const { edns } = this.#question;
    if (plain) return forwardedQuestion({ ...this.#question, edns: undefined });
    // Asked with EDNS even for those who do not know it: larger answers come without TCP.
    return forwardedQuestion({
      ...this.#question,
      edns: edns ?? { version: 0, udpBytes: OUR_UDP_BYTES, dnssecOk: false },
    });
  }

  #judge(tried: Try, reply: Reply | undefined): void {
    if (reply === undefined) {
      this.#next();
    } else if ((reply.message.readUInt16BE(2) & FLAG_TRUNCATED) !== 0) {
      const message = this.#message(tried);
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#next(), this.#tryMs);
      this.#run(
        (settled) => this.#tcpOf(tried.address).ask(this.#question, message, settled),
        (whole) => (whole === undefined || NEXT_SERVER.has(whole.rcode) ? this.#next() : this.#settle(whole)),
      );
    } else if (NEXT_SERVER.has(reply.rcode)) {
      this.#poor ??= reply;
      if (!tried.plain && (reply.rcode === RCODE.FORMERR || reply.rcode === RCODE.NOTIMP))
        this.#tries.unshift({ address: tried.address, plain: true });
      this.#next();
    } else {
      this.#settle(reply);
    }
  }

  #run(
    begin: (settled: (reply: Reply | undefined) => void) => () => void,
    done: (reply: Reply | undefined) => void,
  ): void {
    const cancel = begin((reply) => {
      this.#running.delete(cancel);
      if (!this.#isOver) done(reply);
    });
    this.#running.add(cancel);
  }

  #settle(reply: Reply | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    for (const cancel of this.#running) cancel();
    this.#onSettled(reply);
  }
}
