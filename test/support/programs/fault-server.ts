// App and process of test/faults: answers requests, echoes WebSockets and transfers, and checks every byte that comes.
// Arguments: `watch`: starts itself again whenever it ends, as a developer's watcher does.
import { spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import { type WebSocket, WebSocketServer } from 'ws';
import { ANSWER_BYTES, NUMBER_BYTES, WRONG_BYTES_CODE } from './fault-lines.ts';
import { Pattern, PatternCheck } from './pattern.ts';

const [mode] = process.argv.slice(2);
const who = process.env.WHO ?? 'app';
const drainMs = Number(process.env.DRAIN_MS ?? 3000);

if (mode === 'watch') watch();
else serve();

function watch(): void {
  let isEnding = false;
  const start = (): void => {
    const child = spawn(process.execPath, [process.argv[1] ?? ''], { stdio: 'inherit' });
    const forward = (): void => {
      isEnding = true;
      child.kill('SIGTERM');
    };
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, forward);
    child.once('exit', () => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, forward);
      if (isEnding) process.exit(0);
      start();
    });
  };
  start();
}

function serve(): void {
  let isDraining = false;
  const server = createServer((request, response) => {
    if (isDraining) response.setHeader('Connection', 'close');
    response.setHeader('x-who', `${who} ${hostname()}`);
    const [, kind, name = ''] = (request.url ?? '').split('/');
    if (kind === 'r') answer(request, response, name);
    else if (kind === 'echo') echo(request, response, name);
    else response.end(`${who} ${hostname()}\n`);
  });
  server.keepAliveTimeout = 60_000;
  server.requestTimeout = 0; // a transfer may take long
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on('connection', (socket, request) => echoMessages(socket, (request.url ?? '').split('/')[2] ?? ''));
  server.listen(Number(process.env.PORT ?? 8080), process.env.LISTEN_HOST ?? '0.0.0.0');
  const end = (): void => {
    isDraining = true;
    setTimeout(() => {
      for (const socket of sockets.clients) socket.close(1001);
      server.close(() => process.exit(0));
      server.closeIdleConnections();
      setTimeout(() => process.exit(0), 2_000);
    }, drainMs);
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
}

function answer(request: IncomingMessage, response: ServerResponse, id: string): void {
  const check = new PatternCheck(`question ${id}`);
  request.on('data', (chunk: Buffer) => check.take(chunk));
  request.on('error', () => {}); // the caller tells
  request.on('end', () => {
    response.setHeader('x-wrong', check.ended(Number(request.headers['x-bytes'])));
    response.end(new Pattern(`answer ${id}`).next(ANSWER_BYTES));
  });
}

function echo(request: IncomingMessage, response: ServerResponse, name: string): void {
  const check = new PatternCheck(name);
  response.writeHead(200, { trailer: 'x-wrong' });
  response.flushHeaders();
  request.on('data', (chunk: Buffer) => {
    check.take(chunk);
    if (response.write(chunk)) return;
    request.pause();
    response.once('drain', () => request.resume());
  });
  request.on('error', () => response.destroy());
  request.on('end', () => {
    response.addTrailers({ 'x-wrong': String(check.ended(Number(request.headers['x-bytes']))) });
    response.end();
  });
}

function echoMessages(socket: WebSocket, name: string): void {
  const check = new PatternCheck(name);
  let next = 0;
  socket.send(`${who} ${hostname()}`);
  socket.on('error', () => {}); // 'close' follows
  socket.on('message', (data: Buffer) => {
    check.take(data.subarray(NUMBER_BYTES));
    const isInOrder = data.readUInt32BE(0) === next++;
    if (check.wrong > 0 || !isInOrder) socket.close(WRONG_BYTES_CODE, String(Math.max(1, check.wrong)));
    else socket.send(data);
  });
}
