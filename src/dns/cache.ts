import { ttlSeconds } from './fit.ts';
import { FLAG_TRUNCATED, RCODE, type Reply, TYPE } from './message.ts';

/** A "no" is kept no longer: the developer may be creating the Service just now. */
export const MAX_NEGATIVE_SECONDS = 30;
/** A "yes" is kept no longer than this, whatever its TTL says. */
export const MAX_POSITIVE_SECONDS = 3600;
/** Some 100 bytes a message, and as much for what is known about it. */
const ENTRY_OVERHEAD_BYTES = 512;
const RECORD_OVERHEAD_BYTES = 128;

export const CACHE_LIMITS = { maxEntries: 10_000, maxBytes: 8 * 1024 * 1024 } as const;

/**
 * How long a reply may be told again: the lowest TTL of its records; without answers what its SOA says (RFC 2308 §5).
 * 0: not at all (failures, "no" without a SOA, TTL 0, cut replies).
 */
export function keepSeconds(reply: Reply): number {
  const { message, rcode, records } = reply;
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return 0;
  if ((message.readUInt16BE(2) & FLAG_TRUNCATED) !== 0) return 0;
  const timed = records.filter(({ type }) => type !== TYPE.OPT);
  const lowest = Math.min(...timed.map(({ ttlAt }) => ttlSeconds(message, ttlAt)));
  if (rcode === RCODE.NOERROR && timed.some(({ section }) => section === 'answer')) {
    return Math.min(lowest, MAX_POSITIVE_SECONDS);
  }
  const soa = timed.find(({ section, type }) => section === 'authority' && type === TYPE.SOA);
  if (soa === undefined || soa.end - soa.dataAt < 4) return 0;
  return Math.min(lowest, message.readUInt32BE(soa.end - 4), MAX_NEGATIVE_SECONDS); // its last field is the minimum
}

interface Entry<Value> {
  readonly value: Value;
  readonly storedMs: number;
  readonly expiresMs: number;
  readonly bytes: number;
}

/** Replies by key, for as long as they may be told again; bounded, the least recently used go first. */
export class ReplyCache<Value extends { readonly reply: Reply }> {
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #limits: { readonly maxEntries: number; readonly maxBytes: number };
  #bytes = 0;

  constructor(limits: { readonly maxEntries: number; readonly maxBytes: number } = CACHE_LIMITS) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** An estimate of what the entries hold. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param nowMs of a clock that does not jump */
  get(key: string, nowMs: number): { readonly value: Value; readonly ageSeconds: number } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (entry.expiresMs <= nowMs) {
      this.#bytes -= entry.bytes;
      return undefined;
    }
    this.#entries.set(key, entry); // now the most recently used
    return { value: entry.value, ageSeconds: Math.floor((nowMs - entry.storedMs) / 1000) };
  }

  set(key: string, value: Value, nowMs: number): void {
    const seconds = keepSeconds(value.reply);
    if (seconds <= 0) return;
    this.#remove(key);
    const { message, records } = value.reply;
    const bytes = ENTRY_OVERHEAD_BYTES + key.length + message.length + records.length * RECORD_OVERHEAD_BYTES;
    this.#entries.set(key, { value, storedMs: nowMs, expiresMs: nowMs + seconds * 1000, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#limits.maxEntries && this.#bytes <= this.#limits.maxBytes) break;
      this.#remove(oldest);
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
  }
}
