import type { Socket } from 'node:net';
import { routeHttp, type TlsEnding } from '../src/http/detect.ts';
import { Copies } from '../src/http/h1/copies.ts';
import { Meter, sideBytes } from '../src/http/meter.ts';
import type { Resettable } from '../src/http/routing.ts';
import type { Log } from '../src/log.ts';
import { closeAfterFailedReset } from '../src/net/failed-reset.ts';
import { splice } from '../src/net/splice.ts';
import { CallerRoutes, type CallerRoutesOptions } from './http-routes.ts';
import { activeMirrors } from './mirror.ts';
import { awaitProof } from './proof-peek.ts';
import { reset } from './sides.ts';

export interface HttpCallerOptions extends CallerRoutesOptions {
  readonly tls: TlsEnding | undefined;
  /** Callers speak what nobody can look into. */
  readonly onNotHttp: (speaks: 'tls' | 'other') => void;
  readonly log: Log;
}

/** One caller of a port on which somebody has a filter: each of its requests is routed on its own. */
export class HttpCaller {
  readonly #caller: Socket;
  readonly #options: HttpCallerOptions;
  readonly #draining = new AbortController();
  readonly #reset = new AbortController();
  readonly #meter = new Meter();

  /** @param onDone everything of this caller is closed */
  constructor(caller: Socket, options: HttpCallerOptions, onDone: (self: HttpCaller) => void) {
    this.#caller = caller;
    this.#options = options;
    closeAfterFailedReset(caller);
    void this.#run()
      .catch((failure: unknown) => {
        options.log.error('caller of a filtered port failed', { reason: String(failure) });
        reset(caller);
      })
      .finally(() => onDone(this));
  }

  /** What waits here for somebody to take it, in bytes. */
  get heldBytes(): number {
    return this.#meter.bytes;
  }

  reset(): void {
    this.#reset.abort(new Error('the agent ends'));
    reset(this.#caller);
  }

  /** Finishes what is open and takes nothing new. */
  drain(): void {
    this.#draining.abort();
  }

  /** Its requests are single ones already. */
  endBetweenRequests(): void {}

  async #run(): Promise<void> {
    const caller = this.#caller;
    const { proofGate, tls, onNotHttp } = this.#options;
    if (proofGate !== undefined && !(await awaitProof(caller, proofGate))) return;
    const routes = new CallerRoutes(this.#options);
    let passed: Promise<void> | undefined;
    await routeHttp(caller, routes, {
      app: routes.unfiltered,
      ...(tls === undefined ? {} : { tls, alpnOf: routes.alpnOf }),
      draining: this.#draining.signal,
      meter: this.#meter,
      passOn: (from, first, speaks, dialApp) => {
        // Who comes and goes without a byte (a probe of the port) speaks nothing.
        if (first.byteLength > 0 || !from.readableEnded) onNotHttp(speaks);
        passed = this.#passOn(from, first, dialApp);
      },
    });
    await passed;
    if (!caller.closed && !caller.destroyed)
      await new Promise<void>((resolve) => caller.once('close', () => resolve()));
  }

  /** Joins a caller with the app, bytes for bytes. */
  async #passOn(
    caller: Resettable,
    first: Buffer,
    dialApp: (signal: AbortSignal) => Promise<Resettable>,
  ): Promise<void> {
    const { table, callerHost, log } = this.#options;
    const { signal } = this.#reset;
    const gone = new AbortController();
    const leave = (): void => gone.abort(new Error('the caller is gone'));
    caller.on('close', leave);
    signal.addEventListener('abort', leave);
    let app: Resettable;
    try {
      app = await dialApp(gone.signal);
    } catch {
      caller.resetAndDestroy();
      return;
    } finally {
      caller.off('close', leave);
      signal.removeEventListener('abort', leave);
    }
    closeAfterFailedReset(app);
    this.#meter.add(() => sideBytes(caller) + sideBytes(app));
    const copies = new Copies(activeMirrors(table().wholeMirrors, callerHost, log));
    copies.write(first);
    app.write(first);
    const hadEnded = caller.readableEnded;
    const over = splice(caller, app, signal);
    // Both were paused by hand, which a listener does not undo.
    caller.resume();
    app.resume();
    caller.on('data', (chunk: Buffer) => copies.write(chunk));
    caller.on('end', () => copies.end());
    if (hadEnded) {
      copies.end();
      app.end();
    }
    await over.catch(() => {}); // who failed has reset the other
    if (!caller.readableEnded) copies.cut();
  }
}
