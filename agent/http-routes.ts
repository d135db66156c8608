import {
  type Answerer,
  BY_FIELD,
  type Decision,
  type HttpRoutes,
  MAX_HOPS,
  type Refusal,
  type RequestHead,
  type Resettable,
  type TlsLack,
} from '../src/http/routing.ts';
import type { Log } from '../src/log.ts';
import { APP_IS_REPLACED, type AppWay } from './app-way.ts';
import type { Claim } from './claim.ts';
import { connectLaptop, type LaptopCarrier, refuses, whyNoAnswer } from './laptop-way.ts';
import { activeMirrors } from './mirror.ts';
import type { PortTable } from './port-table.ts';
import type { ProofGate } from './proof.ts';
import { userAtHost } from './session.ts';

export interface CallerRoutesOptions {
  readonly appPort: number;
  readonly callerHost: string;
  /** Who has the port now. */
  readonly table: () => PortTable<LaptopCarrier>;
  /** One object for all callers of the port: what the router learns of the app is kept with it. */
  readonly app: AppAnswerer;
  /** Set while a proof request is expected. */
  readonly proofGate: ProofGate | undefined;
  /** The process of a claim does not speak TLS, or not what a caller speaks in it. */
  readonly onTlsLacks: (claim: Claim<LaptopCarrier>, lacks: TlsLack) => void;
  readonly log: Log;
}

/** Who answers the requests of one caller, by the claims of the moment. */
export class CallerRoutes implements HttpRoutes {
  readonly #options: CallerRoutesOptions;

  constructor(options: CallerRoutesOptions) {
    this.#options = options;
  }

  /** Who gets what is no HTTP: who has the port apart from all filters. */
  get unfiltered(): Answerer {
    const { table, app } = this.#options;
    return new Unfiltered(app, () => this.#toLaptop(table().whole));
  }

  /** Whom callers must be able to speak TLS with: the app, or where it is replaced the process of the oldest claim. */
  get alpnOf(): Answerer {
    const { table, app } = this.#options;
    if (!app.isReplaced) return app;
    const claim = table().claims.find(({ intercept, carrier }) => !intercept.mirror && carrier !== undefined);
    if (claim === undefined) return app;
    const known = inPlaceOfApp.get(claim);
    if (known !== undefined) return known;
    const process = new LaptopAnswerer(claim, this.#options, () => app);
    inPlaceOfApp.set(claim, process);
    return process;
  }

  decide(head: RequestHead): Decision {
    const { table, callerHost, proofGate, log } = this.#options;
    const now = table();
    const mirrors = proofGate?.isProof(head.path) === true ? [] : activeMirrors(now.mirrors(head), callerHost, log);
    const claim = now.taker(head);
    if (claim === undefined) return { answerer: this.#withoutLaptop(undefined), mirrors };
    const laptop = this.#toLaptop(claim);
    if (laptop === undefined) return { answerer: this.#withoutLaptop(claim), mirrors };
    if (head.count(BY_FIELD) >= MAX_HOPS) return { answerer: loop(), mirrors: [] };
    return { answerer: laptop, mirrors };
  }

  #toLaptop(claim: Claim<LaptopCarrier> | undefined): LaptopAnswerer | undefined {
    if (claim?.carrierOrSoon === undefined) return undefined;
    return new LaptopAnswerer(claim, this.#options, () => this.#withoutLaptop(claim));
  }

  #withoutLaptop(claim: Claim<LaptopCarrier> | undefined): Answerer | Refusal {
    if (claim !== undefined && refuses(claim)) return { status: 503, reason: whyNoAnswer(claim) };
    const { app } = this.#options;
    return app.isReplaced ? { status: 503, reason: APP_IS_REPLACED } : app;
  }
}

/** One object for all callers: what is learned of it is kept with it. */
const inPlaceOfApp = new WeakMap<Claim<LaptopCarrier>, Answerer>();

class LaptopAnswerer implements Answerer {
  readonly requestFields: Answerer['requestFields'];
  readonly responseFields: Answerer['responseFields'];
  readonly #claim: Claim<LaptopCarrier>;
  readonly #options: CallerRoutesOptions;
  readonly #fallback: () => Answerer | Refusal;

  constructor(claim: Claim<LaptopCarrier>, options: CallerRoutesOptions, fallback: () => Answerer | Refusal) {
    const by = [BY_FIELD, fieldText(userAtHost(claim.session))] as const;
    this.requestFields = [by];
    this.responseFields = claim.intercept.mark ? [by] : [];
    this.#claim = claim;
    this.#options = options;
    this.#fallback = fallback;
  }

  /**
   * A kept connection of a laptop that is away may be away for long: who comes now is to wait for a new one, and not so long. Once
   * that is there, it is one like the others: under the other name it would be what who comes behind the next loss waits for.
   */
  get id(): string {
    const { sessionId } = this.#claim.session.identity;
    return this.#claim.carrier === undefined ? `${sessionId} soon` : sessionId;
  }

  get fallback(): Answerer | Refusal {
    return this.#fallback();
  }

  async connect(signal: AbortSignal): Promise<Resettable> {
    const { callerHost, log } = this.#options;
    return await connectLaptop(this.#claim, callerHost, signal, log);
  }

  lacks(what: TlsLack): void {
    this.#options.onTlsLacks(this.#claim, what);
  }

  began(): () => void {
    return this.#claim.began();
  }
}

/** The app at one of its ports. */
export class AppAnswerer implements Answerer {
  readonly id = 'app';
  readonly fallback = undefined;
  readonly requestFields = [];
  readonly responseFields = [];
  readonly #appPort: number;
  readonly #appWay: AppWay | undefined;

  /** @param appWay undefined: it is replaced */
  constructor(appPort: number, appWay: AppWay | undefined) {
    this.#appPort = appPort;
    this.#appWay = appWay;
  }

  get isReplaced(): boolean {
    return this.#appWay === undefined;
  }

  async connect(signal: AbortSignal): Promise<Resettable> {
    if (this.#appWay === undefined) throw new Error(APP_IS_REPLACED);
    return await this.#appWay.connect(this.#appPort, signal);
  }

  began(): () => void {
    return () => {};
  }
}

/** A connection as a whole: to the laptop that has the whole port, or to the app. */
class Unfiltered implements Answerer {
  readonly id = 'app';
  readonly fallback = undefined;
  readonly requestFields = [];
  readonly responseFields = [];
  readonly #app: Answerer;
  readonly #laptop: () => LaptopAnswerer | undefined;

  constructor(app: Answerer, laptop: () => LaptopAnswerer | undefined) {
    this.#app = app;
    this.#laptop = laptop;
  }

  async connect(signal: AbortSignal): Promise<Resettable> {
    const laptop = this.#laptop();
    if (laptop === undefined) return await this.#app.connect(signal);
    try {
      const stream = await laptop.connect(signal);
      stream.on('close', laptop.began());
      return stream;
    } catch (failure) {
      const { fallback } = laptop;
      if (signal.aborted || fallback !== this.#app) throw failure;
      return await this.#app.connect(signal);
    }
  }

  began(): () => void {
    return () => {};
  }
}

function loop(): Refusal {
  return { status: 508, reason: `the request has been through ${MAX_HOPS} intercepts: it goes round in a circle` };
}

/** User names may hold anything; a field value may not. */
function fieldText(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, '?');
}
