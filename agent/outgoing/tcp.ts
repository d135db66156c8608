import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import { sideBytes } from '../../src/http/meter.ts';
import type { MuxStream } from '../../src/mux/mux.ts';
import { splice } from '../../src/net/splice.ts';
import { held } from '../held-bytes.ts';
import { OUTGOING_ATTEMPT_TIMEOUT_MS, OUTGOING_CONNECT_TIMEOUT_MS, SOCKET_HIGH_WATER_BYTES } from '../limits.ts';
import { dialFailureReason } from './dial-failure.ts';
import type { Lookup } from './lookup.ts';

/**
 * Serves a stream of kind `tcp`: dials, and joins both until both directions have ended.
 * @returns once both are closed; never rejects
 */
export async function serveTcp(
  stream: MuxStream,
  lookup: Lookup,
  signal: AbortSignal,
  connectTimeoutMs = OUTGOING_CONNECT_TIMEOUT_MS,
): Promise<void> {
  const { host, port } = stream.info;
  if (host === '' || port === 0) {
    stream.refuse(host === '' ? 'not-found' : 'refused');
    return;
  }
  const options: TcpNetConnectOpts & { highWaterMark: number } = {
    host,
    port,
    lookup,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    highWaterMark: SOCKET_HIGH_WATER_BYTES,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: OUTGOING_ATTEMPT_TIMEOUT_MS,
  };
  const socket = connect(options);
  if (!(await connected(socket, stream, connectTimeoutMs))) return;
  stream.accept();
  const holder = {
    get heldBytes() {
      return sideBytes(stream) + sideBytes(socket);
    },
    reset: () => void stream.resetAndDestroy('limit'),
  };
  held.add(holder);
  await splice(stream, socket, signal).catch(() => {}); // a reset of one side has become one of the other
  held.delete(holder);
}

/** Whether the socket is connected; if not, it is destroyed and the stream refused. */
function connected(socket: Socket, stream: MuxStream, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    let isSettled = false;
    const settle = (isConnected: boolean): void => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      socket.off('connect', onConnect);
      stream.off('close', onGone);
      if (!isConnected) socket.destroy(); // not resetAndDestroy(): it would wait for the connection
      resolve(isConnected);
    };
    const onConnect = (): void => settle(true);
    const onGone = (): void => settle(false);
    const timer = setTimeout(() => {
      stream.refuse('timeout');
      settle(false);
    }, timeoutMs);
    socket.on('error', (failure) => {
      if (!isSettled) stream.refuse(dialFailureReason(failure)); // else splice() sees it
      settle(false);
    });
    socket.on('connect', onConnect);
    stream.on('close', onGone);
    if (stream.destroyed) onGone();
  });
}
