import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { canonicalAddress } from '../../../src/dns/addresses.ts';
import { hasAnswers } from '../../../src/dns/answers.ts';
import { CACHE_LIMITS, keepSeconds, ReplyCache } from '../../../src/dns/cache.ts';
import { makeClassifier } from '../../../src/dns/classify.ts';
import { fitUdp, replyFor } from '../../../src/dns/fit.ts';
import { badVersionReply, emptyReply, makeQuestion, unreadableReply } from '../../../src/dns/make.ts';
import { CLASS, type Question, questionKey, RCODE, readQuestion, TYPE } from '../../../src/dns/message.ts';
import { searchCandidates } from '../../../src/dns/names.ts';
import { DialError } from '../dial-error.ts';
import type { LookedUp, Resolver } from '../types.ts';
import { type Found, isFailure, made } from './found.ts';
import { type LaptopTurn, nextTurn } from './laptop-turn.ts';
import { LearnedOrigins, type Origin } from './origins.ts';
import { SplitHorizon, type SplitHorizonOptions } from './split-horizon.ts';

export interface ResolverOptions extends Omit<SplitHorizonOptions, 'route' | 'deadlineMs'> {
  /** The pod's. */
  readonly search: readonly string[];
  readonly ndots: number;
  /** `--dns-local`. */
  readonly laptopSuffixes: readonly string[];
  /** Whether an address is in one of the cluster's ranges. Not asked about learned ones. */
  readonly inClusterRange: (address: string) => boolean;
  readonly limits?: Partial<ResolverLimits>;
}

export interface ResolverLimits {
  /** Different questions that wait for an answer; one more is SERVFAIL. */
  readonly maxInFlight: number;
  readonly maxCacheEntries: number;
  readonly maxCacheBytes: number;
  /**
   * One upstream has this long. With two of them just below the 10 s after which libc (5 s, twice) has given up; its
   * second try finds the first one's question under way.
   */
  readonly upstreamDeadlineMs: number;
}

const LIMITS: ResolverLimits = {
  maxInFlight: 2000,
  maxCacheEntries: CACHE_LIMITS.maxEntries,
  maxCacheBytes: CACHE_LIMITS.maxBytes,
  upstreamDeadlineMs: 4_800,
};

const NOTHING = Buffer.alloc(0);
/** A cached answer that is told again after this long makes its addresses last longer, too. */
const RELEARN_SECONDS = 30;

/** Names as the pod knows them, and the laptop's own (cli/network/types.ts): routes, cache, one question for equal ones. */
export class PodResolver implements Resolver {
  readonly search: readonly string[];
  readonly ndots: number;
  readonly #limits: ResolverLimits;
  readonly #horizon: SplitHorizon;
  readonly #cache: ReplyCache<Found>;
  readonly #inFlight = new Map<string, Promise<Found>>();
  readonly #origins = new LearnedOrigins();
  #closed = false;

  constructor(options: ResolverOptions) {
    const { search, ndots, laptopSuffixes, clusterSuffixes, inClusterRange } = options;
    this.search = search;
    this.ndots = ndots;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#cache = new ReplyCache({ maxEntries: this.#limits.maxCacheEntries, maxBytes: this.#limits.maxCacheBytes });
    const route = makeClassifier({
      search,
      laptopSuffixes,
      clusterSuffixes,
      isClusterAddress: (address) => inClusterRange(address) || this.originOf(address) === 'cluster',
    });
    this.#horizon = new SplitHorizon({ ...options, route, deadlineMs: this.#limits.upstreamDeadlineMs });
  }

  async answer(message: Buffer, via: 'udp' | 'tcp'): Promise<Buffer> {
    const question = readQuestion(message);
    if (question === 'nothing') return NOTHING;
    if (question === 'malformed') return unreadableReply(message, RCODE.FORMERR);
    if (question === 'unsupported') return unreadableReply(message, RCODE.NOTIMP);
    if (question.edns !== undefined && question.edns.version > 0) return badVersionReply(question);
    if (question.class !== CLASS.IN && question.class !== CLASS.ANY) return emptyReply(question, RCODE.NOTIMP);
    // A zone is many messages, and nobody's business.
    if (question.type === TYPE.AXFR || question.type === TYPE.IXFR) return emptyReply(question, RCODE.REFUSED);
    const cached = this.#cached(question);
    const { reply, ageSeconds } = cached ?? { reply: (await this.#find(question)).reply, ageSeconds: 0 };
    const bytes = replyFor(question, reply, ageSeconds);
    return via === 'udp' ? fitUdp(question, reply, bytes) : bytes;
  }

  /**
   * @param name an address literal is its own answer; one that is no name does not exist
   * @throws DialError ETIMEDOUT when nobody said yes and somebody who should know did not answer
   */
  async lookup(name: string, family: 0 | 4 | 6): Promise<readonly LookedUp[]> {
    const literal = isIP(name);
    if (literal !== 0) {
      const address = canonicalAddress(name);
      const own = isIP(address) === 6 ? 6 : 4;
      return family === 0 || family === own
        ? [{ address, family: own, origin: this.originOf(address) ?? 'cluster' }]
        : [];
    }
    const ascii = /^[\x21-\x7e]*$/.test(name) ? name : domainToASCII(name);
    const candidates = searchCandidates(ascii, this.search, this.ndots);
    const asked: Promise<readonly LookedUp[] | 'failed'>[] = [];
    let turn: LaptopTurn | undefined;
    for (const candidate of candidates) {
      const asking = this.#addresses(candidate, family, turn); // all at once: one round trip
      asked.push(asking);
      turn = nextTurn(turn, asking, `${family} ${ascii}`);
    }
    let failed = false;
    for (const pending of asked) {
      const found = await pending;
      if (found === 'failed') failed = true;
      else if (found.length > 0) return found;
    }
    if (failed) throw new DialError('ETIMEDOUT', `no DNS server answered for ${name}`);
    return [];
  }

  originOf(address: string): Origin | undefined {
    return this.#origins.originOf(address, performance.now());
  }

  /** Questions that wait get SERVFAIL, and all later ones. */
  close(): void {
    this.#closed = true;
    this.#horizon.close();
    this.#cache.clear();
  }

  stats(): {
    readonly cached: number;
    readonly cachedBytes: number;
    readonly inFlight: number;
    readonly learned: number;
  } {
    const { size: cached, bytes: cachedBytes } = this.#cache;
    return { cached, cachedBytes, inFlight: this.#inFlight.size, learned: this.#origins.size };
  }

  /** Both families of one name, asked as it is. Never rejects. */
  async #addresses(name: string, family: 0 | 4 | 6, turn?: LaptopTurn): Promise<readonly LookedUp[] | 'failed'> {
    const types = family === 4 ? (['A'] as const) : family === 6 ? (['AAAA'] as const) : (['A', 'AAAA'] as const);
    const found = await Promise.all(
      types.map(async (type) => {
        const question = readQuestion(makeQuestion(name, type));
        if (typeof question === 'string') return undefined;
        return this.#cached(question) ?? (await this.#find(question, turn));
      }),
    );
    const all = found.flatMap((one) =>
      one === undefined ? [] : one.addresses.map((address) => ({ ...address, origin: one.origin })),
    );
    const failed = found.some((one) => one !== undefined && isFailure(one.reply));
    return all.length === 0 && failed ? 'failed' : all;
  }

  #cached(question: Question): (Found & { readonly ageSeconds: number }) | undefined {
    const hit = this.#cache.get(questionKey(question), performance.now());
    if (hit === undefined) return undefined;
    if (hit.ageSeconds >= RELEARN_SECONDS) this.#learn(hit.value);
    return { ...hit.value, ageSeconds: hit.ageSeconds };
  }

  /** Asks, or joins those who wait for the same. Never rejects. */
  async #find(question: Question, turn?: LaptopTurn): Promise<Found> {
    const key = questionKey(question);
    const flight = turn === undefined ? key : `${turn.key} ${key}`;
    const known = this.#inFlight.get(flight);
    if (known !== undefined) return await known;
    if (this.#closed || this.#inFlight.size >= this.#limits.maxInFlight) return made(question, RCODE.SERVFAIL);
    const finding = this.#horizon.resolve(question, turn).then((found) => {
      this.#inFlight.delete(flight);
      if (found.keep && !this.#closed) this.#cache.set(key, found, performance.now());
      this.#learn(found);
      return found;
    });
    this.#inFlight.set(flight, finding);
    return await finding;
  }

  #learn({ addresses, origin, reply, chosen }: Found): void {
    if (addresses.length === 0 || !hasAnswers(reply)) return;
    const [seconds, nowMs] = [keepSeconds(reply), performance.now()];
    for (const { address } of addresses) this.#origins.learn(canonicalAddress(address), origin, seconds, nowMs, chosen);
  }
}
