import assert from 'node:assert/strict';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, test } from 'vitest';
import { type DrainLimits, type DrainPort, startDrainPort } from '../../../agent/drain-port.ts';
import { MAX_DRAIN_PEERS } from '../../../agent/limits.ts';
import { until } from '../../support/until.ts';

const LONG_MS = 60_000;
const open: DrainPort[] = [];
afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

async function start(limits: Partial<DrainLimits>, lastCallerMs = (): number => 0): Promise<DrainPort> {
  const port = await startDrainPort({ port: 0, lastCallerMs, limits });
  open.push(port);
  return port;
}

/** As the kubelet of 1.20 asks: with a slash of its own before the path. */
async function hook({ port }: DrainPort): Promise<{ status: number | undefined; tookMs: number }> {
  const startedMs = performance.now();
  return await new Promise((resolve, reject) => {
    get({ port, path: '//drain', agent: false }, (response) => {
      response.resume().on('end', () => {
        resolve({ status: response.statusCode, tookMs: performance.now() - startedMs });
      });
    }).on('error', reject);
  });
}

describe('a preStop hook', () => {
  test('is answered once callers have had the time to hear that the pod goes', async () => {
    const drain = await start({ minMs: 300, quietMs: 0, maxMs: LONG_MS, signalWaitMs: LONG_MS });
    const answers = [hook(drain), hook(drain)];
    await until(() => drain.waiting === 2, 'both wait');
    drain.stopping();
    for (const { status, tookMs } of await Promise.all(answers)) {
      assert.equal(status, 204);
      assert.ok(tookMs >= 299, `${tookMs} ms`);
    }
    await drain.answered;
  });

  test('that comes after the signal waits from the signal on', async () => {
    const drain = await start({ minMs: 0, quietMs: 0, maxMs: LONG_MS, signalWaitMs: LONG_MS });
    drain.stopping();
    assert.equal((await hook(drain)).status, 204);
  });

  test('waits while callers come, but not for ever', async () => {
    const drain = await start({ minMs: 0, quietMs: LONG_MS, maxMs: 300, signalWaitMs: LONG_MS }, Date.now);
    const answer = hook(drain);
    await until(() => drain.waiting === 1, 'it waits');
    drain.stopping();
    assert.ok((await answer).tookMs >= 299);
  });

  test('of a container that ends alone, and a stranger, are answered after a moment, and change nothing', async () => {
    const drain = await start({ minMs: LONG_MS, quietMs: 0, maxMs: LONG_MS, signalWaitMs: 100 });
    assert.equal((await hook(drain)).status, 204);
    assert.equal(drain.waiting, 0);
  });

  test('connections beyond the limit cut the oldest of who has the most', async () => {
    const drain = await start({ minMs: LONG_MS, quietMs: 0, maxMs: LONG_MS, signalWaitMs: LONG_MS });
    const sockets: Socket[] = [];
    let cut = 0;
    for (let count = 0; count <= MAX_DRAIN_PEERS; count++) {
      const socket = connect(drain.port).on('error', () => {});
      socket.on('close', () => cut++);
      sockets.push(socket);
      await new Promise((resolve) => socket.once('connect', resolve));
    }
    await until(() => cut === 1, 'one is cut');
    assert.equal(sockets[0]?.destroyed, true);
    drain.close();
    await until(() => cut === sockets.length, 'all are cut');
  });
});
