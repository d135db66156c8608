import { chmod, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { isRecord } from '../../src/is-record.ts';

/** Requests on a session's control socket: one JSON line each way, then the connection ends. */
export type SocketRequest = { readonly method: 'status' } | { readonly method: 'leave'; readonly by: string };

const MAX_LINE_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 16;

export interface ControlSocket extends AsyncDisposable {
  close(): Promise<void>;
}

/**
 * Listens on the socket; only its user may connect (file mode 0600 in a 0700 folder).
 * @param answer gives the result sent back as one JSON line
 */
export async function listenControlSocket(
  path: string,
  answer: (request: SocketRequest) => Promise<unknown>,
): Promise<ControlSocket> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => {}); // the asker went away
    readLine(socket)
      .then(async (line) => {
        const request = parseRequest(line);
        const result = request === undefined ? { error: 'not a request' } : await answer(request);
        socket.end(`${JSON.stringify(result)}\n`);
      })
      .catch(() => socket.destroy());
  });
  server.maxConnections = MAX_CONNECTIONS;
  await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(path, resolve);
  });
  if (process.platform !== 'win32') await chmod(path, 0o600);
  const close = async (): Promise<void> => {
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of open) socket.destroySoon();
    });
  };
  return { close, [Symbol.asyncDispose]: close };
}

/**
 * Asks a session. @returns its answer, or undefined when nobody listens there any more
 */
export async function askSession(path: string, request: SocketRequest, timeoutMs: number): Promise<unknown> {
  const socket = connect(path);
  try {
    await new Promise<void>((resolve, reject) => {
      socket
        .once('connect', resolve)
        .once('error', reject)
        .setTimeout(timeoutMs, () => socket.destroy(new Error('timeout')));
    });
    socket.write(`${JSON.stringify(request)}\n`);
    return JSON.parse(await readLine(socket));
  } catch {
    return undefined; // gone, or going
  } finally {
    socket.destroy();
  }
}

function readLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end >= 0) resolve(text.slice(0, end));
      else if (text.length > MAX_LINE_BYTES) reject(new Error('line too long'));
    });
    socket.once('error', reject).once('close', () => reject(new Error('closed')));
  });
}

function parseRequest(line: string): SocketRequest | undefined {
  const value: unknown = JSON.parse(line);
  if (!isRecord(value)) return undefined;
  if (value.method === 'status') return { method: 'status' };
  if (value.method === 'leave' && typeof value.by === 'string') return { method: 'leave', by: value.by };
  return undefined;
}
