/** Round trips remembered: the shortest of them is taken for the wire's own. */
const REMEMBERED_ROUND_TRIPS = 8;

/**
 * Finds a carrier that has gone silent: anything heard counts; once nothing was heard for an interval, and now and then
 * between, a ping asks for an answer and measures; silence for a deadline behind a ping is death.
 */
export class Liveness {
  readonly #intervalMs: number;
  readonly #deadlineMs: number;
  readonly #sendPing: (token: bigint) => void;
  readonly #onDead: (silentMs: number) => void;
  readonly #roundTrips: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #lastHeardMs = performance.now();
  #ping: { readonly token: bigint; readonly sentMs: number } | undefined;
  #nextToken = 1n;

  /** Asks at once. */
  constructor(
    intervalMs: number,
    deadlineMs: number,
    sendPing: (token: bigint) => void,
    onDead: (silentMs: number) => void,
  ) {
    this.#intervalMs = intervalMs;
    this.#deadlineMs = deadlineMs;
    this.#sendPing = sendPing;
    this.#onDead = onDead;
    this.#ask();
  }

  /** Of the last answered ping. */
  get roundTripMs(): number | undefined {
    return this.#roundTrips.at(-1);
  }

  get shortestRoundTripMs(): number | undefined {
    return this.#roundTrips.length === 0 ? undefined : Math.min(...this.#roundTrips);
  }

  get timers(): number {
    return this.#timer === undefined ? 0 : 1;
  }

  /** Something came in. */
  heard(): void {
    this.#lastHeardMs = performance.now();
  }

  pong(token: bigint): void {
    if (this.#ping?.token !== token) return; // answer to a ping that was given up on
    this.#roundTrips.push(performance.now() - this.#ping.sentMs);
    if (this.#roundTrips.length > REMEMBERED_ROUND_TRIPS) this.#roundTrips.shift();
    this.#ping = undefined;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#ping = undefined;
  }

  #ask(): void {
    const ping = { token: this.#nextToken, sentMs: performance.now() };
    this.#nextToken += 1n;
    this.#ping = ping;
    this.#sendPing(ping.token);
    // An answer is looked for before the deadline: else an interval between two pings would be as long as that.
    const lookMs = Math.min(this.#intervalMs, this.#deadlineMs);
    this.#timer = setTimeout(() => this.#look(ping.sentMs, this.#deadlineMs - lookMs), lookMs);
  }

  #look(askedMs: number, leftMs: number): void {
    if (this.#lastHeardMs >= askedMs) this.#rest();
    else this.#timer = setTimeout(() => this.#judge(askedMs), leftMs);
  }

  #judge(askedMs: number): void {
    if (this.#lastHeardMs >= askedMs) {
      this.#rest();
      return;
    }
    // If it was this process that stood still, the answer waits in the socket: let it be read before judging.
    this.#timer = setTimeout(() => {
      setImmediate(() => {
        if (this.#timer === undefined) return;
        if (this.#lastHeardMs >= askedMs) this.#rest();
        else this.#onDead(performance.now() - this.#lastHeardMs);
      });
    }, 0);
  }

  #rest(): void {
    const quietSinceMs = performance.now() - this.#lastHeardMs;
    this.#timer = setTimeout(() => this.#ask(), Math.max(0, this.#intervalMs - quietSinceMs));
  }
}
