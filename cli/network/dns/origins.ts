import { canonicalAddress } from '../../../src/dns/addresses.ts';

export type Origin = 'cluster' | 'laptop';

/** Programs keep an address for long after its TTL: connection pools, JVMs (30 s or for ever), a name resolved at start. */
const KEPT_AT_LEAST_MS = 10 * 60_000;
export const MAX_LEARNED_ADDRESSES = 20_000;
const NOT_ANYBODYS = /^(?:127\.|0\.0\.0\.0$|::1$|::$)/;

/** Who told an address, while somebody may still be using it. */
export class LearnedOrigins {
  readonly #learned = new Map<string, { origin: Origin; untilMs: number; chosen: boolean }>();
  readonly #maxAddresses: number;

  constructor(maxAddresses = MAX_LEARNED_ADDRESSES) {
    this.#maxAddresses = maxAddresses;
  }

  get size(): number {
    return this.#learned.size;
  }

  /**
   * An address that both know is the cluster's: what the pod can name it can most likely reach, and everything goes to the
   * pod unless only the laptop knows it.
   * @param address canonical
   * @param chosen the user's words say so (`--local-host`): it stands, whoever else knows the address
   */
  learn(address: string, origin: Origin, ttlSeconds: number, nowMs: number, chosen = false): void {
    if (NOT_ANYBODYS.test(address)) return;
    const known = this.#learned.get(address);
    const fresh = known !== undefined && known.untilMs > nowMs ? known : undefined;
    const stands = !chosen && (fresh?.chosen === true || fresh?.origin === 'cluster');
    const kept = stands && fresh !== undefined ? fresh : { origin, chosen };
    const untilMs = nowMs + Math.max(ttlSeconds * 1000, KEPT_AT_LEAST_MS);
    this.#learned.delete(address);
    this.#learned.set(address, { ...kept, untilMs: Math.max(untilMs, known?.untilMs ?? 0) });
    if (this.#learned.size <= this.#maxAddresses) return;
    for (const oldest of this.#learned.keys()) {
      this.#learned.delete(oldest);
      return;
    }
  }

  /** @param address any spelling. Asking is use: it is kept for longer */
  originOf(address: string, nowMs: number): Origin | undefined {
    const key = canonicalAddress(address);
    const known = this.#learned.get(key);
    if (known === undefined) return undefined;
    this.#learned.delete(key);
    if (known.untilMs <= nowMs) return undefined;
    this.#learned.set(key, { ...known, untilMs: Math.max(known.untilMs, nowMs + KEPT_AT_LEAST_MS) });
    return known.origin;
  }
}
