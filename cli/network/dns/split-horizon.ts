import { answeredAddresses } from '../../../src/dns/answers.ts';
import { keepSeconds } from '../../../src/dns/cache.ts';
import type { NameRoute } from '../../../src/dns/classify.ts';
import { forwardedQuestion, makeQuestion, syntheticReply } from '../../../src/dns/make.ts';
import {
  answers,
  type Question,
  questionName,
  RCODE,
  readQuestion,
  readReply,
  TYPE,
} from '../../../src/dns/message.ts';
import { isUnder, withoutLastDot } from '../../../src/dns/names.ts';
import { errorText } from '../../../src/errors.ts';
import type { Log } from '../../../src/log.ts';
import { type Found, fromBytes, isFailure, loopback, made } from './found.ts';
import type { LaptopTurn } from './laptop-turn.ts';
import type { Origin } from './origins.ts';
import type { Upstream } from './upstream.ts';

export interface SplitHorizonOptions {
  readonly cluster: Upstream;
  readonly laptop: Upstream;
  /** Who is asked about a name. */
  readonly route: (name: string) => NameRoute;
  /** `--dns-cluster`. */
  readonly clusterSuffixes: readonly string[];
  /**
   * What a name that is to leave from the laptop in any case (`--local-host`) is called there; none for all others. The
   * laptop is asked first, and whoever answers, the addresses are the laptop's.
   */
  readonly laptopNames?: (name: string) => readonly string[];
  /** One upstream has this long to answer one question. */
  readonly deadlineMs: number;
  readonly log: Log;
}

/** Split-horizon DNS: the cluster and the laptop may know a name differently. Asks the one or both, and says whose answer it is. */
export class SplitHorizon {
  readonly #options: SplitHorizonOptions;
  readonly #asking = new Set<AbortController>();

  constructor(options: SplitHorizonOptions) {
    this.#options = options;
  }

  /** Questions under way are told that there is no answer. */
  close(): void {
    for (const asking of [...this.#asking]) asking.abort(new Error('the resolver is closed'));
  }

  /**
   * Never rejects: without any answer SERVFAIL.
   * @param turn about a candidate of a search list; undefined: the laptop may be asked at once
   */
  async resolve(question: Question, turn?: LaptopTurn): Promise<Found> {
    const name = questionName(question);
    const route = this.#options.route(name);
    const laptopNames = this.#options.laptopNames?.(name) ?? [];
    switch (route) {
      case 'loopback':
        return loopback(question);
      case 'laptop':
        if (turn !== undefined && !(await turn.comes)) return made(question, RCODE.NXDOMAIN);
        return (await this.#ask('laptop', question)) ?? made(question, RCODE.SERVFAIL);
      case 'cluster':
        if (laptopNames.length > 0) return await this.#forLaptop(question, laptopNames);
        return (await this.#ask('cluster', question)) ?? made(question, RCODE.SERVFAIL);
      case 'cluster-first':
        if (laptopNames.length > 0) return await this.#forLaptop(question, laptopNames);
        return await this.#byBoth(question, turn);
      default:
        return route satisfies never;
    }
  }

  async #byBoth(question: Question, turn: LaptopTurn | undefined): Promise<Found> {
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
  async #forLaptop(question: Question, names: readonly string[]): Promise<Found> {
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
    const deadline = setTimeout(() => abort.abort(new Error('no answer in time')), this.#options.deadlineMs);
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
}
