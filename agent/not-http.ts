import type { Log } from '../src/log.ts';
import type { LaptopCarrier } from './laptop-way.ts';
import type { PortTable } from './port-table.ts';
import type { Session } from './session.ts';

/** Tells sessions once for each port that their filters see nothing of what callers send. */
export class NotHttp {
  readonly #told = new WeakMap<Session<LaptopCarrier>, Set<number>>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** A caller of a port that has filters spoke TLS or no HTTP. */
  seen(table: PortTable<LaptopCarrier>, speaks: 'tls' | 'other'): void {
    for (const { session, filter, intercept } of table.claims) {
      const { appPort } = intercept;
      if (filter === undefined || session.carrier === undefined) continue;
      const ports = this.#told.get(session) ?? new Set();
      if (ports.has(appPort)) continue;
      this.#told.set(session, ports.add(appPort));
      this.#log.info('callers speak no HTTP that can be read', { appPort, speaks });
      session.carrier.sendControl({ type: 'event', event: 'not-http', appPort, speaks });
    }
  }
}
