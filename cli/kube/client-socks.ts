import type { Socket } from 'node:net';

const VERSION = 5;
const METHOD_NONE = 0;
const METHOD_PASSWORD = 2;
const REPLIES: Readonly<Record<number, string>> = {
  1: 'general failure',
  2: 'connection not allowed',
  3: 'network unreachable',
  4: 'host unreachable',
  5: 'connection refused',
  7: 'command not supported',
};

/**
 * CONNECT of SOCKS 5 (RFC 1928, RFC 1929) on a connected socket; the proxy resolves the name.
 * @returns the same socket, now a tunnel to host:port
 * @throws Error with code PROXY_REFUSED
 */
export async function connectSocks5(
  socket: Socket,
  proxy: URL,
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<Socket> {
  const read = reader(socket, signal);
  const withLogin = proxy.username !== '';
  socket.write(Buffer.from([VERSION, 1, withLogin ? METHOD_PASSWORD : METHOD_NONE]));
  const chosen = (await read(2))[1];
  if (chosen === METHOD_PASSWORD && withLogin) {
    const user = Buffer.from(decodeURIComponent(proxy.username));
    const password = Buffer.from(decodeURIComponent(proxy.password));
    socket.write(
      Buffer.concat([Buffer.from([1, user.byteLength]), user, Buffer.from([password.byteLength]), password]),
    );
    if ((await read(2))[1] !== 0) throw refused('the SOCKS proxy refused the user name or password');
  } else if (chosen !== METHOD_NONE) throw refused('the SOCKS proxy wants another way to log in');
  const name = Buffer.from(host);
  const request = Buffer.concat([Buffer.from([VERSION, 1, 0, 3, name.byteLength]), name, Buffer.alloc(2)]);
  request.writeUInt16BE(port, request.byteLength - 2);
  socket.write(request);
  const head = await read(4);
  const reply = head[1] ?? 1;
  if (reply !== 0) throw refused(`the SOCKS proxy answered: ${REPLIES[reply] ?? `code ${reply}`}`);
  const addressBytes = head[3] === 1 ? 4 : head[3] === 4 ? 16 : ((await read(1))[0] ?? 0);
  await read(addressBytes + 2);
  return socket;
}

function refused(text: string): Error {
  return Object.assign(new Error(text), { code: 'PROXY_REFUSED' });
}

/** Reads exactly n bytes at a time, leaving the rest in the socket. */
function reader(socket: Socket, signal: AbortSignal): (bytes: number) => Promise<Buffer> {
  return (bytes) =>
    new Promise((resolve, reject) => {
      const settle = (): void => {
        socket.off('readable', take).off('error', fail).off('close', onClose);
        signal.removeEventListener('abort', onAbort);
      };
      const fail = (error: unknown): void => {
        settle();
        reject(error);
      };
      const take = (): void => {
        const chunk: Buffer | null = socket.read(bytes);
        if (chunk === null) return;
        settle();
        resolve(chunk);
      };
      const onClose = (): void => fail(refused('the SOCKS proxy closed the connection'));
      const onAbort = (): void => fail(signal.reason);
      socket.on('readable', take).once('error', fail).once('close', onClose);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      else take();
    });
}
