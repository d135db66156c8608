import assert from 'node:assert/strict';
import { afterEach, test, vi } from 'vitest';
import { MAX_ARMED_PROOFS } from '../../../agent/limits.ts';
import { ArmedProofs, parseProofResponse } from '../../../agent/proof.ts';

const KEY = Buffer.alloc(32, 1);
const NONCE = 'abcdefghijklmnopqrstuv';
const REQUEST = `GET /.well-known/kube-intercept-proof/${NONCE} HTTP/1.1\r\nHost: web\r\n\r\n`;

function armed(onProved: (appPort: number) => void = () => {}): ArmedProofs {
  const proofs = new ArmedProofs(KEY, 'web-1');
  proofs.arm(NONCE, 1_000, onProved);
  return proofs;
}

function answerTo(proofs: ArmedProofs, request: string): string {
  const verdict = proofs.gate(8080)?.judge(Buffer.from(request));
  assert.ok(typeof verdict === 'object', `no answer but ${String(verdict)}`);
  return verdict.answer;
}

afterEach(() => {
  vi.useRealTimers();
});

test('there is no gate while nothing is expected, nor after it expired', () => {
  vi.useFakeTimers();
  assert.equal(new ArmedProofs(KEY, 'web-1').gate(8080), undefined);
  const proofs = armed();
  assert.notEqual(proofs.gate(8080), undefined);
  vi.advanceTimersByTime(1_000);
  assert.equal(proofs.gate(8080), undefined);
});

test('the answer proves the key, the nonce and the pod', () => {
  const ports: number[] = [];
  const answer = answerTo(
    armed((appPort) => ports.push(appPort)),
    REQUEST,
  );
  assert.equal(parseProofResponse(answer, NONCE, KEY), 'web-1');
  assert.equal(parseProofResponse(answer, NONCE, Buffer.alloc(32, 2)), undefined);
  assert.equal(parseProofResponse(answer, `${NONCE}x`, KEY), undefined);
  assert.equal(parseProofResponse(answer.replace(/web-1$/, 'web-2'), NONCE, KEY), undefined);
  assert.equal(parseProofResponse('HTTP/1.1 404 Not Found\r\n\r\n', NONCE, KEY), undefined);
  assert.deepEqual(ports, [8080]);
});

test('a proof request cut at any byte is waited for', () => {
  const gate = armed().gate(8080);
  for (let length = 0; length < REQUEST.length; length++)
    assert.equal(gate?.judge(Buffer.from(REQUEST.slice(0, length))), 'wait', `${length} bytes`);
});

test('any other first bytes pass at once', () => {
  const gate = armed().gate(8080);
  const others = [
    'GET / HTTP/1.1\r\n',
    'POST',
    '\x16\x03\x01',
    REQUEST.replace(NONCE, 'w'.repeat(22)),
    REQUEST.slice(1),
  ];
  for (const bytes of others) assert.equal(gate?.judge(Buffer.from(bytes)), 'pass', bytes);
});

test('a proof request that never ends passes at the limit', () => {
  const gate = armed().gate(8080);
  assert.equal(gate?.judge(Buffer.from(REQUEST.slice(0, -2) + 'x: y\r\n'.repeat(1_000))), 'pass');
});

test('no more than so many proofs can be expected', () => {
  const proofs = new ArmedProofs(KEY, 'web-1');
  const arm = (n: number): void => proofs.arm(`${NONCE}${n}`, 1_000, () => {});
  for (let n = 0; n < MAX_ARMED_PROOFS; n++) arm(n);
  arm(0);
  assert.throws(() => arm(MAX_ARMED_PROOFS), { code: 'LIMIT' });
});
