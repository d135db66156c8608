import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import type { Caller, TestNamespace } from '../support/cluster.ts';
import { type BareSocket, mebibytesPerSecond } from './bare-socket.ts';
import { load } from './load.ts';
import type { BenchSize } from './main.ts';
import { startSession } from './session.ts';
import { compare, median, percentile, type Row } from './stats.ts';

/** Moves bytes over one connection to the Service; prints the milliseconds it took. */
const TRANSFER_CODE = `
const [mode, bytes] = process.argv.slice(1);
const chunk = Buffer.alloc(65536);
const socket = require('node:net').connect(80, 'web', () => {
  const started = performance.now();
  let left = Number(bytes);
  socket.write(mode + ' ' + bytes + '\\n');
  const pump = () => { while (left > 0) { left -= chunk.length; if (!socket.write(chunk)) return socket.once('drain', pump); } };
  if (mode === 'SINK') pump();
  let got = 0;
  socket.on('data', (data) => { got += data.length; });
  socket.on('end', () => { console.log(performance.now() - started); if (mode === 'SOURCE' && got < Number(bytes)) process.exit(1); });
});
`;

/** Requests and bytes through an intercept, beside direct access and beside a bare WebSocket through the API server. */
export async function measureTraffic(namespace: TestNamespace, bare: BareSocket, size: BenchSize): Promise<Row[]> {
  const caller = await namespace.caller();
  const process_ = await startProcess();
  const run = startSession(namespace, ['web', '--port', String(process_.port)]);
  try {
    await run.until('ready', 120_000);
    const measured: Record<string, number[]> = {};
    const note = (name: string, value: number): void => {
      measured[name] = [...(measured[name] ?? []), value];
    };
    for (let i = 0; i < size.repeats; i++) {
      const echo = await bare.roundTrips(size.roundTrips);
      for (const p of [50, 99]) note(`echo${p}`, percentile(echo, p));
      for (const [name, url] of Object.entries({ direct: 'http://direct/', through: 'http://web/' })) {
        const { p50, p99 } = await load(caller, url, 1, size.loadSeconds);
        note(`${name}50`, p50);
        note(`${name}99`, p99);
      }
      note('directRate', (await load(caller, 'http://direct/', 32, size.loadSeconds)).rate);
      note('throughRate', (await load(caller, 'http://web/', 32, size.loadSeconds)).rate);
      note('bareUp', await bare.upload(size.streamBytes));
      note('throughUp', await transfer(caller, 'SOURCE', size.streamBytes));
      note('bareDown', await bare.download(size.streamBytes));
      note('throughDown', await transfer(caller, 'SINK', size.streamBytes));
    }
    const value = (name: string): number => median(measured[name] ?? []);
    return [
      compare('request p50 through the intercept beside a bare echo', value('through50'), value('echo50'), 'ms', {
        atMost: 2.5,
      }),
      compare(
        'request p99 through the intercept beside a bare echo',
        value('through99'),
        value('echo99'),
        'ms',
        undefined,
      ),
      compare(
        'request p50 through the intercept beside direct',
        value('through50'),
        value('direct50'),
        'ms',
        undefined,
      ),
      compare(
        'request p99 through the intercept beside direct',
        value('through99'),
        value('direct99'),
        'ms',
        undefined,
      ),
      compare('requests/s, 32 connections, beside direct', value('throughRate'), value('directRate'), '/s', undefined),
      compare('one stream laptop → pod beside a bare WebSocket', value('throughUp'), value('bareUp'), 'MiB/s', {
        atLeast: 0.6,
      }),
      compare('one stream pod → laptop beside a bare WebSocket', value('throughDown'), value('bareDown'), 'MiB/s', {
        atLeast: 0.6,
      }),
    ];
  } finally {
    await run.interrupt();
    process_.server.close();
  }
}

/** The developer's process: `SOURCE n` and `SINK n` move bytes with nothing around them; all else is HTTP with a small answer. */
async function startProcess(): Promise<{ server: Server; port: number }> {
  const http = createHttpServer((request, response) => {
    request.resume().on('end', () => response.end('hello\n'));
  });
  const server = createServer((socket) => {
    socket.on('error', () => {}); // callers that leave
    socket.once('data', (first) => {
      const [, mode, bytes] = /^(SOURCE|SINK) (\d+)\n/.exec(first.toString('latin1', 0, 32)) ?? [];
      if (mode === 'SOURCE') writeBytes(socket, Number(bytes));
      else if (mode === 'SINK') countBytes(socket, Number(bytes) - (first.length - first.indexOf(10) - 1));
      else {
        socket.pause();
        socket.unshift(first);
        http.emit('connection', socket);
        socket.resume();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { server, port: address.port };
}

function writeBytes(socket: Socket, bytes: number): void {
  const chunk = Buffer.alloc(64 * 1024);
  let left = bytes;
  const pump = (): void => {
    while (left > 0) {
      left -= chunk.length;
      if (!socket.write(chunk)) {
        socket.once('drain', pump);
        return;
      }
    }
    socket.end();
  };
  pump();
}

function countBytes(socket: Socket, bytes: number): void {
  let left = bytes;
  const count = (length: number): void => {
    left -= length;
    if (left <= 0) socket.end('done');
  };
  socket.on('data', (chunk: Buffer) => count(chunk.length));
  count(0);
}

/** MiB/s of one TCP connection, by the caller's clock. */
async function transfer(caller: Caller, mode: 'SOURCE' | 'SINK', bytes: number): Promise<number> {
  const command = ['node', '-e', TRANSFER_CODE, mode, String(bytes)];
  const { code, stdout, stderr } = await caller.exec(command, { timeoutMs: 180_000 });
  if (code !== 0) throw new Error(`${mode} of ${bytes} bytes failed: ${stderr}`);
  return mebibytesPerSecond(bytes, performance.now() - Number(stdout));
}
