import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestCluster } from './cluster.ts';

/** How a write is cut: `before` it reaches the API server, or `after` it has been carried out, so that only its answer is lost. */
export type Cut = 'before' | 'after';

/** A way to the real API server on which one write, by its number, loses its connection. */
export interface CuttingApi extends AsyncDisposable {
  /** `http://127.0.0.1:port`, for a kubeconfig. */
  readonly url: string;
  /** Writes so far since the last cutAt(). */
  readonly writes: number;
  /** Cuts the nth write from now on (from 1), once. */
  cutAt(write: number, how: Cut): void;
}

/** Starts the way; requests other than writes pass, watches included. */
export async function startCuttingApi(cluster: TestCluster): Promise<CuttingApi> {
  let writes = 0;
  let cut: { readonly write: number; readonly how: Cut } | undefined;
  const data = cluster.trust['certificate-authority-data'];
  const ca = typeof data === 'string' ? Buffer.from(data, 'base64') : undefined;
  const { host, port } = cluster.apiServer;
  const pass = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const { method, url: path, headers } = incoming;
    const isWrite = method !== 'GET' && method !== 'HEAD';
    if (isWrite) writes++;
    const how = isWrite && cut?.write === writes ? cut.how : undefined;
    if (how === 'before') {
      incoming.socket.destroy();
      return;
    }
    const tls = { ca, rejectUnauthorized: ca !== undefined };
    const upstream = request({ host, port, method, path, headers, ...tls }, (answer) => {
      if (how === 'after') {
        answer.resume().once('end', () => incoming.socket.destroy());
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    upstream.on('error', () => incoming.socket.destroy());
    outgoing.once('close', () => upstream.destroy());
    incoming.pipe(upstream);
  };
  const server = createServer(pass);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: own } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${own}`,
    get writes() {
      return writes;
    },
    cutAt(write, how) {
      writes = 0;
      cut = { write, how };
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
