// App and process of test/e2e/smuggling.test.ts: `<first port>`. The first port answers HTTP/1.1 and keeps what came, byte for byte; the
// next one tells it as JSON, once nobody has a connection to the first any more, and forgets it.
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';

export interface Recorded {
  readonly who: string;
  /** Everything that came, as latin1. */
  readonly bytes: string;
  /** What a server reads in it: method and target of each request. */
  readonly requests: readonly string[];
}

const firstPort = Number(process.argv[2]);
const who = process.env.WHO ?? 'app';
const HOST = '0.0.0.0';
const chunks: Buffer[] = [];
const requests: string[] = [];
let open = 0;
let waiting: (() => void)[] = [];

const http = createHttpServer((request, response) => {
  requests.push(`${request.method} ${request.url}`);
  request.resume().on('end', () => response.end(`${who}\n`));
});
http.on('connect', (request, socket) => {
  requests.push(`${request.method} ${request.url}`);
  socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
});
http.keepAliveTimeout = 60_000;
createServer({ allowHalfOpen: true }, (socket) => {
  open += 1;
  socket.on('error', () => {}); // 'close' follows
  socket.on('close', () => {
    open -= 1;
    if (open > 0) return;
    for (const tell of waiting) tell();
    waiting = [];
  });
  http.emit('connection', socket);
  socket.on('data', (chunk) => chunks.push(chunk));
}).listen(firstPort, HOST);

createHttpServer(async (request, response) => {
  if (request.url === '/healthz') {
    response.end();
    return;
  }
  if (open > 0) await new Promise<void>((resolve) => waiting.push(resolve));
  const recorded: Recorded = {
    who,
    bytes: Buffer.concat(chunks.splice(0)).toString('latin1'),
    requests: requests.splice(0),
  };
  response.end(JSON.stringify(recorded));
}).listen(firstPort + 1, HOST);
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(0));
