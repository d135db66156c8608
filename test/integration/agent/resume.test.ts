import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { afterEach, beforeEach, test } from 'vitest';
import type { Holder, Intercept } from '../../../src/protocol/control.ts';
import { type AgentWorld, startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { answeredBy, ask, httpApp, httpProcess, seeingServer, withHeader } from './support/http.ts';
import { acceptWith, type SessionDouble } from './support/session-double.ts';
import { dial, readAll, until } from './support/tcp.ts';

let world: AgentWorld;
/** Asks the agent who is there. */
let visitor: SessionDouble;
let kept: Agent;

async function begin(options?: Parameters<typeof startWorld>[1]): Promise<void> {
  world = await startWorld(httpApp(seeingServer('app')), options);
  visitor = await world.dial();
}
beforeEach(() => {
  kept = new Agent({ keepAlive: true, maxSockets: 1 });
});
afterEach(async () => {
  kept.destroy();
  await world.close();
});

/** A session with a process that answers HTTP, and this claim. */
async function join(
  onIncoming = httpProcess(seeingServer('laptop')),
  more: Partial<Intercept> = {},
  resumeMs = 60_000,
): Promise<SessionDouble> {
  const session = await world.dial({ onIncoming, resumeMs });
  await session.request('claim', claimOf([intercept(world.appPort, { to: 'laptop', ...more })]));
  return session;
}

async function holder(): Promise<Holder | undefined> {
  return (await visitor.request('status', {})).sessions[0];
}

/** Cuts the session's carrier, and waits until the agent knows. */
async function cut(session: SessionDouble): Promise<void> {
  session.cut();
  for (let seen = await holder(); seen?.connected !== false; seen = await holder()) await until(() => true, 'a moment');
}

/** Waits until callers do not wait for the laptop any longer. */
async function untilGivenToApp(): Promise<void> {
  for (;;) if ((await visitor.request('status', {})).intercepts.every(({ to }) => to === 'app')) return;
}

const askBy = (): Promise<string> => answeredBy(world.routePort, {}, { agent: kept });
/** Takes requests and answers none. */
const silentProcess = acceptWith((stream) => stream.resume());

test('an open connection outlives its carrier byte for byte, and the claim needs no second asking', async () => {
  await begin();
  const session = await join(acceptWith((stream) => stream.pipe(stream)));
  const caller = await dial(world.routePort);
  const outcome = readAll(caller);
  caller.write('before,');
  await until(() => session.streams[0]?.readableDidRead === true, 'the laptop has it');
  for (const word of ['during,', 'again,']) {
    await cut(session);
    assert.deepEqual([(await holder())?.connected, (await holder())?.reconnecting], [false, true]);
    caller.write(word);
    await session.back();
    assert.deepEqual([(await holder())?.connected, (await holder())?.reconnecting], [true, undefined]);
  }
  caller.end('after');
  const { bytes, how } = await outcome;
  assert.deepEqual([bytes.toString(), how], ['before,during,again,after', 'end']);
  assert.equal((await visitor.request('status', {})).intercepts[0]?.to, 'laptop');
});

test('a caller that comes right behind the loss waits for a laptop that is back at once', async () => {
  await begin();
  const session = await join();
  await cut(session);
  const answer = answeredBy(world.routePort);
  await session.back();
  assert.equal(await answer, 'laptop');
});

test('a laptop that stays away leaves new callers to the app, those who waited for it as well, until it is back', async () => {
  await begin();
  const session = await join(() => {}); // takes nobody, refuses nobody
  const waiting = answeredBy(world.routePort);
  await until(() => session.streams.length === 1, 'the laptop was asked');
  await cut(session);
  const late = answeredBy(world.routePort);
  assert.deepEqual(await Promise.all([waiting, late]), ['app', 'app']);
  assert.equal(await answeredBy(world.routePort), 'app');
  assert.equal(session.streams.length, 1);
  await session.back();
  const again = answeredBy(world.routePort);
  await until(() => session.streams.length === 2, 'the laptop is asked again');
  session.streams[1]?.refuse('refused');
  assert.equal(await again, 'app');
});

test('a kept connection goes to the app while the laptop is away, and back with it', async () => {
  await begin();
  const session = await join();
  assert.equal(await askBy(), 'laptop');
  await cut(session);
  assert.equal(await askBy(), 'app');
  assert.equal(await askBy(), 'app');
  await session.back();
  assert.equal(await askBy(), 'laptop');
});

test('what is asked on a kept connection right behind the loss is sent to nobody before it is known who gets it', async () => {
  await begin();
  const session = await join();
  assert.equal(await askBy(), 'laptop');
  await cut(session);
  const posted = answeredBy(world.routePort, {}, { agent: kept, method: 'POST', body: 'once' });
  assert.equal(await posted, 'app');
  await session.back();
  await until(() => session.mux.stats().openStreams === 0, 'the laptop has nothing of it');
});

test('with --no-fallback callers are told why nobody answers, and are answered again when the laptop is back', async () => {
  await begin();
  const session = await join(undefined, { fallback: 'refuse' });
  await cut(session);
  const { status, text } = await ask(world.routePort);
  assert.equal(status, 503);
  assert.match(text, /the laptop of ann@desk is out of reach/);
  await session.back();
  assert.equal(await answeredBy(world.routePort), 'laptop');
});

test.each([
  ['all of the port', {}],
  ['what a filter takes', { filter: withHeader('x-user', 'ann') }],
])('%s: what a laptop that never comes back had not answered goes to the app if that is safe', async (_what, more) => {
  await begin();
  const session = await join(silentProcess, more, 300);
  const headers = { 'x-user': 'ann' };
  const safe = answeredBy(world.routePort, headers, { method: 'PUT', body: 'twice is fine' });
  const unsafe = ask(world.routePort, headers, { method: 'POST', body: 'once' });
  await until(() => session.streams.length === 2, 'the laptop has both');
  session.cut();
  assert.equal(await safe, 'app');
  const { status, text } = await unsafe;
  assert.equal(status, 502);
  assert.match(text, /has vanished/);
});

test('a connection of another protocol is reset when the laptop never comes back', async () => {
  await begin();
  const session = await join(silentProcess, {}, 200);
  const caller = await dial(world.routePort);
  const outcome = readAll(caller);
  caller.write(Buffer.from([0, 1, 2, 3]));
  await until(() => session.streams.length === 1, 'the laptop has it');
  session.cut();
  assert.equal((await outcome).how, 'reset');
});

test('without resuming everything open is reset at once', async () => {
  await begin();
  const session = await join(silentProcess, {}, 0);
  const caller = await dial(world.routePort);
  const outcome = readAll(caller);
  caller.write(Buffer.from([0, 1, 2, 3]));
  await until(() => session.streams.length === 1, 'the laptop has it');
  session.cut();
  assert.equal((await outcome).how, 'reset');
  await assert.rejects(session.back(), { name: 'LinkUnknownError' });
});

test('what a session opened in the pod goes on, and what it opens meanwhile is opened when it is back', async () => {
  await begin();
  const session = await world.dial({ resumeMs: 60_000 });
  const request = 'GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n';
  const open = () => session.mux.open({ kind: 'tcp', host: '127.0.0.1', port: world.appPort });
  const first = open();
  await first.opened;
  session.cut();
  const second = open();
  for (const stream of [first, second]) stream.end(request);
  await session.back();
  const answers = await Promise.all([first, second].map((stream) => readAll(stream)));
  for (const { bytes } of answers) assert.match(bytes.toString(), /^HTTP\/1\.1 200 OK/);
});

test('a session that was ended while it was away hears of it when it is back', async () => {
  await begin();
  const session = await join();
  await cut(session);
  await visitor.request('evict', { by: 'eve@desk', sessionIds: [session.identity.sessionId] });
  await session.back();
  await until(() => session.events.some(({ event }) => event === 'evicted'), 'it is told');
  assert.equal(await answeredBy(world.routePort), 'app');
});

test('status and drain know a session that is away, and its claims refuse others', async () => {
  await begin();
  const session = await join();
  await cut(session);
  await untilGivenToApp();
  await assert.rejects(visitor.request('claim', claimOf([world.appPort])), /held by ann/);
  const taken = await world.dial();
  await taken.request('claim', claimOf([world.appPort], { takeOver: true }));
  await session.back().catch(() => {}); // it was ended, or is told so
});
