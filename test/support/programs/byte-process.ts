// The process on the laptop of test/e2e/bytes.test.ts: <first port> <folder of PostgreSQL's programs, or "">. Listens on five ports in
// a row. Says what it saw as JSON lines on stdout; takes `go <name>` on stdin.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WebSocketServer } from 'ws';
import { howItEnds, keystream, readAll, readLine, writeAll } from './keystream.ts';

const [firstPort = '', postgresPrograms = ''] = process.argv.slice(2);
const port = (place: number): number => Number(firstPort) + place;
const HOST = '127.0.0.1';
const ANSWER_BYTES = 4 * 1024 * 1024;

function report(name: string, seen: Record<string, unknown>): void {
  console.log(JSON.stringify({ name, ...seen }));
}

const signals = new Map<string, { readonly given: Promise<void>; readonly give: () => void }>();
function signal(name: string): { readonly given: Promise<void>; readonly give: () => void } {
  let found = signals.get(name);
  if (found === undefined) {
    let give = (): void => {};
    const given = new Promise<void>((resolve) => {
      give = resolve;
    });
    found = { given, give };
    signals.set(name, found);
  }
  return found;
}
createInterface({ input: process.stdin }).on('line', (line) => {
  const [verb, name = ''] = line.split(' ');
  if (verb === 'go') signal(name).give();
});

/** What a caller asks for with its first line: `<verb> <name> [<argument>]`. */
const VERBS: Record<string, (socket: Socket, name: string, argument: string) => Promise<void>> = {
  async who(socket) {
    socket.end('laptop\n');
  },
  /** Sends back what comes. */
  async echo(socket, name) {
    socket.on('data', (chunk: Buffer) => {
      if (socket.write(chunk)) return;
      socket.pause();
      socket.once('drain', () => socket.resume());
    });
    const digest = await readAll(socket);
    socket.end();
    report(name, digest.result());
  },
  /** Answers when the caller has ended, and a while later. */
  async late(socket, name) {
    const digest = await readAll(socket);
    report(name, digest.result());
    await new Promise((resolve) => setTimeout(resolve, 500));
    await writeAll(socket, keystream(`answer to ${name}`, ANSWER_BYTES));
    socket.end();
  },
  /** Answers and ends, then reads. */
  async early(socket, name) {
    await writeAll(socket, keystream(`answer to ${name}`, ANSWER_BYTES));
    socket.end();
    report(name, (await readAll(socket)).result());
  },
  /** Waits for how the caller ends it. */
  async hold(socket, name) {
    socket.write('held\n');
    report(name, { ended: await howItEnds(socket) });
  },
  /** Resets, when the caller has answered or right behind 64 KiB. */
  async cut(socket, name, when) {
    if (when === 'idle') {
      socket.write('held\n');
      await readLine(socket);
      socket.resetAndDestroy();
    } else socket.write(keystream(name, 64 * 1024).next().value ?? '', () => socket.resetAndDestroy());
  },
  /** Sends `argument` bytes; tells when nobody takes them. */
  async source(socket, name, argument) {
    const onStalled = (bytes: number): void => report(name, { stalled: bytes });
    await writeAll(socket, keystream(name, Number(argument)), { onStalled });
    socket.end();
  },
  /** Reads nothing until it is told to. */
  async sink(socket, name) {
    await signal(name).given;
    report(name, (await readAll(socket)).result());
    socket.end();
  },
  /** Answers when the test says so. */
  async wait(socket, name) {
    await signal(name).given;
    socket.end('go\n');
  },
  /** Passes on what the caller has to say. */
  async note(socket, name, argument) {
    report(name, { stalled: Number(argument) });
    socket.end();
  },
};

async function serve(socket: Socket): Promise<void> {
  socket.on('error', () => {}); // told to whoever waits
  const [verb = '', name = '', argument = ''] = (await readLine(socket)).split(' ');
  await VERBS[verb]?.(socket, name, argument);
}

const bytesServer = createServer({ allowHalfOpen: true }, (socket) => {
  serve(socket).catch((error: NodeJS.ErrnoException) => report('error', { code: error.code ?? error.message }));
}).listen(port(0), HOST);

const greetServer = createServer((socket) => {
  socket.on('error', () => {});
  socket.write('220 laptop at your service\r\n');
  socket.once('data', (chunk) => socket.end(`250 ${chunk}`));
}).listen(port(1), HOST);

const webServer = createHttpServer().listen(port(2), HOST);
new WebSocketServer({ server: webServer, perMessageDeflate: true, maxPayload: 64 * 1024 * 1024 }).on(
  'connection',
  (ws, request) => {
    ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
    ws.on('close', (code, reason) => report(`websocket ${request.url}`, { code, reason: reason.toString() }));
  },
);

/** As gRPC does it: an answer of unknown length, with trailers, that begins before the request has ended. */
const http2Server = createHttp2Server()
  .on('stream', (stream, headers) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200, 'x-path': String(headers[':path']) }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.pipe(stream);
  })
  .listen(port(3), HOST);

const postgres = postgresPrograms === '' ? undefined : startPostgres(postgresPrograms);

function startPostgres(programs: string): ReturnType<typeof spawn> {
  const folder = join(process.env.HOME ?? '.', 'postgres');
  if (!existsSync(folder)) {
    const made = spawnSync(join(programs, 'initdb'), [
      '-D',
      folder,
      '-U',
      'tester',
      '--auth=trust',
      '--no-sync',
      '--locale=C',
    ]);
    if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
  }
  const settings = ['fsync=off', `listen_addresses=${HOST}`, 'unix_socket_directories=', 'cluster_name=laptop'];
  const options = ['-D', folder, '-p', String(port(4)), ...settings.flatMap((setting) => ['-c', setting])];
  return spawn(join(programs, 'postgres'), options, { stdio: ['ignore', 'ignore', 'inherit'] });
}

process.once('SIGTERM', () => {
  postgres?.kill('SIGINT'); // "fast shutdown": it ends its clients' sessions
  for (const server of [bytesServer, greetServer, webServer, http2Server]) server.close();
  process.stdin.destroy();
  if (postgres === undefined) process.exit(0);
  postgres.once('exit', () => process.exit(0));
});
