import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { canonicalAddress } from '../../../src/dns/addresses.ts';
import { type AnsweredAddress, answeredAddresses, hasAnswers } from '../../../src/dns/answers.ts';
import { CACHE_LIMITS, keepSeconds, ReplyCache } from '../../../src/dns/cache.ts';
import { makeClassifier, type NameRoute } from '../../../src/dns/classify.ts';
import { fitUdp, replyFor } from '../../../src/dns/fit.ts';
import {
  badVersionReply,
  emptyReply,
  forwardedQuestion,
  makeQuestion,
  syntheticReply,
  unreadableReply,
} from '../../../src/dns/make.ts';
import {
  answers,
  CLASS,
  type Question,
  questionKey,
  questionName,
  RCODE,
  type Reply,
  readQuestion,
  readReply,
  TYPE,
} from '../../../src/dns/message.ts';
import { isUnder, searchCandidates, withoutLastDot } from '../../../src/dns/names.ts';
import { errorText } from '../../../src/errors.ts';
import type { Log } from '../../../src/log.ts';
import { DialError } from '../dial-error.ts';
import type { LookedUp, Resolver } from '../types.ts';
import { LearnedOrigins, type Origin } from './origins.ts';
import type { Upstream } from './upstream.ts';

export interface ResolverOptions {
  /** The pod's. */
  readonly search: readonly string[];
  readonly ndots: number;
  readonly cluster: Upstream;
  readonly laptop: Upstream;
  /** `--dns-local` and `--dns-cluster`. */
  readonly laptopSuffixes: readonly string[];
  readonly clusterSuffixes: readonly string[];
  /**
   * What a name that is to leave from the laptop in any case (`--local-host`) is called there; none for all others. The
   * laptop is asked first, and whoever answers, the addresses are the laptop's.
   */
  readonly laptopNames?: (name: string) => readonly string[];
  /** Whether an address is in one of the cluster's ranges. Not asked about learned ones. */
  readonly inClusterRange: (address: string) => boolean;
  readonly log: Log;
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

/** What was found out about a question; the reply is as its first asker would get it. */
interface Found {
  readonly reply: Reply;
  readonly origin: Origin;
  readonly addresses: readonly AnsweredAddress[];
  /** The user's words say where its addresses are dialled from. */
  readonly chosen?: boolean;
  /** False: told to those who wait for it, and asked anew by the next one. */
  readonly keep: boolean;
}

/** Names as the pod knows them, and the laptop's own (cli/network/types.ts): routes, cache, one question for equal ones. */
export class PodResolver implements Resolver {
  readonly search: readonly string[];
  readonly ndots: number;
  readonly #options: ResolverOptions;
  readonly #limits: ResolverLimits;
  readonly #route: (name: string) => NameRoute;
  readonly #cache: ReplyCache<Found>;
  readonly #inFlight = new Map<string, Promise<Found>>();
  readonly #origins = new LearnedOrigins();
  readonly #asking = new Set<AbortController>();
  #closed = false;

  constructor(options: ResolverOptions) {
    const { search, ndots, laptopSuffixes, clusterSuffixes, inClusterRange } = options;
    this.search = search;
    this.ndots = ndots;
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#cache = new ReplyCache({ maxEntries: this.#limits.maxCacheEntries, maxBytes: this.#limits.maxCacheBytes });
    this.#route = makeClassifier({
      search,
      laptopSuffixes,
      clusterSuffixes,
      isClusterAddress: (address) => inClusterRange(address) || this.originOf(address) === 'cluster',
    });
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
    for (const asking of [...this.#asking]) asking.abort(new Error('the resolver is closed'));
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
    const finding = this.#resolve(question, turn).then((found) => {
      this.#inFlight.delete(flight);
      if (found.keep && !this.#closed) this.#cache.set(key, found, performance.now());
      this.#learn(found);
      return found;
    });
    this.#inFlight.set(flight, finding);
    return await finding;
  }

  async #resolve(question: Question, turn: LaptopTurn | undefined): Promise<Found> {
    const name = questionName(question);
    const route = this.#route(name);
    const laptopNames = this.#options.laptopNames?.(name) ?? [];
    switch (route) {
      case 'loopback':
        return loopback(question);
      case 'laptop':
        if (turn !== undefined && !(await turn.comes)) return made(question, RCODE.NXDOMAIN);
        return (await this.#ask('laptop', question)) ?? made(question, RCODE.SERVFAIL);
      case 'cluster':
        if (laptopNames.length > 0) return await this.#resolveForLaptop(question, laptopNames);
        return (await this.#ask('cluster', question)) ?? made(question, RCODE.SERVFAIL);
      case 'cluster-first':
        if (laptopNames.length > 0) return await this.#resolveForLaptop(question, laptopNames);
        return await this.#resolveByBoth(question, turn);
      default:
        return route satisfies never;
    }
  }

  async #resolveByBoth(question: Question, turn: LaptopTurn | undefined): Promise<Found> {
    const cluster = await this.#ask('cluster', question);
    if (cluster?.reply.rcode === RCODE.NOERROR) return cluster;
    if (turn !== undefined && !(await turn.comes))
      return { ...(cluster ?? made(question, RCODE.SERVFAIL)), keep: false };
    const laptop = await this.#ask('laptop', question);
    const answered = laptop !== undefined && !isFailure(laptop.reply);
    if (answered && laptop.reply.rcode === RCODE.NOERROR) return laptop; // the name exists there
    if (cluster?.reply.rcode === RCODE.NXDOMAIN) return { ...cluster, keep: answered };
    // REFUSED: "not mine to answer". Without any answer of the cluster the laptop's "no" says nothing.
    if (cluster?.reply.rcode === RCODE.REFUSED && answered) return laptop;
    return cluster ?? made(question, RCODE.SERVFAIL);
  }

  /** The laptop by any of these names, else the cluster; connections leave from the laptop either way. */
  async #resolveForLaptop(question: Question, names: readonly string[]): Promise<Found> {
    const own = questionName(question);
    const isDelegated = this.#options.clusterSuffixes.some((suffix) => isUnder(own, suffix)); // --dns-cluster
    const replies = isDelegated ? [] : await Promise.all(names.map((name) => this.#askLaptopAs(question, name)));
    const known = replies.find((found) => found?.reply.rcode === RCODE.NOERROR);
    const found = known ?? (await this.#ask('cluster', question)) ?? made(question, RCODE.SERVFAIL);
    return { ...found, origin: 'laptop', chosen: true };
  }

  /** What the laptop says of another name, as the answer to this question; addresses only. */
  async #askLaptopAs(question: Question, name: string): Promise<Found | undefined> {
    if (name === withoutLastDot(questionName(question)).toLowerCase()) return await this.#ask('laptop', question);
    const type = question.type === TYPE.A ? 'A' : question.type === TYPE.AAAA ? 'AAAA' : undefined;
    const other = type === undefined ? 'nothing' : readQuestion(makeQuestion(name, type));
    const found = typeof other === 'string' ? undefined : await this.#ask('laptop', other);
    if (found === undefined || found.reply.rcode !== RCODE.NOERROR) return undefined;
    const values = found.addresses.map(({ address }) => address);
    const ttlSeconds = values.length === 0 ? 0 : keepSeconds(found.reply);
    return { ...fromBytes(syntheticReply(question, { rcode: RCODE.NOERROR, values, ttlSeconds })), keep: true };
  }

  /** @returns undefined when there is no answer, or none to this question */
  async #ask(origin: Origin, question: Question): Promise<Found | undefined> {
    const abort = new AbortController();
    const deadline = setTimeout(() => abort.abort(new Error('no answer in time')), this.#limits.upstreamDeadlineMs);
    this.#asking.add(abort);
    try {
      const reply = readReply(await this.#options[origin].ask(forwardedQuestion(question), abort.signal));
      if (reply === undefined || !answers(reply, question))
        throw new Error('the answer is broken or to another question');
      return { reply, origin, addresses: answeredAddresses(reply), keep: true };
    } catch (error) {
      this.#options.log.debug('no DNS answer', { from: origin, reason: errorText(error) });
      return undefined;
    } finally {
      clearTimeout(deadline);
      this.#asking.delete(abort);
    }
  }

  #learn({ addresses, origin, reply, chosen }: Found): void {
    if (addresses.length === 0 || !hasAnswers(reply)) return;
    const [seconds, nowMs] = [keepSeconds(reply), performance.now()];
    for (const { address } of addresses) this.#origins.learn(canonicalAddress(address), origin, seconds, nowMs, chosen);
  }
}

/**
 * The laptop's turn to be asked about a candidate of the search list: only where no candidate before it exists. Otherwise
 * its resolver would be told every name of the cluster, and hold up a thread of ours with each.
 */
interface LaptopTurn {
  /** The same for lookups that come to the same end, those of one name: for these, one question is enough. */
  readonly key: string;
  readonly comes: Promise<boolean>;
}

function nextTurn(
  before: LaptopTurn | undefined,
  asking: Promise<readonly LookedUp[] | 'failed'>,
  key: string,
): LaptopTurn {
  const comes = async (): Promise<boolean> => {
    if (before !== undefined && !(await before.comes)) return false;
    const found = await asking;
    return found === 'failed' || found.length === 0;
  };
  return { key, comes: comes() };
}

function isFailure({ rcode }: Reply): boolean {
  return rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN;
}

function made(question: Question, rcode: number): Found {
  return fromBytes(emptyReply(question, rcode));
}

function loopback(question: Question): Found {
  const values = question.type === TYPE.A ? ['127.0.0.1'] : question.type === TYPE.AAAA ? ['::1'] : [];
  return fromBytes(syntheticReply(question, { rcode: RCODE.NOERROR, values, ttlSeconds: RELEARN_SECONDS }));
}

function fromBytes(message: Buffer): Found {
  const reply = readReply(message);
  if (reply === undefined) throw new Error('made a reply that cannot be read'); // our bug
  return { reply, origin: 'laptop', addresses: answeredAddresses(reply), keep: false };
}
