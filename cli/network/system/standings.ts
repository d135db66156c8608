import { errorText } from '../../../src/errors.ts';
import type { Log } from '../../../src/log.ts';
import type { Egress } from '../types.ts';
import type { Journal } from './journal.ts';
import { Listeners, MAX_LISTENERS, type WantedPort } from './listeners.ts';
import { Literals } from './literals.ts';
import { planLiterals } from './plan-linux.ts';
import { planAlias } from './plan-macos.ts';
import type { Placed, ServiceTable } from './service-table.ts';

/** A rollout changes many objects at once; one pass serves them all. */
const GATHER_MS = 50;

export interface StandingsOptions {
  readonly table: ServiceTable;
  readonly egress: Egress;
  readonly journal: Journal;
  readonly log: Log;
  readonly warn: (message: string) => void;
  readonly never: ReadonlySet<string>;
  /** The set of namespaces is another. */
  readonly onNamespaces: () => void;
}

/** Sees to it that what the table holds can be dialled: addresses and listeners. */
export class Standings {
  readonly #options: StandingsOptions;
  readonly #listeners: Listeners;
  readonly #literals: Literals | undefined;
  readonly #aliases = new Set<string>();
  #turn: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #namespaces = '';
  #literalsPlanned = false;
  #toldTooMany = false;
  #stopped = false;

  constructor(options: StandingsOptions) {
    this.#options = options;
    const { egress, log, never } = options;
    this.#listeners = new Listeners({ egress, log, onUnavailable: (wanted, code) => this.#unavailable(wanted, code) });
    const onCovered = (address: string, device: string): void =>
      options.warn(
        `${address} of the cluster is also an address of this laptop's networks (${device}): such addresses lead there, not to the cluster; names work`,
      );
    if (process.platform === 'linux') this.#literals = new Literals({ log, never, onCovered });
  }

  /** The table has changed; soon all stands as it says. */
  changed(): void {
    if (this.#stopped) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.settle().catch((error: unknown) => {
        this.#options.log.warn('Services not followed', { reason: errorText(error) });
      });
    }, GATHER_MS);
  }

  /** @returns when what the table holds now can be dialled */
  settle(): Promise<void> {
    const done = this.#turn.then(() => this.#settle());
    this.#turn = done.catch(() => {}); // the caller is told
    return done;
  }

  async #settle(): Promise<void> {
    if (this.#stopped) return;
    const { table } = this.#options;
    table.settle();
    const placed = table.all();
    await this.#setAliases(new Set(placed.map(({ address }) => address)));
    const literals = await this.#setLiterals(new Set(placed.map(({ host }) => host)));
    const wanted = placed.flatMap((one) => [
      ...wantedPorts(one, one.address),
      ...(literals.has(one.host) ? wantedPorts(one, one.host) : []),
    ]);
    if ((table.dropped > 0 || wanted.length > MAX_LISTENERS) && !this.#toldTooMany) {
      this.#toldTooMany = true;
      this.#options.warn('the cluster has more Services than this laptop can hold: some are not reachable');
    }
    await this.#listeners.set(wanted);
    const namespaces = table.namespaces().join(' ');
    if (namespaces !== this.#namespaces) this.#options.onNamespaces();
    this.#namespaces = namespaces;
  }

  async #setLiterals(hosts: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    if (this.#literals === undefined) return new Set();
    if (!this.#literalsPlanned) await this.#options.journal.make(planLiterals());
    this.#literalsPlanned = true;
    return await this.#literals.set(hosts);
  }

  /** macOS: an address of 127/8 is one only as an alias of lo0. */
  async #setAliases(addresses: ReadonlySet<string>): Promise<void> {
    if (process.platform !== 'darwin') return;
    const { journal } = this.#options;
    for (const address of addresses) {
      if (this.#aliases.has(address)) continue;
      await journal.make(planAlias(address));
      this.#aliases.add(address);
    }
    for (const address of this.#aliases) {
      if (addresses.has(address)) continue;
      await journal.takeBack(planAlias(address).what);
      this.#aliases.delete(address);
    }
  }

  #unavailable({ service, port, protocol, address }: WantedPort, code: string): void {
    const reason = code === 'EADDRINUSE' ? 'another program on this laptop holds it' : code;
    this.#options.warn(
      `${service} is not reachable on ${protocol === 'udp' ? 'UDP ' : ''}port ${port} (${address}): ${reason}`,
    );
  }

  /** No more changes; what stands goes on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#turn;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#listeners.close();
  }
}

function wantedPorts({ ports, host, service }: Placed, address: string): WantedPort[] {
  return ports.map(({ protocol, port }) => ({ protocol, address, port, host, service }));
}
