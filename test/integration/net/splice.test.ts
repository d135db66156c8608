import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Mux, type MuxStream } from '../../../src/mux/mux.ts';
import { type Resettable, splice } from '../../../src/net/splice.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { until } from '../../support/until.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const [far] = (await accepted) as [Socket];
  for (const socket of [near, far]) socket.on('error', () => {}); // resets are what is tested
  closers.push(async () => {
    near.destroy();
    far.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return [near, far];
}

async function streamPair(): Promise<[MuxStream, MuxStream]> {
  const [a, b] = MemoryTransport.pair();
  const agent = new Mux(a, { side: 'agent', onOpen: () => {}, onControl: () => {} });
  const accepted = new Promise<MuxStream>((resolve) => {
    const session = new Mux(b, {
      side: 'session',
      onOpen: (stream) => {
        stream.accept();
        resolve(stream);
      },
      onControl: () => {},
    });
    closers.push(() => Promise.all([agent.close(), session.close()]));
  });
  const near = agent.open({ kind: 'incoming', port: 1, host: '' });
  await near.opened;
  return [near, await accepted];
}

// caller – left – (splice) – right – server
describe.each([
  ['two sockets', socketPair, socketPair],
  ['a socket and a stream', socketPair, streamPair],
  ['two streams', streamPair, streamPair],
] as const)('splice of %s', (_name, makeLeft, makeRight) => {
  let caller: Resettable;
  let left: Resettable;
  let right: Resettable;
  let server: Resettable;
  const abort = (): AbortController => new AbortController();

  beforeEach(async () => {
    [caller, left] = await makeLeft();
    [right, server] = await makeRight();
  });

  test('bytes and half-close go through both ways', async () => {
    const spliced = splice(left, right, abort().signal);
    const chunks: Buffer[] = [];
    server.on('data', (chunk: Buffer) => chunks.push(chunk));
    server.once('end', () => server.end(Buffer.concat([...chunks, ...chunks])));
    const request = Buffer.alloc(700_001, 'abcdefg');
    caller.end(request);
    assert.deepEqual(await buffer(caller), Buffer.concat([request, request]));
    await spliced;
  });

  test('a reset by the server is a reset at the caller, and the other way round', async () => {
    const spliced = splice(left, right, abort().signal).catch((error: unknown) => error);
    const answer = text(caller);
    server.write('half an answ');
    await until(() => caller.readableDidRead, 'some arrived');
    server.resetAndDestroy();
    await expect(answer).rejects.toMatchObject({ code: 'ECONNRESET' });
    assert.ok((await spliced) instanceof Error);
    assert.ok(left.destroyed && right.destroyed);
  });

  test('bytes with a reset right behind them do not look like an answer that is complete', async () => {
    const spliced = splice(left, right, abort().signal).catch((error: unknown) => error);
    const answer = text(caller);
    server.write(Buffer.alloc(1_000));
    server.resetAndDestroy();
    await expect(answer).rejects.toMatchObject({ code: 'ECONNRESET' });
    assert.ok((await spliced) instanceof Error);
  });

  test('a caller that resets after its request resets the server', async () => {
    const spliced = splice(left, right, abort().signal).catch((error: unknown) => error);
    caller.write('request');
    await once(server, 'data');
    const failed = once(server, 'error');
    caller.resetAndDestroy();
    assert.equal((await failed)[0].code, 'ECONNRESET');
    assert.ok((await spliced) instanceof Error);
  });

  test('an abort resets both ends and throws the reason', async () => {
    const controller = abort();
    const spliced = splice(left, right, controller.signal);
    const failed = [caller, server].map((end) => once(end.resume(), 'error'));
    controller.abort(new Error('enough'));
    await expect(spliced).rejects.toThrow('enough');
    for (const [error] of await Promise.all(failed)) assert.equal(error.code, 'ECONNRESET');
  });

  test('an end that is gone already resets the other', async () => {
    right.destroy();
    await once(right, 'close');
    const failed = once(caller.resume(), 'error');
    await expect(splice(left, right, abort().signal)).rejects.toThrow();
    assert.equal((await failed)[0].code, 'ECONNRESET');
  });

  test('an abort after both ends are done changes nothing', async () => {
    const controller = abort();
    const spliced = splice(left, right, controller.signal);
    caller.end();
    server.resume().end();
    caller.resume();
    await spliced;
    controller.abort();
  });
});
