import { createHash } from 'node:crypto';

/** Where our DNS server is; the rest of 127.64.0.0/24 are its other choices. */
export const DNS_ADDRESSES: readonly string[] = ['127.64.0.53', '127.64.0.54', '127.64.0.55', '127.64.0.56'];

/** 127.64.0.0/10: loopback on every system, and far from the addresses that people pick by hand. */
const FIRST = ((127 << 24) | (64 << 16)) >>> 0;
const SIZE = 1 << 22;
const RESERVED = 256;
/** All addresses of one laptop; also the number of aliases macOS gets. */
export const MAX_ADDRESSES = 8_192;

/**
 * Gives each key (a Service, a pod of a headless one) a loopback address of its own: the same one in every session, as long
 * as no other key has it. So a client that kept an address finds the same Service behind it tomorrow.
 */
export class AddressBook {
  readonly #byKey = new Map<string, string>();
  readonly #taken: Set<string>;

  /** @param taken addresses somebody else has on this laptop */
  constructor(taken: Iterable<string> = []) {
    this.#taken = new Set(taken);
  }

  /** @returns undefined when there are MAX_ADDRESSES keys already */
  take(key: string): string | undefined {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    if (this.#byKey.size >= MAX_ADDRESSES) return undefined;
    let index = hash(key) % SIZE;
    while (!usable(index) || this.#taken.has(addressAt(index))) index = (index + 1) % SIZE;
    const address = addressAt(index);
    this.#byKey.set(key, address);
    this.#taken.add(address);
    return address;
  }

  release(key: string): void {
    const address = this.#byKey.get(key);
    if (address === undefined) return;
    this.#byKey.delete(key);
    this.#taken.delete(address);
  }
}

/** Not the DNS server's, and no .0 or .255, which some programs take for a network or a broadcast. */
function usable(index: number): boolean {
  return index >= RESERVED && index % 256 !== 0 && index % 256 !== 255;
}

function hash(key: string): number {
  return createHash('sha256').update(key).digest().readUInt32BE(0);
}

function addressAt(index: number): string {
  const value = FIRST + index;
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');
}
