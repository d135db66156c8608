import assert from 'node:assert/strict';
import { test } from 'vitest';
import { InterceptorError } from '../../../src/errors.ts';
import {
  computeProof,
  hashTranscript,
  isNonce,
  parseTunnelKey,
  type Transcript,
  verifyProof,
} from '../../../src/protocol/handshake.ts';
import { deriveSealKeys, KeyAgreement } from '../../../src/protocol/key-agreement.ts';
import { chooseVersion } from '../../../src/protocol/versions.ts';

const key = Buffer.alloc(32, 7);
const transcript: Transcript = {
  versions: [1, 2],
  version: 2,
  agentNonce: 'A'.repeat(43),
  sessionNonce: 'B'.repeat(43),
  agentEcdh: 'D'.repeat(43),
  sessionEcdh: 'E'.repeat(43),
  session: { sessionId: 's1', user: 'ada', host: 'lap' },
  pod: 'web-1',
  link: { id: 'L'.repeat(22), begun: true, received: 5, resumeMs: 30_000 },
};

test('a proof is accepted for its role, key and transcript', () => {
  assert.ok(verifyProof(key, 'session', transcript, computeProof(key, 'session', transcript)));
});

test('a proof is worth nothing for the other role, another key or any other transcript', () => {
  const mac = computeProof(key, 'session', transcript);
  assert.ok(!verifyProof(key, 'agent', transcript, mac));
  assert.ok(!verifyProof(Buffer.alloc(32, 8), 'session', transcript, mac));
  const others: Partial<Transcript>[] = [
    { versions: [1] },
    { version: 1 },
    { agentNonce: 'C'.repeat(43) },
    { sessionNonce: 'C'.repeat(43) },
    { session: { ...transcript.session, sessionId: 's2' } },
    { session: { ...transcript.session, user: 'eve' } },
    { session: { ...transcript.session, host: 'lap2' } },
    { pod: 'web-2' },
    { agentEcdh: 'F'.repeat(43) },
    { sessionEcdh: 'F'.repeat(43) },
    { link: { ...transcript.link, id: 'M'.repeat(22) } },
    { link: { ...transcript.link, begun: false } },
    { link: { ...transcript.link, received: 6 } },
    { link: { ...transcript.link, resumeMs: 0 } },
  ];
  for (const other of others)
    assert.ok(!verifyProof(key, 'session', { ...transcript, ...other }, mac), JSON.stringify(other));
});

test('the keys and the proof of the agent depend on what the welcome says', () => {
  const answers = [{ received: 0 }, { received: 1 }, { unknown: true } as const];
  const macs = answers.map((answer) => computeProof(key, 'agent', transcript, answer));
  const hashes = answers.map((answer) => hashTranscript(transcript, answer).toString('hex'));
  assert.equal(new Set(macs).size, 3);
  assert.equal(new Set(hashes).size, 3);
});

test('both sides agree on the same keys, one for each direction, and on others in every handshake', () => {
  const [agent, session] = [new KeyAgreement(), new KeyAgreement()];
  const shared = agent.agree(session.publicKey);
  assert.deepEqual(session.agree(agent.publicKey), shared);
  const hash = hashTranscript(transcript, { received: 0 });
  const keys = deriveSealKeys(key, shared, hash);
  const others = [
    deriveSealKeys(Buffer.alloc(32, 8), shared, hash),
    deriveSealKeys(key, new KeyAgreement().agree(session.publicKey), hash),
    deriveSealKeys(key, shared, hashTranscript(transcript, { received: 1 })),
  ];
  const all = [keys, ...others].flatMap((pair) => [pair.agentToSession, pair.sessionToAgent]);
  assert.ok(all.every((each) => each.byteLength === 32));
  assert.equal(new Set(all.map((each) => Buffer.from(each).toString('hex'))).size, 8);
});

test('a character moved from one field to the next changes the proof', () => {
  const session = { sessionId: 's1', user: 'ad', host: 'alap' };
  assert.notEqual(computeProof(key, 'session', transcript), computeProof(key, 'session', { ...transcript, session }));
});

test.each(['', 'x', '=', 'A'.repeat(43), 'A'.repeat(10_000)])('the text %j is no proof', (mac) => {
  assert.ok(!verifyProof(key, 'session', transcript, mac));
});

test('a nonce is 32 bytes of base64url', () => {
  assert.ok(isNonce(Buffer.alloc(32, 255).toString('base64url')));
  for (const text of ['', 'A'.repeat(42), 'A'.repeat(44), `${'A'.repeat(42)}+`]) assert.ok(!isNonce(text), text);
});

test('the key is read from the text of the Secret, and nothing else passes for one', () => {
  assert.deepEqual(parseTunnelKey(`${key.toString('base64url')}\n`), key);
  for (const text of [
    '',
    'abc',
    Buffer.alloc(31).toString('base64url'),
    Buffer.alloc(33).toString('base64url'),
    '!'.repeat(43),
  ]) {
    assert.throws(() => parseTunnelKey(text), InterceptorError, text);
  }
});

test('the newest version both sides speak is chosen, or none', () => {
  assert.equal(chooseVersion([1, 2, 9], [3, 2, 1]), 2);
  assert.throws(
    () => chooseVersion([4], [3, 2]),
    (error) =>
      error instanceof InterceptorError &&
      error.code === 'TUNNEL_VERSION' &&
      /speaks protocol 4.*3, 2/.test(error.message),
  );
});
