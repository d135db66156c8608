import assert from 'node:assert/strict';
import { afterEach, beforeEach, test, vi } from 'vitest';
import { TAKE_OVER_IDLE_MS } from '../../../agent/limits.ts';
import { RequestFailure } from '../../../agent/request-failure.ts';
import type { Session, SessionCarrier } from '../../../agent/session.ts';
import { Sessions } from '../../../agent/sessions.ts';
import type { Condition, Filter } from '../../../src/http/filter.ts';
import type { RequestHead } from '../../../src/http/routing.ts';
import { silentLog } from '../../../src/log.ts';
import type { AppPort, ControlMessage, Intercept } from '../../../src/protocol/control.ts';
import { claimOf, intercept } from '../../integration/agent/support/claims.ts';

class Carrier implements SessionCarrier {
  readonly sent: ControlMessage[] = [];
  sendControl(message: ControlMessage): void {
    this.sent.push(message);
  }
  async close(): Promise<void> {}
}

const PORT: AppPort = { appPort: 8080, protocol: 'tcp' };

function newSessions(): Sessions<Carrier> {
  return new Sessions<Carrier>({ ports: [PORT, { appPort: 53, protocol: 'udp' }], log: silentLog });
}

function join(sessions: Sessions<Carrier>, id: string): Session<Carrier> {
  return sessions.connect({ sessionId: id, user: id, host: 'desk' }, new Carrier());
}

function all(...conditions: Condition[]): Filter {
  return { match: 'all', conditions };
}
const user = (value: string): Condition => ({ on: 'header', name: 'x-user', match: { kind: 'exact', value } });
const path = (value: string): Condition => ({ on: 'path', match: { kind: 'prefix', value } });

const WHOLE = intercept(8080, { to: 'laptop' });
const MIRROR = intercept(8080, { to: 'laptop', mirror: true });
function only(...conditions: Condition[]): Intercept {
  return intercept(8080, { to: 'laptop', filter: all(...conditions) });
}

function claim(sessions: Sessions<Carrier>, id: string, wanted: Intercept[], takeOver = false): Session<Carrier> {
  const session = join(sessions, id);
  sessions.claim(session, claimOf(wanted, { takeOver }));
  return session;
}

function refusal(action: () => void): RequestFailure | undefined {
  try {
    action();
    return undefined;
  } catch (failure) {
    assert.ok(failure instanceof RequestFailure, String(failure));
    return failure;
  }
}

function head(fields: Record<string, string>, at = '/'): RequestHead {
  return {
    method: 'GET',
    path: at,
    query: '',
    authority: 'web',
    header: (name) => fields[name],
    count: (name) => (fields[name] === undefined ? 0 : 1),
  };
}

function takerOf(sessions: Sessions<Carrier>, asked: RequestHead): string | undefined {
  return sessions.claims.table(PORT).taker(asked)?.session.identity.sessionId;
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('what may stand beside what on one port', () => {
  const rows: [what: string, first: Intercept, second: Intercept, together: boolean][] = [
    ['whole and whole', WHOLE, WHOLE, false],
    ['whole and filter', WHOLE, only(user('a')), false],
    ['filter and whole', only(user('a')), WHOLE, false],
    ['two keys', only(user('a')), only(user('b')), true],
    ['one key twice', only(user('a')), only(user('a')), false],
    ['one within the other', only(user('a')), only(user('a'), path('/api')), true],
    ['overlapping', only(user('a')), only(path('/api')), false],
    ['paths one under the other', only(path('/api')), only(path('/api/v1')), true],
    ['mirror beside whole', WHOLE, MIRROR, true],
    ['mirror beside an equal filter', only(user('a')), { ...only(user('a')), mirror: true }, true],
    ['mirrors', MIRROR, MIRROR, true],
  ];
  for (const [what, first, second, together] of rows) {
    const sessions = newSessions();
    claim(sessions, 'a', [first]);
    const failure = refusal(() => claim(sessions, 'b', [second]));
    assert.equal(failure?.code, together ? undefined : 'TARGET_IN_USE', what);
    if (together) continue;
    assert.equal(failure?.holder?.user, 'a', what);
    assert.deepEqual(failure?.filter, first.filter, what);
  }
});

test('a claim of which one intercept is in the way takes none and leaves what the session had', () => {
  const sessions = newSessions();
  const b = claim(sessions, 'b', [only(user('b'))]);
  claim(sessions, 'a', [only(user('a'))]);
  refusal(() => sessions.claim(b, claimOf([only(user('c')), only(user('a'))])));
  assert.equal(takerOf(sessions, head({ 'x-user': 'b' })), 'b');
  assert.equal(takerOf(sessions, head({ 'x-user': 'c' })), undefined);
});

test('more specific filters are asked first, then those with more conditions, then the older', () => {
  const sessions = newSessions();
  claim(sessions, 'wide', [only(path('/api'))]);
  claim(sessions, 'narrow', [only(path('/api'), user('a'))]);
  assert.equal(takerOf(sessions, head({ 'x-user': 'a' }, '/api/1')), 'narrow');
  assert.equal(takerOf(sessions, head({ 'x-user': 'b' }, '/api/1')), 'wide');
  assert.equal(takerOf(sessions, head({ 'x-user': 'a' }, '/')), undefined);
});

test('a session that claims anew keeps its place, and what it no longer wants is free', () => {
  const sessions = newSessions();
  const a = claim(sessions, 'a', [only(user('a'))]);
  sessions.claim(a, claimOf([only(user('z'))]));
  assert.equal(takerOf(sessions, head({ 'x-user': 'a' })), undefined);
  claim(sessions, 'b', [only(user('a'))]);
  assert.equal(takerOf(sessions, head({ 'x-user': 'a' })), 'b');
});

test('the port is read as HTTP while somebody has a filter, and that is told when it begins', () => {
  const sessions = newSessions();
  const began: number[] = [];
  sessions.claims.onHttp = ({ appPort }) => began.push(appPort);
  const mirror = claim(sessions, 'm', [MIRROR]);
  assert.deepEqual([sessions.claims.table(PORT).isHttp, began], [false, []]);
  const a = claim(sessions, 'a', [only(user('a'))]);
  claim(sessions, 'b', [only(user('b'))]);
  assert.deepEqual([sessions.claims.table(PORT).isHttp, began], [true, [8080]]);
  sessions.release(a);
  sessions.release(mirror);
  assert.equal(sessions.claims.table(PORT).isHttp, true);
  sessions.evict(a, 'x@y');
  assert.equal(sessions.claims.table(PORT).isHttp, false);
});

test('take-over ends who is gone or idle, and tells them by whom', () => {
  const sessions = newSessions();
  const a = claim(sessions, 'a', [WHOLE]);
  const carrier = a.carrier ?? assert.fail();
  assert.equal(refusal(() => claim(sessions, 'b', [WHOLE], true))?.code, 'TARGET_IN_USE');
  vi.advanceTimersByTime(TAKE_OVER_IDLE_MS);
  assert.equal(refusal(() => claim(sessions, 'b', [WHOLE]))?.code, 'TARGET_IN_USE');
  claim(sessions, 'c', [WHOLE], true);
  assert.deepEqual(carrier.sent, [{ type: 'event', event: 'evicted', by: 'c@desk', takeOver: true }]);
  assert.equal(takerOf(sessions, head({})), 'c');
});

test('nobody who is used is taken over, however long that lasts; the idle time begins when it ends', () => {
  const sessions = newSessions();
  const a = claim(sessions, 'a', [WHOLE]);
  const over = sessions.claims.table(PORT).whole?.began() ?? assert.fail();
  vi.advanceTimersByTime(10 * TAKE_OVER_IDLE_MS);
  const failure = refusal(() => claim(sessions, 'b', [WHOLE], true));
  assert.equal(failure?.holder?.lastActivityMs, Date.now());
  over();
  vi.advanceTimersByTime(TAKE_OVER_IDLE_MS - 1);
  assert.equal(refusal(() => claim(sessions, 'b', [WHOLE], true))?.holder?.lastActivityMs, a.lastActivityMs);
  vi.advanceTimersByTime(1);
  claim(sessions, 'b', [WHOLE], true);
});

test('who is used on another pod is not taken over, gone from this one or not', () => {
  const sessions = newSessions();
  const a = claim(sessions, 'a', [WHOLE]);
  vi.advanceTimersByTime(TAKE_OVER_IDLE_MS);
  const b = join(sessions, 'b');
  const take = (spares: readonly string[]) => () =>
    sessions.claim(b, { ...claimOf([WHOLE], { takeOver: true }), spares });
  assert.equal(refusal(take(['x', 'a']))?.holder?.user, 'a');
  sessions.lost(a, a.carrier ?? assert.fail());
  assert.equal(refusal(take(['a']))?.holder?.user, 'a');
  take(['x'])();
  assert.equal(takerOf(sessions, head({})), 'b');
});

test('a refusal names all in the way, a session once, up to five and how many more', () => {
  const sessions = newSessions();
  for (const id of ['a', 'b']) claim(sessions, id, [only(user(id)), only(user(`${id}2`))]);
  claim(sessions, 'm', [MIRROR]);
  const two = refusal(() => claim(sessions, 'x', [WHOLE]))?.toControlError() ?? assert.fail();
  assert.deepEqual([two.holder?.user, two.others?.map(({ holder }) => holder.user), two.more], ['a', ['b'], undefined]);
  assert.deepEqual(two.others?.[0]?.filter, all(user('b')));
  for (const id of ['c', 'd', 'e', 'f', 'g']) claim(sessions, id, [only(user(id))]);
  const seven = refusal(() => claim(sessions, 'x', [WHOLE]));
  assert.deepEqual(
    seven?.others.map(({ holder }) => holder.user),
    ['b', 'c', 'd', 'e'],
  );
  assert.equal(seven?.more, 2);
});

test('take-over of several takes all or none', () => {
  const sessions = newSessions();
  claim(sessions, 'idle', [only(user('a'))]);
  claim(sessions, 'used', [only(user('b'))]);
  const table = sessions.claims.table(PORT);
  table.taker(head({ 'x-user': 'b' }))?.began();
  vi.advanceTimersByTime(TAKE_OVER_IDLE_MS);
  assert.equal(refusal(() => claim(sessions, 'x', [WHOLE], true))?.holder?.user, 'used');
  assert.equal(takerOf(sessions, head({ 'x-user': 'a' })), 'idle');
});

test('mirrors are told apart by their filters', () => {
  const sessions = newSessions();
  claim(sessions, 'all', [MIRROR]);
  claim(sessions, 'a', [{ ...only(user('a')), mirror: true }]);
  const mirrors = (fields: Record<string, string>) =>
    sessions.claims
      .table(PORT)
      .mirrors(head(fields))
      .map(({ session }) => session.identity.sessionId)
      .sort();
  assert.deepEqual(mirrors({ 'x-user': 'a' }), ['a', 'all']);
  assert.deepEqual(mirrors({}), ['all']);
  assert.equal(takerOf(sessions, head({ 'x-user': 'a' })), undefined);
});

test('ports of the same number are two when their protocols are', () => {
  const sessions = newSessions();
  assert.equal(refusal(() => claim(sessions, 'a', [intercept(53)]))?.code, 'TARGET_NOT_FOUND');
  claim(sessions, 'a', [intercept(53, { protocol: 'udp', to: 'laptop' })]);
  assert.equal(sessions.claims.table({ appPort: 53, protocol: 'udp' }).whole?.session.identity.user, 'a');
  assert.equal(refusal(() => claim(sessions, 'b', [intercept(53, { protocol: 'udp' })]))?.code, 'TARGET_IN_USE');
});

test('an evicted list leaves the others, and nobody evicts oneself', () => {
  const sessions = newSessions();
  const a = claim(sessions, 'a', [only(user('a'))]);
  claim(sessions, 'b', [only(user('b'))]);
  assert.deepEqual(
    sessions.evict(a, 'a@desk', ['a', 'b', 'c']).map(({ sessionId }) => sessionId),
    ['b'],
  );
  assert.equal(takerOf(sessions, head({ 'x-user': 'a' })), 'a');
});
