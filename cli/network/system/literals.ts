import { isIP } from 'node:net';
import { errorText } from '../../../src/errors.ts';
import type { Log } from '../../../src/log.ts';
import { run } from './perform.ts';
import { coveringRoute, literalCommands, readRoutes } from './routes.ts';

export interface LiteralsOptions {
  readonly log: Log;
  /** Addresses the session itself must reach from the laptop: the API server's. */
  readonly never: ReadonlySet<string>;
  /** Once. */
  readonly onCovered: (address: string, device: string) => void;
}

/** Addresses of the cluster that are the laptop's own meanwhile (Linux): a route each in the table `local`, to lo. */
export class Literals {
  readonly #options: LiteralsOptions;
  #present = new Set<string>();
  #told = false;

  constructor(options: LiteralsOptions) {
    this.#options = options;
  }

  /**
   * Makes exactly these addresses local, but those another route of the laptop leads to: a VPN or a container network.
   * @returns the addresses one may listen on
   */
  async set(addresses: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    const wanted = new Set<string>();
    try {
      const routes = [
        ...readRoutes(await run(['ip', '-4', '-json', 'route', 'show', 'table', 'all'])),
        ...readRoutes(await run(['ip', '-6', '-json', 'route', 'show', 'table', 'all'])),
      ];
      for (const address of addresses) {
        if (isIP(address) === 0 || this.#options.never.has(address)) continue;
        const covering = coveringRoute(address, routes);
        if (covering === undefined) wanted.add(address);
        else this.#tell(address, covering.device);
      }
      const added = [...wanted].filter((address) => !this.#present.has(address));
      const gone = [...this.#present].filter((address) => !wanted.has(address));
      if (added.length > 0) await run(['ip', '-batch', '-'], literalCommands('replace', added));
      this.#present = new Set([...this.#present, ...added]);
      if (gone.length > 0) await run(['ip', '-force', '-batch', '-'], literalCommands('del', gone));
      this.#present = wanted;
    } catch (error) {
      this.#options.log.warn('addresses of the cluster are not reachable as such', { reason: errorText(error) });
    }
    return this.#present;
  }

  #tell(address: string, device: string): void {
    if (this.#told) return;
    this.#told = true;
    this.#options.onCovered(address, device);
  }
}
