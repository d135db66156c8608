import type { Socket } from 'node:net';
import type { TlsLack } from '../src/http/routing.ts';
import type { Log } from '../src/log.ts';
import type { AppPort } from '../src/protocol/control.ts';
import { APP_IS_REPLACED, AppWay } from './app-way.ts';
import type { Claim } from './claim.ts';
import type { Claims } from './claims.ts';
import { Connection } from './connection.ts';
import type { ConnectionRoute } from './connection-route.ts';
import { isDescriptorReserved } from './descriptors.ts';
import { EarlyCallers } from './early-callers.ts';
import { held } from './held-bytes.ts';
import { HttpCaller } from './http-caller.ts';
import { AppAnswerer } from './http-routes.ts';
import { type LaptopCarrier, maxWaitMs, openStream, refuses, whyNoAnswer } from './laptop-way.ts';
import { DRAIN_LATE_MS, MAX_CONNECTIONS } from './limits.ts';
import { activeMirrors } from './mirror.ts';
import { NotHttp } from './not-http.ts';
import type { ArmedProofs } from './proof.ts';
import { callerHost, reset } from './sides.ts';
import { TlsLacks } from './tls-lacks.ts';

export interface RouterOptions {
  /** Where the app listens. */
  readonly podIp: string;
  /** `replaced`: there is none. */
  readonly app: 'present' | 'replaced';
  readonly claims: Claims<LaptopCarrier>;
  readonly proofs: ArmedProofs;
  /** The pod may get traffic. */
  readonly ready: Promise<void>;
  readonly log: Log;
  readonly maxConnections?: number;
}

/** What is under way for one caller. */
type Caller = Connection | HttpCaller;

/** Gives each caller of a route port, or each of its requests, to a laptop or to the app, and knows all that is under way. */
export class Router {
  readonly #callers = new Map<Caller, number>();
  readonly #options: RouterOptions;
  readonly #appWay: AppWay;
  readonly #apps = new Map<number, AppAnswerer>();
  readonly #maxConnections: number;
  readonly #notHttp: NotHttp;
  readonly #tlsLacks: TlsLacks;
  readonly #early: EarlyCallers;
  #limitLogged = false;
  #draining = false;
  #onIdle: (() => void) | undefined;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#appWay = new AppWay(options.podIp, options.log);
    this.#maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
    this.#notHttp = new NotHttp(options.log);
    this.#tlsLacks = new TlsLacks(options.log);
    this.#early = new EarlyCallers(options.ready);
    options.claims.onHttp = (port) => this.#endBetweenRequests(port.appPort);
  }

  get openConnections(): number {
    return this.#callers.size + this.#early.count;
  }

  /** Takes over a caller of `appPort`. One that is one too many is reset. */
  accept(caller: Socket, appPort: number): void {
    if (this.openConnections >= this.#maxConnections || held.isFull || isDescriptorReserved(caller)) {
      if (!this.#limitLogged) this.#options.log.warn('too many connections, new ones are reset', { appPort });
      this.#limitLogged = true;
      reset(caller.on('error', () => {})); // ECONNRESET of a caller that was faster
      return;
    }
    if (!this.#early.keep(caller, () => this.#admit(caller, appPort))) this.#admit(caller, appPort);
  }

  #admit(caller: Socket, appPort: number): void {
    const made = this.#table(appPort).isHttp ? this.#httpCaller(caller, appPort) : this.#connection(caller, appPort);
    this.#callers.set(made, appPort);
    held.add(made);
    if (this.#draining && made instanceof HttpCaller) setTimeout(() => made.drain(), DRAIN_LATE_MS).unref();
  }

  /** The pod is being stopped: connections that are kept for a next request are closed, others when theirs is answered. */
  drain(): void {
    this.#draining = true;
    for (const caller of this.#callers.keys()) if (caller instanceof HttpCaller) caller.drain();
  }

  /** Resets all connections and waits until they are closed. */
  async close(): Promise<void> {
    this.#early.close();
    if (this.#callers.size === 0) return;
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    for (const caller of this.#callers.keys()) caller.reset();
    await idle;
  }

  #table(appPort: number) {
    const port: AppPort = { appPort, protocol: 'tcp' };
    return this.#options.claims.table(port);
  }

  /** One for each port, for all callers. */
  #appAt(appPort: number): AppAnswerer {
    const known = this.#apps.get(appPort);
    if (known !== undefined) return known;
    const app = new AppAnswerer(appPort, this.#options.app === 'replaced' ? undefined : this.#appWay);
    this.#apps.set(appPort, app);
    return app;
  }

  #httpCaller(caller: Socket, appPort: number): HttpCaller {
    const { proofs, log } = this.#options;
    const options = {
      appPort,
      callerHost: callerHost(caller),
      table: () => this.#table(appPort),
      app: this.#appAt(appPort),
      proofGate: proofs.gate(appPort),
      tls: this.#table(appPort).tls,
      onTlsLacks: (claim: Claim<LaptopCarrier>, lacks: TlsLack) => this.#tlsLacks.seen(claim, lacks),
      onNotHttp: (speaks: 'tls' | 'other') => this.#notHttp.seen(this.#table(appPort), speaks),
      log,
    };
    return new HttpCaller(caller, options, (self) => this.#done(self));
  }

  #connection(caller: Socket, appPort: number): Connection {
    const { proofs, log, app } = this.#options;
    const whole = () => this.#table(appPort).whole;
    let claim = whole();
    const route: ConnectionRoute<Connection> = {
      proofGate: proofs.gate(appPort),
      reach: () => {
        const holder = whole();
        return holder === undefined || holder.to === 'app' ? undefined : holder.session.reach;
      },
      openLaptop: (host) => {
        claim = whole();
        return claim === undefined ? undefined : openStream(claim, host, log);
      },
      maxWaitMs: (sinceMs) => (claim === undefined ? 0 : maxWaitMs(claim, sinceMs)),
      onTaken: () => claim?.began() ?? (() => {}),
      refusal: () => {
        if (claim !== undefined && refuses(claim)) return whyNoAnswer(claim);
        return app === 'replaced' ? APP_IS_REPLACED : undefined;
      },
      dialApp: () => this.#appWay.dial(appPort),
      mirrors: (host) => activeMirrors(this.#table(appPort).wholeMirrors, host, log),
      onFallBack: () => log.debug('the laptop did not take a connection', { appPort }),
      onDone: (self) => this.#done(self),
    };
    return new Connection(caller, route);
  }

  #done(caller: Caller): void {
    this.#callers.delete(caller);
    held.delete(caller);
    if (this.#callers.size < this.#maxConnections / 2) this.#limitLogged = false;
    if (this.#callers.size === 0) this.#onIdle?.();
  }

  /** Connections that were passed on as bytes are ended where it does no harm, so that what comes next is routed by request. */
  #endBetweenRequests(appPort: number): void {
    for (const [caller, port] of this.#callers) if (port === appPort) caller.endBetweenRequests();
  }
}
