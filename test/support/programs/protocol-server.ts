// App and process of test/e2e/protocols.test.ts: `<first port>`, WHO in the environment. On the first port gRPC, on the next HTTP/1.1
// (WebSockets and server-sent events too) and HTTP/2 in clear text told apart by the first bytes, on the third both over TLS, on
// the fourth HTTP/1.1 only over TLS, where there are TLS_CERT and TLS_KEY (paths). Says what it saw of gRPC calls and event streams at `/seen` of the second port, as JSON.
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  createServer as createHttp2Server,
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { createServer } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { WebSocketServer } from 'ws';
import { GRPC_SERVICE, MAX_MESSAGE_BYTES } from './grpc-service.ts';

const firstPort = Number(process.argv[2]);
const who = process.env.WHO ?? 'app';
const HOST = '0.0.0.0';
/** What happened to calls and event streams, by the name their caller gave them. */
const seen: Record<string, Record<string, unknown>> = {};

function note(name: string, facts: Record<string, unknown>): void {
  seen[name] = { ...seen[name], ...facts };
}

const nameOf = (metadata: grpc.Metadata): string => String(metadata.get('x-name')[0] ?? '');

function trailers(metadata: grpc.Metadata): grpc.Metadata {
  const sent = new grpc.Metadata();
  sent.set('x-who', who);
  sent.set('x-echo-bin', Buffer.from(String(metadata.get('x-name')[0] ?? '')));
  return sent;
}

const handlers: grpc.UntypedServiceImplementation = {
  /** Echoes, its trailers say who. */
  unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
    call.sendMetadata(call.metadata.clone());
    done(null, call.request, trailers(call.metadata));
  },
  /** Fails with a status and a message of more than ASCII. */
  fail: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
    const metadata = trailers(call.metadata);
    done({ code: grpc.status.FAILED_PRECONDITION, details: `${who} refuses: 100 % nö`, metadata });
  },
  /** Echoes each message behind who it is, and ends when the caller has. */
  bidi: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
    call.on('data', (message: Buffer) => call.write(Buffer.concat([Buffer.from(`${who} `), message])));
    call.on('end', () => call.end(trailers(call.metadata)));
    call.on('error', () => {}); // cancelled
  },
  /** As many messages as the request says. */
  download: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
    for (let i = 0; i < Number(call.request.toString()); i++) call.write(Buffer.from(`${who} ${i}`));
    call.end(trailers(call.metadata));
  },
  /** Answers how many messages came. */
  upload: (call: grpc.ServerReadableStream<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
    let count = 0;
    call.on('data', () => {
      count += 1;
    });
    call.on('end', () => done(null, Buffer.from(`${who} ${count}`), trailers(call.metadata)));
  },
  /** One message, then never another: the caller leaves. */
  hang: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
    const name = nameOf(call.metadata);
    const deadline = call.getDeadline();
    note(name, { who, hasDeadline: Number.isFinite(Number(deadline)), leftMs: Number(deadline) - Date.now() });
    call.write(Buffer.from(who));
    call.on('data', () => {}).on('error', () => {});
    call.on('cancelled', () => note(name, { cancelled: true }));
  },
};
const grpcServer = new grpc.Server({
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
});
grpcServer.addService(GRPC_SERVICE, handlers);
grpcServer.bindAsync(`${HOST}:${firstPort}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

/** `<who> <version> <method> <path> <bytes>`; `/seen`, `/events/<name>`, `/fields`; `/load…` is counted. */
function answer(request: Request, response: Response): void {
  const { url = '' } = request;
  if (url === '/seen') {
    response.end(JSON.stringify(seen));
    return;
  }
  const [, events] = /^\/events\/(.+)/.exec(url) ?? [];
  if (events !== undefined) {
    serveEvents(events, response);
    return;
  }
  if (url.startsWith('/load')) note(url, { who, count: Number(seen[url]?.count ?? 0) + 1 });
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on('end', () => {
    if (url === '/fields') response.end(JSON.stringify({ who, raw: request.rawHeaders }));
    else response.end(`${who} ${request.httpVersion} ${request.method} ${url} ${bytes}\n`);
  });
}

/** One event every 50 ms until the caller leaves. */
function serveEvents(name: string, response: Response): void {
  response.setHeader('Content-Type', 'text/event-stream');
  response.writeHead(200);
  let count = 0;
  const send = (): void => {
    const text = `id: ${count}\ndata: ${who} ${count++}\n\n`;
    // The two kinds of response have no write() in common for the compiler.
    if ('stream' in response) response.write(text);
    else response.write(text);
  };
  note(name, { who, closed: false });
  send();
  const timer = setInterval(send, 50);
  response.on('close', () => {
    clearInterval(timer);
    note(name, { closed: true, sent: count });
  });
}

const http1 = createHttpServer(answer);
http1.keepAliveTimeout = 60_000;
const webSockets = new WebSocketServer({ server: http1, perMessageDeflate: true });
webSockets.on('connection', (socket, request) => {
  const name = request.url ?? '';
  note(name, { who, open: true });
  socket.send(`${who} ${String(request.headers.origin ?? '')}`);
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on('ping', (data) => note(name, { pinged: data.toString() }));
  socket.on('close', (code, reason) => note(name, { open: false, code, reason: reason.toString() }));
});
const http2 = createHttp2Server(answer);
http2.on('sessionError', () => {}); // callers that leave
createServer((socket) => {
  socket.on('error', () => {}); // callers that leave
  // Not 'data': a flowing socket does not give node:http2 what was put back.
  socket.once('readable', () => {
    const first: Buffer | null = socket.read();
    if (first === null) return; // it left without a word
    socket.unshift(first);
    (first.subarray(0, 3).toString() === 'PRI' ? http2 : http1).emit('connection', socket);
  });
}).listen(firstPort + 1, HOST);

const { TLS_CERT, TLS_KEY } = process.env;
if (TLS_CERT !== undefined && TLS_KEY !== undefined) {
  const tls = { cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY), allowHTTP1: true };
  createSecureServer(tls, answer)
    .on('sessionError', () => {})
    .listen(firstPort + 2, HOST);
  // As most Node apps are: it knows nothing of HTTP/2.
  createHttpsServer(tls, (request, response) => {
    response.end(`${who} ${request.httpVersion} ${request.method} ${request.url}\n`);
  }).listen(firstPort + 3, HOST);
}
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(0));
