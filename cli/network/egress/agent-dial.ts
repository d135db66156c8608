import { addAbortListener } from 'node:events';
import { isIP } from 'node:net';
import { InterceptorError } from '../../../src/errors.ts';
import type { Mux, MuxStream } from '../../../src/mux/mux.ts';
import { StreamResetError } from '../../../src/mux/stream.ts';
import { DialError } from '../dial-error.ts';
import type { DialCode, Outgoing } from '../types.ts';

/** What of an AgentTunnel is used here. */
export interface TunnelLike {
  readonly mux: Mux;
}

export interface AgentWay {
  /** The tunnel to use now; the same agent as long as it lives. */
  readonly tunnel: () => TunnelLike | undefined;
  /** Resolves when there is one. @throws the signal's reason */
  readonly untilTunnel: (signal: AbortSignal) => Promise<unknown>;
}

/** A connection waits this long for a tunnel: a lost one is back within a second or two. */
const TUNNEL_WAIT_MS = 10_000;
/** The agent gives up earlier; this is for one that does not answer. */
const DIAL_DEADLINE_MS = 60_000;
/** A tunnel lost while it dialled: another one is tried, nothing has been sent yet. */
const MAX_ATTEMPTS = 3;
/** The open frame has one byte for the host's length; a longer name does not exist (RFC 1035). */
const MAX_HOST_BYTES = 253;

/**
 * Opens a connection from the pod.
 * @returns once it is connected
 * @throws DialError; the signal's reason
 */
export async function dialThroughAgent(
  way: AgentWay,
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<Outgoing> {
  checkDestination(host, port);
  let late = false;
  let stream: MuxStream | undefined;
  // Not AbortSignal.timeout() and any(): of each connection, something would stay for the whole minute.
  const timer = setTimeout(() => {
    late = true;
    stream?.resetAndDestroy();
  }, DIAL_DEADLINE_MS);
  try {
    for (let attempt = 1; ; attempt++) {
      const tunnel = await waitForTunnel(way, host, port, signal);
      stream = openStream(tunnel, 'tcp', host, port);
      try {
        await untilOpened(stream, signal);
        return stream;
      } catch (error) {
        signal.throwIfAborted();
        if (late) throw dialError('ETIMEDOUT', host, port, error);
        const gone = error instanceof StreamResetError && error.reason === 'gone';
        if (!gone || attempt === MAX_ATTEMPTS) throw dialError(codeOfReset(error), host, port, error);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Opens a stream of datagrams; it may be written at once.
 * @throws DialError when there is no tunnel now, or too many streams
 */
export function openAgentDatagrams(way: AgentWay, host: string, port: number): MuxStream {
  checkDestination(host, port);
  const tunnel = way.tunnel();
  if (tunnel === undefined) throw dialError('EHOSTUNREACH', host, port, new Error('no agent can be reached'));
  return openStream(tunnel, 'udp', host, port);
}

/** `connect ECONNREFUSED 10.96.0.1:80`, as Node says it. */
export function dialError(code: DialCode, host: string, port: number, cause: unknown): DialError {
  const at = isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
  return new DialError(code, `connect ${code} ${at}`, { cause });
}

/** @throws DialError for a port or a name that cannot be */
export function checkDestination(host: string, port: number): void {
  const bytes = Buffer.byteLength(host);
  if (bytes === 0 || bytes > MAX_HOST_BYTES || /[\s\0]/.test(host))
    throw dialError('ENOTFOUND', host.slice(0, MAX_HOST_BYTES), port, new Error('no host name'));
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw dialError('ECONNREFUSED', host, port, new Error('no port'));
}

async function waitForTunnel(way: AgentWay, host: string, port: number, signal: AbortSignal): Promise<TunnelLike> {
  const now = way.tunnel();
  if (now !== undefined) return now;
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(TUNNEL_WAIT_MS)]);
  const cause: unknown = await way.untilTunnel(bounded).then(
    () => new Error('no agent can be reached'),
    (error: unknown) => error,
  );
  signal.throwIfAborted();
  const tunnel = way.tunnel();
  if (tunnel === undefined) throw dialError('EHOSTUNREACH', host, port, cause);
  return tunnel;
}

function openStream(tunnel: TunnelLike, kind: 'tcp' | 'udp', host: string, port: number): MuxStream {
  try {
    return tunnel.mux.open({ kind, host, port });
  } catch (error) {
    const full = error instanceof InterceptorError && error.code === 'STREAM_LIMIT';
    throw dialError(full ? 'EMFILE' : 'EHOSTUNREACH', host, port, error);
  }
}

async function untilOpened(stream: MuxStream, signal: AbortSignal): Promise<void> {
  using _ = addAbortListener(signal, () => stream.resetAndDestroy());
  await stream.opened;
}

function codeOfReset(error: unknown): DialCode {
  if (!(error instanceof StreamResetError)) return 'ECONNRESET';
  switch (error.reason) {
    case 'refused':
      return 'ECONNREFUSED';
    case 'unreachable':
    case 'gone':
      return 'EHOSTUNREACH';
    case 'timeout':
      return 'ETIMEDOUT';
    case 'not-found':
      return 'ENOTFOUND';
    case 'limit':
      return 'EMFILE';
    case 'reset':
      return 'ECONNRESET';
    default:
      return error.reason satisfies never;
  }
}
