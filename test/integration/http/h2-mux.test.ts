import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { afterEach, beforeEach, test } from 'vitest';
import { Mux, type MuxStream } from '../../../src/mux/mux.ts';
import { splice } from '../../../src/net/splice.ts';
import { CARRIERS, type CarrierPair } from '../../support/carriers.ts';
import { ask, eventually, World } from './h2-world.ts';

let world: World;
let pair: CarrierPair;
let session: Mux;
let agent: Mux;
let streams: MuxStream[];
let isAway: boolean;

beforeEach(async () => {
  world = new World();
  streams = [];
  isAway = false;
  const carrier = CARRIERS[0];
  assert.ok(carrier !== undefined);
  pair = await carrier.connect();
});
afterEach(async () => {
  world.close();
  await Promise.all([session.close(), agent.close()]);
  await pair.close();
});

/** A tunnel whose streams the session joins to a port of its own. */
function tunnelTo(port: number): void {
  session = new Mux(pair.session, {
    side: 'session',
    onControl: () => {},
    onOpen: (stream) => {
      if (isAway) {
        stream.refuse('refused');
        return;
      }
      streams.push(stream);
      const process = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      stream.accept();
      splice(stream, process, new AbortController().signal).catch(() => {}); // resets are part of the test
    },
  });
  agent = new Mux(pair.agent, { side: 'agent', onControl: () => {}, onOpen: (stream) => stream.refuse('refused') });
}

/** A connection to the process, as the agent opens it. */
async function overTunnel(): Promise<MuxStream> {
  const stream = agent.open({ kind: 'incoming', port: 8080, host: '10.1.2.3' });
  await stream.opened;
  return stream;
}

test('a process at the end of a tunnel answers over one stream of it, which ends with the caller', async () => {
  const process = await world.serve((stream) => {
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength;
    });
    stream.on('end', () => {
      if (stream.closed) return;
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-bytes': String(bytes) }));
      stream.end(Buffer.alloc(bytes, 'x'));
    });
  });
  tunnelTo(process.port);
  const toProcess = world.answerer('dev', 0, { connect: overTunnel });
  const port = await world.route(() => ({ answerer: toProcess }));
  const client = world.client(port);
  const big = Buffer.alloc(512 * 1024);
  const answers = await Promise.all(
    [big, big, Buffer.from('a')].map((body) => ask(client, { ':method': 'POST' }, body)),
  );
  assert.deepEqual(
    answers.map(({ status, body, trailers }) => [status, body.length, trailers?.['x-bytes']]),
    [big.byteLength, big.byteLength, 1].map((bytes) => [200, bytes, String(bytes)]),
  );
  assert.equal(agent.stats().openStreams, 1);
  client.close();
  await eventually(() => world.routers === 0 && process.sessions.size === 0);
  await eventually(() => agent.stats().openStreams === 0 && session.stats().openStreams === 0);
});

test('a stream of the tunnel that is lost: 502 before the head, and the next request goes where its session says', async () => {
  const process = await world.serve(() => {});
  tunnelTo(process.port);
  const app = await world.serve((stream) => stream.respond({ ':status': 204 }, { endStream: true }));
  const toProcess = world.answerer('dev', 0, {
    fallback: world.answerer('app', app.port),
    connect: overTunnel,
  });
  const port = await world.route(() => ({ answerer: toProcess }));
  const client = world.client(port);
  const lost = ask(client, { ':method': 'POST' }, 'x');
  await eventually(() => world.open.get('dev') === 1);
  isAway = true;
  for (const stream of streams) stream.resetAndDestroy();
  assert.equal((await lost).status, 502);
  assert.equal((await ask(client, {})).status, 204);
});
