import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'vitest';
import { MAX_OPEN_COPIES } from '../../../agent/limits.ts';
import type { MuxStream } from '../../../src/mux/mux.ts';
import type { InterceptStatus } from '../../../src/protocol/control.ts';
import { type AgentWorld, startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { answeredBy, ask, httpApp, httpProcess, type Seen, seeingServer, withHeader } from './support/http.ts';
import { acceptWith, refuseAll, type SessionDouble } from './support/session-double.ts';
import { dial, echoAs, exchange, readAll, until } from './support/tcp.ts';

const NONCE = '0123456789abcdef0123456789abcdef';

/** What a mirror got, whole. */
function collect(into: string[]): (stream: MuxStream) => void {
  return acceptWith((stream) => {
    void readAll(stream).then(({ bytes, how }) => {
      into.push(`${bytes.toString()} (${how})`);
      stream.end('an answer that nobody wants');
    });
  });
}

async function mirroring(
  world: AgentWorld,
  onIncoming: (stream: MuxStream) => void,
  key?: string,
): Promise<SessionDouble> {
  const session = await world.dial({ user: 'eve', onIncoming });
  const filter = key === undefined ? {} : { filter: withHeader('x-user', key) };
  await session.request('claim', claimOf([intercept(world.appPort, { mirror: true, to: 'laptop', ...filter })]));
  return session;
}

async function statusOf(world: AgentWorld): Promise<readonly InterceptStatus[]> {
  const visitor = await world.dial();
  return (await visitor.request('status', {})).intercepts;
}

test('a mirror of a port has all that callers send, and the app answers', async () => {
  const world = await startWorld();
  const copies: string[] = [];
  await mirroring(world, collect(copies));
  assert.equal((await exchange(world.routePort, 'hello')).bytes.toString(), 'app:hello');
  await until(() => copies.length === 1, 'the copy is there');
  assert.deepEqual(copies, ['hello (end)']);
  await world.close();
});

test('mirrors stand beside the session that has the port, and beside each other', async () => {
  const world = await startWorld();
  const [first, second]: string[][] = [[], []];
  await mirroring(world, collect(first ?? []));
  await mirroring(world, collect(second ?? []));
  await world.dialIntercepting({ onIncoming: acceptWith(echoAs('laptop')) });
  assert.equal((await exchange(world.routePort, 'x')).bytes.toString(), 'laptop:x');
  await until(() => first?.length === 1 && second?.length === 1, 'both copies are there');
  await world.close();
});

test('a mirror with a filter has copies of the requests that match, whoever answers them', async () => {
  const world = await startWorld(httpApp(seeingServer('app')));
  const seen: string[] = [];
  const server = seeingServer('eve', (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.end('dropped');
  });
  await mirroring(world, httpProcess(server), 'ann');
  const ann = await world.dial({ user: 'ann', onIncoming: httpProcess(seeingServer('ann')) });
  assert.equal(await answeredBy(world.routePort, { 'x-user': 'ann' }, { path: '/1' }), 'app');
  assert.equal(await answeredBy(world.routePort, { 'x-user': 'bob' }, { path: '/2' }), 'app');
  await ann.request(
    'claim',
    claimOf([intercept(world.appPort, { filter: withHeader('x-user', 'ann'), to: 'laptop' })]),
  );
  assert.equal(
    await answeredBy(world.routePort, { 'x-user': 'ann' }, { path: '/3', method: 'POST', body: 'b' }),
    'ann',
  );
  await until(() => seen.length === 2, 'both copies are there');
  assert.deepEqual(seen, ['GET /1', 'POST /3']);
  await world.close();
});

test('a mirror that refuses, is silent, crashes or is gone changes nothing for callers, and is counted', async () => {
  const laptops: Record<string, (stream: MuxStream) => void> = {
    refuses: refuseAll,
    crashes: acceptWith((stream) => stream.on('data', () => stream.resetAndDestroy())),
    'never reads': acceptWith((stream) => stream.pause()),
  };
  const body = 'x'.repeat(2_500_000);
  for (const [what, onIncoming] of Object.entries(laptops))
    for (const key of [undefined, 'ann']) {
      const world = await startWorld(httpApp(seeingServer('app')));
      const session = await mirroring(world, onIncoming, key);
      for (let n = 0; n < 3; n++) {
        const answer = await ask(world.routePort, { 'x-user': 'ann' }, { method: 'POST', body });
        assert.equal((JSON.parse(answer.text) as Seen).body.length, body.length, what);
      }
      await until(() => session.streams.every(({ destroyed }) => destroyed), `${what}: the copies are cut`);
      const [mirror] = await statusOf(world);
      assert.deepEqual([mirror?.mirror, mirror?.dropped, mirror?.open], [true, 3, 0], `${what}, filter ${key}`);
      session.cut();
      assert.equal(await answeredBy(world.routePort, { 'x-user': 'ann' }), 'app');
      await world.close();
    }
});

test('a laptop that takes no copies has no more than so many open, the rest is dropped', async () => {
  const requests = MAX_OPEN_COPIES + 4;
  for (const key of [undefined, 'ann']) {
    const world = await startWorld(httpApp(seeingServer('app')));
    const session = await mirroring(world, () => {}, key); // never says OPENED
    const agent = new Agent({ keepAlive: key !== undefined });
    await Promise.all(
      Array.from({ length: requests }, () => answeredBy(world.routePort, { 'x-user': 'ann' }, { agent })),
    );
    await until(() => session.streams.length === MAX_OPEN_COPIES, 'as many as may be are open');
    const [mirror] = await statusOf(world);
    assert.deepEqual([mirror?.open, mirror?.dropped], [MAX_OPEN_COPIES, requests - MAX_OPEN_COPIES]);
    session.streams[0]?.refuse('refused');
    await session.request('status', {}); // behind it in the tunnel
    assert.equal((await statusOf(world))[0]?.open, MAX_OPEN_COPIES - 1);
    await answeredBy(world.routePort, { 'x-user': 'ann' }, { agent });
    await until(() => session.streams.length === MAX_OPEN_COPIES + 1, 'there is room for one more');
    for (const stream of session.streams) if (!stream.destroyed) stream.refuse('refused');
    agent.destroy();
    await world.close();
  }
});

test('a laptop that is cut in the middle of a copy does not touch the caller', async () => {
  const world = await startWorld();
  const session = await mirroring(
    world,
    acceptWith((stream) => stream.resume()),
  );
  const caller = await dial(world.routePort);
  const outcome = readAll(caller);
  caller.write('one ');
  await until(() => session.streams.length === 1, 'the copy is open');
  session.cut();
  await until(() => world.agent.stats().sessions === 0, 'the agent knows');
  caller.end('two');
  assert.equal((await outcome).bytes.toString(), 'app:one two');
  await world.close();
});

test('a mirror of a whole port that is read as HTTP for somebody else has every request', async () => {
  const world = await startWorld(httpApp(seeingServer('app')));
  const seen: string[] = [];
  const server = seeingServer('eve', (request, response) => {
    seen.push(request.url ?? '');
    response.end();
  });
  await mirroring(world, httpProcess(server));
  const ann = await world.dial({ user: 'ann', onIncoming: httpProcess(seeingServer('ann')) });
  await ann.request(
    'claim',
    claimOf([intercept(world.appPort, { filter: withHeader('x-user', 'ann'), to: 'laptop' })]),
  );
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (const path of ['/1', '/2', '/3']) await answeredBy(world.routePort, { 'x-user': 'ann' }, { path, agent });
  await until(() => seen.length === 3, 'all copies are there');
  agent.destroy();
  await world.close();
});

test('a proof request is not copied, however late it comes; what is none is, with its first byte', async () => {
  for (const key of [undefined, 'ann']) {
    const world = await startWorld(httpApp(seeingServer('app')));
    const copies: string[] = [];
    const session = await mirroring(world, collect(copies));
    if (key !== undefined) await mirroring(world, refuseAll, key); // the port is read as HTTP
    await session.request('expectProof', { nonce: NONCE, ttlMs: 60_000 });
    const late = async (parts: readonly string[]): Promise<void> => {
      const appSockets = world.app.sockets.size;
      const caller = await dial(world.routePort);
      const outcome = readAll(caller);
      await until(() => world.app.sockets.size > appSockets, 'the agent has not waited for its first byte');
      for (const part of parts) {
        caller.write(part);
        await new Promise((resolve) => setImmediate(resolve));
      }
      caller.end();
      assert.match((await outcome).bytes.toString(), /"by":"app"/);
    };
    await late(['GET /.well-known', `/kube-intercept-proof/${NONCE} HTTP/1.1\r\nHost: a\r\n`, '\r\n']);
    await late(['GET /.well-known', '/other HTTP/1.1\r\nHost: a\r\n', '\r\n']);
    await until(() => copies.length > 0, 'the copy is there');
    assert.deepEqual(copies, ['GET /.well-known/other HTTP/1.1\r\nHost: a\r\n\r\n (end)'], `filter ${key}`);
    await world.close();
  }
});
