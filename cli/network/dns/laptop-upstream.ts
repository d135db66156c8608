import dns from 'node:dns';
import { isIP } from 'node:net';
import { syntheticReply } from '../../../src/dns/make.ts';
import { CLASS, isTextName, type Question, questionName, RCODE, readQuestion, TYPE } from '../../../src/dns/message.ts';
import { reverseRange } from '../../../src/dns/reverse.ts';
import { systemErrorCode } from '../../../src/errors.ts';
import { askServers } from './ask-server.ts';
import { Gate } from './gate.ts';
import { type DnsServerAddress, laptopServers } from './servers.ts';
import type { Upstream } from './upstream.ts';

/** getaddrinfo tells no TTL. Short, for the laptop's names change with its networks. */
const TTL_SECONDS = 10;
/** Each of these may hold a thread of libuv's pool; it runs two slow ones at a time and the others wait in line here. */
const MAX_SYSTEM_LOOKUPS = 16;
/** Each has a socket of its own. */
const MAX_SERVER_QUESTIONS = 64;

/** Asks servers by their addresses: in system mode those the laptop had before, for its resolver asks us now. */
export class ServersUpstream implements Upstream {
  readonly #servers: () => Promise<readonly DnsServerAddress[]>;
  readonly #gate = new Gate(MAX_SERVER_QUESTIONS);

  constructor(servers: readonly DnsServerAddress[] | (() => Promise<readonly DnsServerAddress[]>)) {
    this.#servers = typeof servers === 'function' ? servers : () => Promise.resolve(servers);
  }

  async ask(message: Buffer, signal: AbortSignal): Promise<Buffer> {
    return await this.#gate.run(signal, async () => await askServers(await this.#servers(), message, signal));
  }
}

/**
 * The laptop's own resolver: addresses and names of addresses as its programs get them (hosts file, mDNS, VPN rules),
 * everything else from its DNS servers.
 */
export class LaptopUpstream implements Upstream {
  readonly #raw: Upstream;
  readonly #gate = new Gate(MAX_SYSTEM_LOOKUPS);
  /** getaddrinfo tells both families; the A and the AAAA question of one program come together. */
  readonly #underWay = new Map<string, Promise<readonly dns.LookupAddress[]>>();

  constructor(raw: Upstream = new ServersUpstream(laptopServers())) {
    this.#raw = raw;
  }

  async ask(message: Buffer, signal: AbortSignal): Promise<Buffer> {
    const question = readQuestion(message);
    if (typeof question === 'string') throw new Error('not a question');
    if (question.class === CLASS.IN && isTextName(question)) {
      if (question.type === TYPE.A || question.type === TYPE.AAAA) return await this.#askAddresses(question, signal);
      const range = question.type === TYPE.PTR ? reverseRange(questionName(question)) : undefined;
      if (range !== undefined && range.lowest === range.highest) {
        return await this.#askName(question, range.lowest, signal);
      }
    }
    return await this.#raw.ask(message, signal);
  }

  async #askAddresses(question: Question, signal: AbortSignal): Promise<Buffer> {
    const name = questionName(question);
    // getaddrinfo takes "10.1" for the address 10.0.0.1; in DNS it is a name that nobody has.
    if (isIP(name) !== 0 || /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/i.test(name)) return noSuchName(question);
    const key = name.toLowerCase();
    let pending = this.#underWay.get(key);
    if (pending === undefined) {
      pending = this.#gate.run(signal, () => dns.promises.lookup(name, { all: true, verbatim: true }));
      this.#underWay.set(key, pending);
      const forget = (): void => void this.#underWay.delete(key);
      pending.then(forget, forget);
    }
    try {
      const values = (await unlessAborted(pending, signal)).map(({ address }) => address);
      return syntheticReply(question, { rcode: RCODE.NOERROR, values, ttlSeconds: TTL_SECONDS });
    } catch (error) {
      if (systemErrorCode(error) === 'ENOTFOUND') return noSuchName(question);
      throw error; // EAI_AGAIN and the like: nobody knows
    }
  }

  async #askName(question: Question, address: string, signal: AbortSignal): Promise<Buffer> {
    try {
      const asked = this.#gate.run(signal, () => dns.promises.lookupService(address, 0));
      const { hostname } = await unlessAborted(asked, signal);
      return syntheticReply(question, { rcode: RCODE.NOERROR, values: [hostname], ttlSeconds: TTL_SECONDS });
    } catch (error) {
      if (systemErrorCode(error) === 'ENOTFOUND') return noSuchName(question);
      throw error;
    }
  }
}

function noSuchName(question: Question): Buffer {
  return syntheticReply(question, { rcode: RCODE.NXDOMAIN, values: [], ttlSeconds: TTL_SECONDS });
}

/** getaddrinfo cannot be called off; whoever asked need not wait for it. */
async function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  signal.throwIfAborted();
  return await new Promise<Result>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
