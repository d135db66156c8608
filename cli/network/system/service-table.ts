import type { Service } from '../../kube/objects.ts';
import { AddressBook } from './addresses.ts';
import { type Endpoints, isHeadless, objectKey, type Standing, standingsOf } from './standing.ts';

/** A standing with its loopback address. */
export interface Placed extends Standing {
  readonly address: string;
}

/** Services that a lookup has found in namespaces we may not list; the oldest go first. */
const MAX_LEARNED = 512;

/** What stands on this laptop for the cluster, by name and by address. */
export class ServiceTable {
  readonly #services = new Map<string, Service>();
  readonly #endpoints = new Map<string, Endpoints>();
  readonly #learned = new Map<string, readonly Standing[]>();
  readonly #book: AddressBook;
  #placed = new Map<string, Placed[]>();
  #loopbackOf = new Map<string, string>();
  #byAddress = new Map<string, Placed>();
  #dropped = 0;

  constructor(book: AddressBook = new AddressBook()) {
    this.#book = book;
  }

  setService(service: Service): void {
    this.#services.set(objectKey(service), service);
  }

  removeService(service: Service): void {
    this.#services.delete(objectKey(service));
  }

  setEndpoints(endpoints: Endpoints): void {
    this.#endpoints.set(objectKey(endpoints), endpoints);
  }

  removeEndpoints(endpoints: Endpoints): void {
    this.#endpoints.delete(objectKey(endpoints));
  }

  /** @param standings of one Service that no watch tells of */
  learn(service: string, standings: readonly Standing[]): void {
    this.#learned.delete(service);
    this.#learned.set(service, standings);
    for (const oldest of this.#learned.keys()) {
      if (this.#learned.size <= MAX_LEARNED) break;
      this.#learned.delete(oldest);
    }
  }

  /** Gives addresses to what is new and takes them from what is gone; lookups see it from then on. */
  settle(): void {
    const wanted = new Map<string, readonly Standing[]>(this.#learned);
    for (const [key, service] of this.#services) wanted.set(key, standingsOf(service, this.#endpoints.get(key)));
    const keys = new Set([...wanted.values()].flat().map(({ key }) => key));
    for (const { key } of this.all()) if (!keys.has(key)) this.#book.release(key);
    this.#placed = new Map();
    this.#loopbackOf = new Map();
    this.#byAddress = new Map();
    this.#dropped = 0;
    for (const [service, standings] of wanted) this.#placed.set(service, this.#place(standings));
  }

  #place(standings: readonly Standing[]): Placed[] {
    const placed: Placed[] = [];
    for (const standing of standings) {
      const address = this.#book.take(standing.key);
      if (address === undefined) {
        this.#dropped += 1;
        continue;
      }
      const one = { ...standing, address };
      placed.push(one);
      this.#byAddress.set(address, one);
      this.#loopbackOf.set(standing.host, address);
    }
    return placed;
  }

  all(): Placed[] {
    return [...this.#placed.values()].flat();
  }

  /** Standings there was no address for. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @returns undefined for a Service we do not know, or that has no address (ExternalName) */
  find(
    namespace: string,
    name: string,
  ): { readonly headless: boolean; readonly standings: readonly Placed[] } | undefined {
    const key = `${namespace}/${name}`;
    const placed = this.#placed.get(key);
    if (placed === undefined) return undefined;
    const service = this.#services.get(key);
    const headless = service === undefined ? placed.some(({ pod }) => pod !== undefined) : isHeadless(service);
    if (!headless && placed.length === 0) return undefined;
    return { headless, standings: placed };
  }

  /** The loopback address that stands for an address in the cluster. */
  loopbackOf(clusterAddress: string): string | undefined {
    return this.#loopbackOf.get(clusterAddress);
  }

  /** What stands at a loopback address. */
  at(address: string): Placed | undefined {
    return this.#byAddress.get(address);
  }

  /** Namespaces something stands for. */
  namespaces(): string[] {
    return [...new Set([...this.#placed.keys()].map((key) => key.slice(0, key.indexOf('/'))))].sort();
  }

  get services(): number {
    return this.#placed.size;
  }
}
