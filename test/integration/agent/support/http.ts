import type { IncomingMessage } from 'node:http';
import {
  type Agent,
  createServer,
  type IncomingHttpHeaders,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { Duplex } from 'node:stream';
import type { Filter } from '../../../../src/http/filter.ts';
import type { MuxStream } from '../../../../src/mux/mux.ts';
import { acceptWith } from './session-double.ts';

/** What a test's servers answer with: who it was, and what reached it. */
export interface Seen {
  readonly by: string;
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** An HTTP server without a port; give it connections. It answers with what it has seen. */
export function seeingServer(
  by: string,
  onRequest?: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  return createServer(
    { keepAliveTimeout: 60_000 },
    onRequest ??
      ((asked, response) => {
        const chunks: Buffer[] = [];
        asked.on('data', (chunk: Buffer) => chunks.push(chunk));
        asked.on('end', () => {
          const { method = '', url = '', headers } = asked;
          const seen: Seen = { by, method, url, headers, body: Buffer.concat(chunks).toString() };
          response.setHeader('Content-Type', 'application/json');
          response.end(JSON.stringify(seen));
        });
      }),
  );
}

/** The app as an HTTP server: to be given to startWorld. */
export function httpApp(server: Server): (socket: Duplex) => void {
  return (socket) => {
    server.emit('connection', socket);
  };
}

/** A laptop whose process is this server. */
export function httpProcess(server: Server): (stream: MuxStream) => void {
  return acceptWith((stream) => server.emit('connection', stream));
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** One request; `agent` decides about keeping the connection. @throws what the connection failed with */
export function ask(
  port: number,
  headers: Record<string, string> = {},
  options: { readonly path?: string; readonly method?: string; readonly body?: string; readonly agent?: Agent } = {},
): Promise<Answer> {
  const { path = '/', method = 'GET', body, agent } = options;
  return new Promise((resolve, reject) => {
    const asking = request({ host: '127.0.0.1', port, path, method, headers, agent: agent ?? false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode: status = 0, headers: fields } = response;
        resolve({ status, headers: fields, text: Buffer.concat(chunks).toString() });
      });
    });
    asking.on('error', reject);
    asking.end(body);
  });
}

/** Who answered. */
export async function answeredBy(...parameters: Parameters<typeof ask>): Promise<string> {
  const { status, text } = await ask(...parameters);
  return status === 200 ? (JSON.parse(text) as Seen).by : `${status}`;
}

/** Requests with exactly this header. */
export function withHeader(name: string, value: string): Filter {
  return { match: 'all', conditions: [{ on: 'header', name, match: { kind: 'exact', value } }] };
}
