import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { sessionHandshake } from '../../../../src/mux/handshake.ts';
import { Link } from '../../../../src/mux/link.ts';
import { Mux, type MuxStream, type OpenInfo } from '../../../../src/mux/mux.ts';
import type { Transport } from '../../../../src/mux/transport.ts';
import { connectWebSocket } from '../../../../src/net/transport/websocket.ts';
import type {
  ControlError,
  ControlEvent,
  ControlMethod,
  ControlMethods,
  ControlResponse,
  SessionIdentity,
} from '../../../../src/protocol/control.ts';

export interface SessionDoubleOptions {
  readonly port: number;
  readonly key: Uint8Array;
  readonly sessionId: string;
  readonly user: string;
  readonly path: string;
  /** How long the tunnel outlives its carrier; default: not at all. */
  readonly resumeMs: number;
  /** What the laptop does with an incoming stream. */
  readonly onIncoming: (stream: MuxStream) => void;
}

/** The other end of a tunnel: the real Mux over a real WebSocket, with a test in place of the laptop. */
export interface SessionDouble {
  readonly mux: Mux;
  readonly identity: SessionIdentity;
  readonly pod: string;
  readonly incoming: OpenInfo[];
  readonly streams: MuxStream[];
  readonly events: ControlEvent[];
  /** @throws RefusedRequest */
  request<M extends ControlMethod>(
    method: M,
    params: ControlMethods[M]['params'],
  ): Promise<ControlMethods[M]['result']>;
  requestRaw(method: string, params: unknown): Promise<ControlResponse>;
  /** Cuts the carrier without a word. */
  cut(): void;
  /** Brings another carrier after cut(). @throws as sessionHandshake() */
  back(): Promise<void>;
}

/** The agent answered with an error. */
export class RefusedRequest extends Error {
  readonly error: ControlError;

  constructor(error: ControlError) {
    super(`${error.code}: ${error.message}`);
    this.error = error;
  }
}

/** What a request was refused with. */
export async function refusalOf(request: Promise<unknown>): Promise<RefusedRequest['error']> {
  const failure = await request.then(
    () => assert.fail('was not refused'),
    (reason: unknown) => reason,
  );
  assert.ok(failure instanceof RefusedRequest, String(failure));
  return failure.error;
}

/** A carrier to the agent, before any handshake. */
export async function dialCarrier(port: number, path = '/tunnel'): Promise<Transport> {
  return await connectWebSocket({
    url: `wss://127.0.0.1:${port}${path}`,
    tls: { rejectUnauthorized: false },
    signal: AbortSignal.timeout(10_000),
    deadlineMs: 10_000,
  });
}

export async function dialSession(
  options: Pick<SessionDoubleOptions, 'port' | 'key'> & Partial<SessionDoubleOptions>,
): Promise<SessionDouble> {
  const { port, key, path, onIncoming = refuseAll, user = 'ann', sessionId = randomUUID(), resumeMs = 0 } = options;
  const identity: SessionIdentity = { sessionId, user, host: 'desk' };
  const link = new Link({ resumeForMs: resumeMs });
  const attach = async (): Promise<string> => {
    const carrier = await dialCarrier(port, path);
    const { pod, transport, at } = await sessionHandshake(carrier, {
      key,
      session: identity,
      link,
      deadlineMs: 10_000,
    });
    link.attach(transport, at);
    return pod;
  };
  const incoming: OpenInfo[] = [];
  const streams: MuxStream[] = [];
  const events: ControlEvent[] = [];
  const pending = new Map<number, (response: ControlResponse) => void>();
  let lastId = 0;
  const mux = new Mux(link, {
    side: 'session',
    onOpen: (stream, info) => {
      incoming.push(info);
      streams.push(stream);
      onIncoming(stream);
    },
    onControl: (message) => {
      if (message.type === 'event') events.push(message);
      if (message.type === 'response') pending.get(message.id)?.(message);
    },
  });
  const pod = await attach();
  const requestRaw = (method: string, params: unknown): Promise<ControlResponse> => {
    const id = ++lastId;
    mux.sendControl({ type: 'request', id, method, params });
    return new Promise((resolve, reject) => {
      pending.set(id, (response) => {
        pending.delete(id);
        resolve(response);
      });
      void mux.closed.then((reason) => reject(reason ?? new Error('tunnel closed')));
    });
  };
  return {
    mux,
    identity,
    pod,
    incoming,
    streams,
    events,
    requestRaw,
    request: async <M extends ControlMethod>(method: M, params: ControlMethods[M]['params']) => {
      const response = await requestRaw(method, params);
      if ('error' in response) throw new RefusedRequest(response.error);
      return response.result as ControlMethods[M]['result'];
    },
    cut: () => link.lose(new Error('cut')),
    back: async () => {
      await attach();
    },
  };
}

/** A laptop whose process does not listen. */
export function refuseAll(stream: MuxStream): void {
  stream.refuse('refused');
}

/** A laptop whose process takes every connection and does `onConnection` with it. */
export function acceptWith(onConnection: (stream: MuxStream) => unknown): (stream: MuxStream) => void {
  return (stream) => {
    stream.accept();
    onConnection(stream);
  };
}
