import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { test } from 'vitest';
import { duplexPair } from '../../../../cli/network/egress/duplex-pair.ts';

/** Read by events: `for await` would destroy the stream at its end. */
async function text(stream: Duplex): Promise<string> {
  let all = '';
  stream.on('data', (chunk) => {
    all += chunk;
  });
  await once(stream, 'end');
  return all;
}

test('each end half-closes', async () => {
  const [near, far] = duplexPair();
  near.end('question');
  assert.equal(await text(far), 'question');
  far.end('answer');
  assert.equal(await text(near), 'answer');
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([near.destroyed, far.destroyed], [true, true]);
});

test('who writes waits for who reads', async () => {
  const [near, far] = duplexPair();
  const block = Buffer.alloc(64 * 1024);
  let written = 0;
  const write = (): void => {
    near.write(block, () => {
      written += 1;
      if (written < 100) write();
      else near.end();
    });
  };
  write();
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(written < 5, `${written} blocks are held`);
  assert.equal((await text(far)).length, 100 * block.byteLength);
});

test.each(['resetAndDestroy', 'destroy'] as const)('%s of one end is a reset of the other', async (how) => {
  const [near, far] = duplexPair();
  const failed = once(far, 'error');
  far.write('unread');
  near[how]();
  const [error] = await failed;
  assert.equal(error.code, 'ECONNRESET');
  assert.ok(far.destroyed);
});

test('an end that was read to the end is no reset', async () => {
  const [near, far] = duplexPair();
  let failure: unknown;
  far.on('error', (error) => {
    failure = error;
  });
  far.end('all');
  assert.equal(await text(near), 'all');
  near.end();
  far.resume();
  await once(far, 'close');
  assert.equal(failure, undefined);
});
