import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, createServer } from 'node:http2';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, test, vi } from 'vitest';
import { frame, headersFrames, PREFACE, SETTINGS } from '../../../src/http/h2/frames.ts';
import { claimOf, intercept } from './support/claims.ts';
import { CONTAINER_BYTES, type HostileWorld, hostileWorld } from './support/hostile.ts';
import { withHeader } from './support/http.ts';
import { dialSession } from './support/session-double.ts';
import { until } from './support/tcp.ts';

// Thousands of connections on a machine that may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

const [DATA, HEADERS, PRIORITY, RST_STREAM, PING, WINDOW_UPDATE, CONTINUATION] = [0, 1, 2, 3, 6, 8, 9];
const [END_STREAM, END_HEADERS] = [0x1, 0x4];
/** A flood that waits for nothing to be read stops when this waits in our own queue. */
const MAX_UNSENT_BYTES = 1024 * 1024;
const SHED = 'too much is waiting, connections are reset';
const CANCEL = Buffer.from([0, 0, 0, 8]);
const HELLO = Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, Buffer.alloc(0))]);
const REQUEST: readonly (readonly [string, string])[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'web'],
  [':path', '/'],
];

let world: HostileWorld;
let answerBytes = 2;
/** What an app answers that nobody can read as fast as it is opened. */
const LARGE_ANSWER_BYTES = 4 * 1024 * 1024;

beforeAll(async () => {
  const server = createServer();
  server.on('stream', (stream) => {
    stream.on('error', () => {}); // callers that vanish are what it is about
    stream.respond({ ':status': 200 });
    stream.end(Buffer.alloc(answerBytes, 'a'));
  });
  server.on('session', (session) => session.on('error', () => {}));
  world = await hostileWorld((socket) => server.emit('connection', socket));
  const session = await dialSession({ port: world.agent.tunnelPort, key: world.agent.key });
  const filtered = intercept(world.app.port, { filter: withHeader('x-user', 'ann'), to: 'laptop' });
  await session.request('claim', claimOf([filtered]));
});
afterAll(async () => {
  await world.close();
});

/** What the agent did with a caller. */
interface Attack {
  readonly socket: Socket;
  readonly reads: boolean;
  /** The agent's GOAWAY, if it said one. */
  goaway: { readonly code: number } | undefined;
  /** Streams that the agent has reset. */
  resets: number;
  isOver: boolean;
}

/** A caller that has said its preface. @param reads false: never reads a byte */
async function attack(reads = true): Promise<Attack> {
  const [socket] = await world.open(1);
  assert.ok(socket !== undefined);
  const made: Attack = { socket, reads, goaway: undefined, resets: 0, isOver: false };
  socket.on('close', () => {
    made.isOver = true;
  });
  let rest = Buffer.alloc(0);
  if (reads) {
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.byteLength >= 9 && rest.byteLength >= 9 + rest.readUIntBE(0, 3)) {
        const length = rest.readUIntBE(0, 3);
        if (rest[3] === RST_STREAM) made.resets += 1;
        if (rest[3] === 0x7) made.goaway = { code: rest.readUInt32BE(13) };
        rest = rest.subarray(9 + length);
      }
    });
    socket.resume();
  }
  socket.write(HELLO);
  return made;
}

/**
 * Writes until the agent has ended the connection, or `most` bytes are out. An agent that is slow to read is waited for; with
 * a caller that reads nothing it may have stopped for good.
 * @returns how often `make` was called
 */
async function flood(made: Attack, make: (round: number) => Buffer, most = 32 * 1024 * 1024): Promise<number> {
  let sent = 0;
  let round = 0;
  const isOver = (): boolean => made.isOver || made.goaway !== undefined;
  const isFull = (): boolean => made.socket.writableLength > MAX_UNSENT_BYTES;
  for (; sent < most && !isOver() && (made.reads || !isFull()); round += 1) {
    const bytes = make(round);
    sent += bytes.byteLength;
    made.socket.write(bytes);
    await new Promise((resolve) => setImmediate(resolve));
    if (made.reads && isFull()) await until(() => isOver() || !isFull(), 'the agent reads on');
  }
  return round;
}

/** Another caller is served, and the agent's memory is bounded. */
async function assertServed(): Promise<void> {
  const client = connectHttp2(`http://127.0.0.1:${world.agent.routePort}`);
  const stream = client.request({ ':path': '/' });
  const [headers] = await once(stream, 'response');
  assert.equal(headers[':status'], 200);
  stream.resume();
  await once(stream, 'close');
  client.close();
  assert.ok(world.peakBytes < CONTAINER_BYTES, `the agent takes ${world.peakBytes} bytes`);
}

async function untilEnded(made: Attack): Promise<void> {
  await until(() => made.goaway !== undefined || made.isOver, 'the agent ends the connection');
}

test('streams opened and reset in a row end their connection (CVE-2023-44487)', async () => {
  const made = await attack();
  let id = -1;
  const pair = (): Buffer => {
    id += 2;
    return Buffer.concat([headersFrames(id, REQUEST), frame(RST_STREAM, 0, id, CANCEL)]);
  };
  await flood(made, () => Buffer.concat(Array.from({ length: 100 }, pair)));
  await untilEnded(made);
  await assertServed();
});

test('a head that goes on for ever in CONTINUATION frames ends its connection (CVE-2024-27316)', async () => {
  const made = await attack();
  const first = headersFrames(1, REQUEST);
  first.writeUInt8(END_STREAM, 4); // END_HEADERS taken away
  made.socket.write(first);
  const field = Buffer.concat([Buffer.from([0, 5]), Buffer.from('x-big'), Buffer.from([100]), Buffer.alloc(100, 'a')]);
  const more = frame(CONTINUATION, 0, 1, Buffer.concat(Array.from({ length: 100 }, () => field)));
  await flood(made, () => more);
  await untilEnded(made);
  await assertServed();
});

test('heads that unpack to a thousand times what they are are refused, or end their connection', async () => {
  const made = await attack();
  // A field of 4,000 bytes goes into the table, then each byte names it again (RFC 7541 §6.1).
  const put = Buffer.concat([Buffer.from([0x40, 1, 0x62, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4_000, 'a')]);
  const bomb = Buffer.concat([headersFrames(1, REQUEST).subarray(9), put, Buffer.alloc(12_000, 0xbe)]);
  const heads = await flood(
    made,
    (round) => frame(HEADERS, END_STREAM | END_HEADERS, 1 + 2 * round, bomb),
    16 * 1024 * 1024,
  );
  // Node ends it once a hundred have come together to more than the session's memory; slower ones it refuses for ever.
  await until(() => made.goaway !== undefined || made.isOver || made.resets === heads, 'the agent refuses each');
  await assertServed();
});

const FLOODS: readonly (readonly [what: string, bytes: Buffer])[] = [
  ['settings', frame(SETTINGS, 0, 0, Buffer.alloc(0))],
  ['pings', frame(PING, 0, 0, Buffer.alloc(8))],
  ['empty data', frame(DATA, 0, 1, Buffer.alloc(0))],
  ['priorities', frame(PRIORITY, 0, 1, Buffer.from([0, 0, 0, 0, 1]))],
  ['windows', frame(WINDOW_UPDATE, 0, 0, Buffer.from([0, 0, 0, 1]))],
  ['frames of no known type', frame(0xee, 0, 0, Buffer.alloc(16))],
];
for (const [what, bytes] of FLOODS) {
  test(`a caller that sends ${what} and reads nothing costs others nothing`, async () => {
    const made = await attack(false);
    const open = headersFrames(1, REQUEST);
    open.writeUInt8(END_HEADERS, 4); // a body is to come
    made.socket.write(open);
    const many = Buffer.concat(Array.from({ length: 1_000 }, () => bytes));
    await flood(made, () => many);
    await assertServed();
    made.socket.destroy();
  });
}

test('callers that open many streams and read nothing lose them before the agent has no memory left', async () => {
  answerBytes = LARGE_ANSWER_BYTES;
  const window = frame(WINDOW_UPDATE, 0, 0, Buffer.from([0x7f, 0, 0, 0]));
  const settings = frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff]));
  const made: Attack[] = [];
  for (let at = 0; at < 20; at += 1) {
    const one = await attack(false);
    made.push(one);
    one.socket.write(Buffer.concat([settings, window]));
    for (let id = 1; id < 200; id += 2) one.socket.write(headersFrames(id, REQUEST));
  }
  const isShed = (): boolean => world.agent.log.some(({ message }) => message === SHED);
  await until(isShed, 'the agent cuts who holds most', 30_000);
  answerBytes = 2;
  await assertServed();
  for (const { socket } of made) socket.destroy();
});
