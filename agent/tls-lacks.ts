import type { TlsLack } from '../src/http/routing.ts';
import type { Log } from '../src/log.ts';
import type { Claim } from './claim.ts';
import type { LaptopCarrier } from './laptop-way.ts';
import type { Session } from './session.ts';

/** Tells sessions once for each port what their process does not speak in TLS, though callers of the app do. */
export class TlsLacks {
  readonly #told = new WeakMap<Session<LaptopCarrier>, Set<string>>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** The process of a claim was reached and lacks this. */
  seen({ session, intercept }: Claim<LaptopCarrier>, lacks: TlsLack): void {
    const { appPort } = intercept;
    const told = this.#told.get(session) ?? new Set();
    const key = `${appPort} ${lacks}`;
    if (told.has(key) || session.carrier === undefined) return;
    this.#told.set(session, told.add(key));
    this.#log.info('a process does not speak what its callers do', { appPort, lacks });
    session.carrier.sendControl({ type: 'event', event: 'tls-lacks', appPort, lacks });
  }
}
