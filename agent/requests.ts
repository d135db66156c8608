import { errorText } from '../src/errors.ts';
import type { Log } from '../src/log.ts';
import { isPort } from '../src/protocol/agent-config.ts';
import type { ControlMethod, ControlMethods, ControlRequest, ControlResponse } from '../src/protocol/control.ts';
import { isProtocol, isRouteTo, parseIntercepts } from './intercept-params.ts';
import {
  MAX_EXCLUDES,
  MAX_HOLD_MS,
  MAX_INTERCEPTS,
  MAX_PENDING_REQUESTS,
  MAX_PROOF_TTL_MS,
  MAX_PROVE_TIMEOUT_MS,
} from './limits.ts';
import { bad, duration, isCount, isText, record } from './params.ts';
import { isProofNonce } from './proof.ts';
import { RequestFailure } from './request-failure.ts';

type Params<M extends ControlMethod> = ControlMethods[M]['params'];
type Result<M extends ControlMethod> = ControlMethods[M]['result'];

/** What the agent does for one session, by method. Failures are thrown as RequestFailure. */
export type RequestHandlers = {
  readonly [M in ControlMethod]: (params: Params<M>) => Result<M> | Promise<Result<M>>;
};

/** Reads the params of each method. @throws RequestFailure BAD_PARAMS */
const PARSERS: { readonly [M in ControlMethod]: (params: unknown) => Params<M> } = {
  claim: (params) => {
    const { intercepts, replaces, takeOver, spares = [], holdMs } = record(params);
    if (!Array.isArray(intercepts) || intercepts.length > MAX_INTERCEPTS) throw bad('intercepts');
    if (!Array.isArray(replaces) || !replaces.every(isText)) throw bad('replaces');
    if (typeof takeOver !== 'boolean') throw bad('takeOver');
    if (!Array.isArray(spares) || !spares.every(isText)) throw bad('spares');
    if (typeof holdMs !== 'number' || !(holdMs >= 0)) throw bad('holdMs');
    return {
      intercepts: parseIntercepts(intercepts),
      replaces,
      takeOver,
      spares,
      holdMs: Math.min(holdMs, MAX_HOLD_MS),
    };
  },
  route: (params) => {
    const { appPort, protocol, to } = record(params);
    if (!isPort(appPort)) throw bad('appPort');
    if (!isProtocol(protocol)) throw bad('protocol');
    if (!isRouteTo(to)) throw bad('to');
    return { appPort, protocol, to };
  },
  release: () => ({}),
  environment: () => ({}),
  network: () => ({}),
  files: (params) => {
    const { exclude, maxFiles, maxBytes, watch } = record(params);
    if (!Array.isArray(exclude) || exclude.length > MAX_EXCLUDES || !exclude.every(isText)) throw bad('exclude');
    if (!isCount(maxFiles)) throw bad('maxFiles');
    if (!isCount(maxBytes)) throw bad('maxBytes');
    if (typeof watch !== 'boolean') throw bad('watch');
    return { exclude, maxFiles, maxBytes, watch };
  },
  status: () => ({}),
  expectProof: (params) => {
    const { nonce, ttlMs } = record(params);
    if (!isProofNonce(nonce)) throw bad('nonce');
    return { nonce, ttlMs: duration(ttlMs, 'ttlMs', MAX_PROOF_TTL_MS) };
  },
  prove: (params) => {
    const { nonce, protocol, host, port, timeoutMs } = record(params);
    if (!isProofNonce(nonce)) throw bad('nonce');
    if (!isProtocol(protocol)) throw bad('protocol');
    if (!isText(host)) throw bad('host');
    if (!isPort(port)) throw bad('port');
    return { nonce, protocol, host, port, timeoutMs: duration(timeoutMs, 'timeoutMs', MAX_PROVE_TIMEOUT_MS) };
  },
  evict: (params) => {
    const { by, sessionIds } = record(params);
    if (!isText(by)) throw bad('by');
    if (sessionIds === undefined) return { by };
    if (!Array.isArray(sessionIds) || !sessionIds.every(isText)) throw bad('sessionIds');
    return { by, sessionIds };
  },
};

/** Answers the control requests of one session. */
export class RequestDispatcher {
  readonly #handlers: RequestHandlers;
  readonly #respond: (response: ControlResponse) => void;
  readonly #log: Log;
  #pending = 0;

  constructor(handlers: RequestHandlers, respond: (response: ControlResponse) => void, log: Log) {
    this.#handlers = handlers;
    this.#respond = respond;
    this.#log = log;
  }

  /** Answers exactly once, whatever happens. Never rejects. */
  async dispatch({ id, method, params }: ControlRequest): Promise<void> {
    this.#pending += 1;
    try {
      if (this.#pending > MAX_PENDING_REQUESTS)
        throw new RequestFailure('LIMIT', 'too many requests without an answer');
      if (!isMethod(method)) throw new RequestFailure('UNKNOWN_METHOD', `this agent does not know ${method}`);
      const result = await this.#handle(method, params);
      this.#respond({ type: 'response', id, result });
    } catch (failure) {
      this.#respond({ type: 'response', id, error: this.#explain(failure, method) });
    } finally {
      this.#pending -= 1;
    }
  }

  #handle<M extends ControlMethod>(method: M, params: unknown): Result<M> | Promise<Result<M>> {
    return this.#handlers[method](PARSERS[method](params));
  }

  #explain(failure: unknown, method: string): ReturnType<RequestFailure['toControlError']> {
    if (failure instanceof RequestFailure) return failure.toControlError();
    this.#log.error('request failed', { method, reason: errorText(failure) });
    return { code: 'INTERNAL', message: `${method} failed: ${errorText(failure)}` };
  }
}

function isMethod(method: string): method is ControlMethod {
  return Object.hasOwn(PARSERS, method);
}
