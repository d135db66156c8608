import type { ResolvConfUndo } from './resolv-conf.ts';

/** One thing done to the laptop. All of it is plain data: it goes into the journal. */
export type Action =
  | {
      readonly kind: 'run';
      readonly argv: readonly string[];
      readonly stdin?: string;
      /** A failure is no failure: what it undoes may be undone already. */
      readonly mayFail?: boolean;
    }
  /** A file that is not there yet (undo: remove). */
  | { readonly kind: 'write'; readonly path: string; readonly text: string }
  | { readonly kind: 'remove'; readonly path: string }
  /** Puts our nameserver into resolv.conf, in front of those that are there. */
  | {
      readonly kind: 'point-resolv-conf';
      readonly path: string;
      readonly nameserver: string;
      readonly search: readonly string[];
      readonly keepOthers: boolean;
    }
  | ({ readonly kind: 'restore-resolv-conf' } & ResolvConfUndo);

/** A change and what takes it back. `undo` must be harmless before `apply` and after another undo. */
export interface Change {
  /** For people: `nameserver in /etc/resolv.conf`. */
  readonly what: string;
  readonly apply: readonly Action[];
  readonly undo: readonly Action[];
}

/** What the resolver of a laptop is told. */
export interface ResolverWish {
  /** Our DNS server; always on port 53. */
  readonly address: string;
  /** Suffixes that are the cluster's: `cluster.local`, `svc`. */
  readonly domains: readonly string[];
  /** What is appended to short names. */
  readonly search: readonly string[];
}
