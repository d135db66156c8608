import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toStreamId } from '../../../src/ids.ts';
import { agentHandshake, sessionHandshake } from '../../../src/mux/handshake.ts';
import { Mux } from '../../../src/mux/mux.ts';
import { encodeFrame } from '../../../src/protocol/codec.ts';
import { computeProof } from '../../../src/protocol/handshake.ts';
import { CARRIERS, type CarrierPair } from '../../support/carriers.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { deadlineMs, hello, key, next, offer, pod, refused, say, session } from './support/handshake-scene.ts';

let a: MemoryTransport;
let b: MemoryTransport;

beforeEach(() => {
  [a, b] = MemoryTransport.pair();
});
afterEach(() => a.terminate());

test.each(CARRIERS)(
  'both ends learn of each other, and what follows at once is not lost, over $name',
  async ({ connect }) => {
    const pair: CarrierPair = await connect();
    const agentSide = agentHandshake(pair.agent, { key, pod, deadlineMs }).then((result) => {
      assert.deepEqual(result.session, session);
      assert.equal(result.version, 2);
      const mux = new Mux(result.transport, { side: 'agent', onOpen: () => {}, onControl: () => {} });
      const stream = mux.open({ kind: 'incoming', port: 80, host: '10.0.0.1' });
      stream.write('right behind the welcome');
      return mux;
    });
    const result = await sessionHandshake(pair.session, { key, session, deadlineMs });
    assert.equal(result.version, 2);
    assert.equal(result.pod, pod);
    // The session takes its time; the messages wait in the transport.
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const first = new Promise<string>((resolve) => {
      const mux = new Mux(result.transport, {
        side: 'session',
        onOpen: (stream) => {
          void once(stream, 'data').then(async ([chunk]) => {
            await mux.close();
            resolve(String(chunk));
          });
        },
        onControl: () => {},
      });
    });
    assert.equal(await first, 'right behind the welcome');
    await (await agentSide).close();
    await pair.close();
  },
);

test('a session with another key is refused, and both ends say so', async () => {
  const agent = agentHandshake(a, { key: randomBytes(32), pod, deadlineMs });
  const other = sessionHandshake(b, { key, session, deadlineMs });
  await expect(agent).rejects.toMatchObject(refused);
  await expect(other).rejects.toMatchObject(refused);
});

test('an agent that does not hold the key is not believed', async () => {
  const result = sessionHandshake(b, { key, session, deadlineMs });
  say(a, hello());
  const proof = await next(a);
  assert.ok(proof.type === 'proof');
  const said = {
    versions: [2],
    version: 2,
    agentNonce: proof.nonce,
    sessionNonce: proof.nonce,
    agentEcdh: proof.ecdh,
    sessionEcdh: proof.ecdh,
    session,
    pod,
    link: proof.link,
  };
  const answer = { received: 0 };
  say(a, { type: 'welcome', ...answer, mac: computeProof(randomBytes(32), 'agent', said, answer) });
  await expect(result).rejects.toMatchObject(refused);
});

test("the session's own proof sent back as a welcome is not believed", async () => {
  const result = sessionHandshake(b, { key, session, deadlineMs });
  say(a, hello());
  const proof = await next(a);
  assert.ok(proof.type === 'proof');
  say(a, { type: 'welcome', received: 0, mac: proof.mac });
  await expect(result).rejects.toMatchObject(refused);
});

test('a proof recorded on an earlier connection is refused', async () => {
  b.recordSent = true;
  await Promise.all([agentHandshake(a, { key, pod, deadlineMs }), sessionHandshake(b, { key, session, deadlineMs })]);
  const recorded = b.sent[0];
  assert.ok(recorded !== undefined);
  const [again, thief] = MemoryTransport.pair();
  const agent = agentHandshake(again, { key, pod, deadlineMs });
  thief.onMessage = () => {};
  thief.send(recorded);
  await expect(agent).rejects.toMatchObject(refused);
});

test.each([
  ['none', ''],
  ['one too short', 'A'.repeat(42)],
  ['zero', Buffer.alloc(32).toString('base64url')],
  // RFC 7748 §6.1: points of low order, whose agreement is zero whatever the other key is.
  ['one of low order', Buffer.from([1, ...Buffer.alloc(31)]).toString('base64url')],
  ['another of low order', 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'],
])('a public key that is no key is refused by either end: %s', async (_name, ecdh) => {
  const bad = ecdh.length === 64 ? Buffer.from(ecdh, 'hex').toString('base64url') : ecdh;
  const atSession = sessionHandshake(b, { key, session, deadlineMs });
  say(a, hello([2], bad));
  await expect(atSession).rejects.toMatchObject(refused);

  const [agentEnd, thief] = MemoryTransport.pair();
  const atAgent = agentHandshake(agentEnd, { key, pod, deadlineMs });
  const said = await next(thief);
  assert.ok(said.type === 'hello');
  const link = offer();
  const nonce = said.nonce;
  const transcript = {
    versions: said.versions,
    version: 2,
    agentNonce: nonce,
    sessionNonce: nonce,
    agentEcdh: said.ecdh,
    sessionEcdh: bad,
    session,
    pod,
    link,
  };
  const mac = computeProof(key, 'session', transcript);
  say(thief, { type: 'proof', version: 2, nonce, ecdh: bad, session, link, mac });
  await expect(atAgent).rejects.toMatchObject(refused);
});

test('no version in common is TUNNEL_VERSION at the session', async () => {
  const result = sessionHandshake(b, { key, session, deadlineMs });
  say(a, hello([99]));
  await expect(result).rejects.toMatchObject({ code: 'TUNNEL_VERSION' });
});

test.each([
  ['noise', randomBytes(100)],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  [
    'an open frame',
    encodeFrame({
      type: 'open',
      streamId: toStreamId(1),
      kind: 'tcp',
      port: 1,
      host: 'x',
      firstBytes: Buffer.alloc(0),
    }),
  ],
  ['a ping', encodeFrame({ type: 'ping', token: 1n })],
  [
    'a control request',
    encodeFrame({ type: 'control', text: '{"type":"request","id":1,"method":"status","params":{}}' }),
  ],
  ['a message above 4 KiB', encodeFrame({ type: 'control', text: `{"type":"proof","x":"${'x'.repeat(5000)}"}` })],
  ['an empty message', Buffer.alloc(0)],
])('%s before authentication closes the tunnel', async (_name, message) => {
  const agent = agentHandshake(a, { key, pod, deadlineMs });
  const closed = new Promise((resolve) => {
    b.onClose = resolve;
  });
  b.onMessage = () => {};
  b.send(message);
  await expect(agent).rejects.toMatchObject(refused);
  await closed;
});

test('a peer that says nothing is given up after the deadline, by either side', async () => {
  b.onMessage = () => {};
  await expect(agentHandshake(a, { key, pod, deadlineMs: 30 })).rejects.toMatchObject(refused);
  const [c] = MemoryTransport.pair();
  await expect(sessionHandshake(c, { key, session, deadlineMs: 30 })).rejects.toMatchObject({ code: 'TUNNEL_LOST' });
});

test('a carrier that breaks in the handshake is TUNNEL_LOST, not a refusal', async () => {
  const result = sessionHandshake(b, { key, session, deadlineMs });
  say(a, hello());
  await next(a);
  a.breakWire();
  await expect(result).rejects.toMatchObject({ code: 'TUNNEL_LOST' });
});

test('an aborted handshake throws the reason and closes the carrier', async () => {
  const abort = new AbortController();
  const agent = agentHandshake(a, { key, pod, deadlineMs, signal: abort.signal });
  abort.abort(new Error('no longer wanted'));
  await expect(agent).rejects.toThrow('no longer wanted');
});
