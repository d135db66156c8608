import { InterceptorError } from '../../src/errors.ts';
import type {
  ControlError,
  ControlEvent,
  ControlMessage,
  ControlMethod,
  ControlMethods,
} from '../../src/protocol/control.ts';

/** Requests waiting for an answer at once on one tunnel. */
const MAX_PENDING_REQUESTS = 64;
const REQUEST_TIMEOUT_MS = 10_000;

/** The agent's refusal of a request, with what it said. */
export class RequestRefused extends InterceptorError {
  readonly refusal: ControlError;

  constructor(method: string, refusal: ControlError) {
    super('TUNNEL_REFUSED', `${method}: ${refusal.message}`, {
      hint: 'the agent may be of another version: intercept leave, then intercept again, renews it',
    });
    this.name = 'RequestRefused';
    this.refusal = refusal;
  }
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** The session's side of control requests on one tunnel: each request is answered once, or fails with the tunnel. */
export class ControlClient {
  readonly #send: (message: ControlMessage) => void;
  readonly #onEvent: (event: ControlEvent) => void;
  readonly #isAway: () => boolean;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #closed: Error | undefined;

  /** @param isAway the tunnel waits for another carrier: what is asked is on its way, and not lost */
  constructor(
    send: (message: ControlMessage) => void,
    onEvent: (event: ControlEvent) => void,
    isAway: () => boolean = () => false,
  ) {
    this.#send = send;
    this.#onEvent = onEvent;
    this.#isAway = isAway;
  }

  /**
   * Sends one request. Without a `timeoutMs` it waits for as long as the tunnel may come back, and then some. The agent proved possession of the Secret before this, so its results are taken by their type.
   * @throws RequestRefused what the agent answered; InterceptorError TUNNEL_LOST when the tunnel ends or stays silent
   */
  async request<M extends ControlMethod>(
    method: M,
    params: ControlMethods[M]['params'],
    options: { timeoutMs?: number } = {},
  ): Promise<ControlMethods[M]['result']> {
    if (this.#closed !== undefined) throw this.#closed;
    if (this.#pending.size >= MAX_PENDING_REQUESTS)
      throw new InterceptorError('INTERNAL', `more than ${MAX_PENDING_REQUESTS} requests wait for an agent`);
    const id = this.#nextId++;
    const timeoutMs = options.timeoutMs ?? REQUEST_TIMEOUT_MS;
    const result = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
    });
    const late = (): void => {
      if (options.timeoutMs === undefined && this.#isAway()) {
        timer = setTimeout(late, timeoutMs);
        return;
      }
      const error = new InterceptorError('TUNNEL_LOST', `the agent did not answer ${method} in ${timeoutMs} ms`);
      this.#pending.get(id)?.reject(error);
    };
    let timer = setTimeout(late, timeoutMs);
    try {
      this.#send({ type: 'request', id, method, params });
      return (await result) as ControlMethods[M]['result'];
    } catch (error) {
      if (error instanceof RefusedInFlight) throw new RequestRefused(method, error.refusal);
      throw error;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(id);
    }
  }

  /** Takes a message from the mux. */
  receive(message: ControlMessage): void {
    switch (message.type) {
      case 'response': {
        const pending = this.#pending.get(message.id);
        if (pending === undefined) return; // answered after its deadline
        if ('error' in message) pending.reject(new RefusedInFlight(message.error));
        else pending.resolve(message.result);
        return;
      }
      case 'event':
        this.#onEvent(message);
        return;
      case 'request':
      case 'hello':
      case 'proof':
      case 'welcome':
        return; // an agent asks nothing of a session; a newer one's message is not fatal
      default:
        message satisfies never;
    }
  }

  /** Fails what waits; later requests fail at once. */
  close(error: Error): void {
    this.#closed ??= error;
    for (const pending of this.#pending.values()) pending.reject(this.#closed);
    this.#pending.clear();
  }
}

class RefusedInFlight extends Error {
  readonly refusal: ControlError;
  constructor(refusal: ControlError) {
    super(refusal.message);
    this.refusal = refusal;
  }
}
