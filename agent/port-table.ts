import type { TlsEnding } from '../src/http/detect.ts';
import { FilterTable, type TableEntry } from '../src/http/filters/table.ts';
import type { RequestHead } from '../src/http/routing.ts';
import type { Claim } from './claim.ts';
import type { SessionCarrier } from './session.ts';

/** Who has a port. Made anew with every change: keep it for one decision only. */
export class PortTable<Carrier extends SessionCarrier> {
  /** Has everything that no filter takes. */
  readonly whole: Claim<Carrier> | undefined;
  /** Has copies of everything. */
  readonly wholeMirrors: readonly Claim<Carrier>[];
  /** Somebody wants single requests: the port's bytes must be read as HTTP. */
  readonly isHttp: boolean;
  readonly claims: readonly Claim<Carrier>[];
  /** What ends TLS of callers: the oldest claim's that has something for it. */
  readonly tls: TlsEnding | undefined;
  /** Made when first asked: sessions come in bursts, and ordering many filters takes a while. */
  #takers: FilterTable<Claim<Carrier>> | undefined;
  #mirrors: FilterTable<Claim<Carrier>> | undefined;

  constructor(claims: readonly Claim<Carrier>[]) {
    const mirrors = claims.filter(({ intercept }) => intercept.mirror);
    this.claims = claims;
    this.whole = claims.find(({ intercept, filter }) => filter === undefined && !intercept.mirror);
    this.wholeMirrors = mirrors.filter(({ filter }) => filter === undefined);
    this.tls = claims.find(({ tls }) => tls !== undefined)?.tls;
    this.isHttp = claims.some(({ filter }) => filter !== undefined);
  }

  /** Who is to answer a request; undefined: the app. */
  taker(head: RequestHead): Claim<Carrier> | undefined {
    this.#takers ??= new FilterTable(entries(this.claims.filter(({ intercept }) => !intercept.mirror)));
    return this.#takers.lookup(head) ?? this.whole;
  }

  /** Who is to have a copy of it. */
  mirrors(head: RequestHead): readonly Claim<Carrier>[] {
    this.#mirrors ??= new FilterTable(entries(this.claims.filter(({ intercept }) => intercept.mirror)));
    return this.#mirrors.size === 0 ? this.wholeMirrors : [...this.#mirrors.all(head), ...this.wholeMirrors];
  }
}

function entries<Carrier extends SessionCarrier>(claims: readonly Claim<Carrier>[]): TableEntry<Claim<Carrier>>[] {
  return claims.flatMap((claim) =>
    claim.filter === undefined ? [] : [{ filter: claim.filter, value: claim, order: claim.order }],
  );
}
