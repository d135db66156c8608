// What the HTTP/1.1 and HTTP/2 routers are told about a caller's requests. They work on any Duplex: in the agent between
// caller, app and laptop, on the laptop between a process and the cluster.
import type { Duplex } from 'node:stream';

/** A socket, a MuxStream, or TLS on one of them: half-open, and able to tell its peer of a failure. */
export interface Resettable extends Duplex {
  resetAndDestroy(): unknown;
  /** Of a stream in a tunnel: why it was reset; `gone`: its tunnel is over, and nobody knows what became of what was sent. */
  readonly resetReason?: string | undefined;
}

/** What who answers does not speak: TLS at all, or what the caller has chosen in it. */
export type TlsLack = 'tls' | 'h2' | 'http/1.1';

/** One request's head, as filters see it. */
export interface RequestHead {
  readonly method: string;
  /** As sent, without the query; of an absolute-form target the part behind the authority; '' for CONNECT. */
  readonly path: string;
  /** Without the question mark; '' where there is none. */
  readonly query: string;
  /** Host or :authority, as sent (an absolute-form target's own authority wins, RFC 9112 §3.2.2). */
  readonly authority: string;
  /** All lines of a field joined by ", " (cookie of HTTP/2: "; "); `name` in lower case. Undefined where there is none. */
  header(name: string): string | undefined;
  /** How often the field occurs. */
  count(name: string): number;
}

/** Who may answer requests: the app, or one session's process. */
export interface Answerer {
  /** Requests of one caller's connection to the same id share a connection: 'app', or the session's id. May change in connect(). */
  readonly id: string;
  /**
   * A new connection there; resolves once it is certain that it will be answered there.
   * @throws why not: the request then goes to `fallback`
   */
  connect(signal: AbortSignal): Promise<Resettable>;
  /** Where a request goes when connect() fails; nothing of it has been sent then. */
  readonly fallback: Answerer | Refusal | undefined;
  /** Fields added to the head of each request (behind those it has) and of each final response. */
  readonly requestFields: readonly (readonly [name: string, value: string])[];
  readonly responseFields: readonly (readonly [name: string, value: string])[];
  /** It was reached, but does not speak TLS, or not the caller's protocol in it: `fallback` answers. */
  lacks?(what: TlsLack): void;
  /** A request has gone there; call what it returns when the exchange (an upgraded connection included) is over. */
  began(): () => void;
}

/** An answer that the router makes itself; the reason is shown to the caller. */
export interface Refusal {
  readonly status: 400 | 431 | 502 | 503 | 508;
  readonly reason: string;
}

/** Takes copies of requests and tells nothing back. */
export interface Mirror {
  readonly id: string;
  /** A connection for the copy of one HTTP/1.1 request or of one caller's HTTP/2 connection; undefined: none now, the copy is dropped. */
  open(): Resettable | undefined;
  /** A copy was cut short or never began: too slow, or gone. */
  dropped(): void;
}

export interface Decision {
  readonly answerer: Answerer | Refusal;
  readonly mirrors: readonly Mirror[];
}

/** Asked anew for every request: what it says may change while a connection is open. */
export interface HttpRoutes {
  decide(head: RequestHead): Decision;
}

/** Told to callers of a laptop whose tunnel is over. */
export const VANISHED = 'the laptop that was to answer has vanished';

export function isRefusal(value: Answerer | Refusal): value is Refusal {
  return 'status' in value;
}

/** The marks of a request that went through an intercept: `x-intercept-by: <user>@<host>`, one line a hop. */
export const BY_FIELD = 'x-intercept-by';
/** A request with so many marks goes round in a circle: 508. */
export const MAX_HOPS = 8;
/** What may wait for a mirror before its copy is cut. */
export const MAX_MIRROR_BYTES = 1024 * 1024;
