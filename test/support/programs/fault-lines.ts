// What caller and server of test/faults have in common, and the lines that the caller writes.

/** Bytes in front of the pattern of a WebSocket message: its number, from 0. */
export const NUMBER_BYTES = 4;
/** Close code of a WebSocket whose server got wrong bytes; the reason tells how many. */
export const WRONG_BYTES_CODE = 4001;
export const ANSWER_BYTES = 1024;

export interface CallerPlan {
  /** `http://host[:port]` */
  readonly url: string;
  /** Nothing is sent before this time, in ms since the epoch. */
  readonly startAtMs: number;
  /** Requests on fresh connections, one every so many ms: the probe. */
  readonly probeEveryMs: number;
  /** Requests a second, every other one on a kept connection. */
  readonly requestsPerSecond: number;
  /** WebSockets, each with a message every half second; lost ones are opened again. */
  readonly webSockets: number;
  /** The size of the first transfer there and back; 0: none. Later ones are small, and follow each other. */
  readonly transferBytes: number;
  /** At most; 0: as fast as it goes. */
  readonly transferBytesPerSecond: number;
  readonly stopFile: string;
  /** It ends by itself after so long. */
  readonly maxMs: number;
}

export type RequestKind = 'probe' | 'fresh' | 'kept';

/** Times in ms since the epoch; `by`: the first word of who answered, or `failed`. */
export type CallerLine =
  | { readonly line: 'begun' }
  | {
      readonly line: 'request';
      readonly kind: RequestKind;
      readonly sentAtMs: number;
      readonly tookMs: number;
      readonly by: string;
      readonly detail?: string;
    }
  /** Bytes that were not those sent. */
  | { readonly line: 'wrong'; readonly atMs: number; readonly what: string; readonly bytes: number }
  | { readonly line: 'opened'; readonly atMs: number; readonly id: number; readonly by: string; readonly open: number }
  | {
      readonly line: 'lost';
      readonly atMs: number;
      readonly id: number;
      readonly detail: string;
      readonly open: number;
    }
  /** A WebSocket was answered again after more than a second. */
  | { readonly line: 'late'; readonly atMs: number; readonly id: number; readonly tookMs: number }
  | { readonly line: 'progress'; readonly atMs: number; readonly bytes: number }
  | {
      readonly line: 'transfer';
      readonly sentAtMs: number;
      readonly tookMs: number;
      readonly by: string;
      readonly bytes: number;
      readonly detail?: string;
    }
  | { readonly line: 'end' };
