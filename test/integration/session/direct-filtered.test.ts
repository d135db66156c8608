import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, test } from 'vitest';
import type { Filter } from '../../../src/http/filter.ts';
import { until } from '../../support/until.ts';
import { asker, DirectWorld, echo, http } from './direct-world.ts';

let world: DirectWorld;
beforeEach(async () => {
  world = await DirectWorld.open();
});
afterEach(() => world.close());

const user = (value: string): Filter => ({
  match: 'all',
  conditions: [{ on: 'header', name: 'x-user', match: { kind: 'exact', value } }],
});

describe('a Service of which another session has some requests', () => {
  test('gets each request of one connection where its filter says, marked where it goes to a process', async () => {
    const cluster = await world.program(http('cluster'));
    const one = await world.program(http('one'));
    const two = await world.program(http('two'));
    await world.startParts(one.port, { sessionId: 'one', filter: user('1') });
    await world.startParts(two.port, { sessionId: 'two', filter: user('2') });
    const egress = await world.startCaller(cluster);
    const outgoing = await egress.dialTcp('api', 80, world.patient);
    const ask = asker(outgoing);
    assert.equal(await ask('X-User: 1'), 'one, dev@laptop');
    assert.equal(await ask('X-User: 2'), 'two, dev@laptop');
    assert.equal(await ask('X-User: 3'), 'cluster, nobody');
    assert.equal(await ask('X-User: 1'), 'one, dev@laptop');
    outgoing.end();
    await once(outgoing, 'close');
    assert.deepEqual([one.connections, two.connections, cluster.connections], [1, 1, 1]);
  });

  test('does not ask the cluster where all requests are the session’s', async () => {
    const cluster = await world.program(http('cluster'));
    const one = await world.program(http('one'));
    await world.startParts(one.port, { filter: user('1') });
    const egress = await world.startCaller(cluster);
    const outgoing = await egress.dialTcp('api', 80, world.patient);
    assert.equal(await asker(outgoing)('X-User: 1'), 'one, dev@laptop');
    assert.equal(cluster.connections, 0);
    outgoing.destroy();
  });

  test('has its requests answered by the cluster while the process is down', async () => {
    const cluster = await world.program(http('cluster'));
    const one = await world.program(http('one'));
    await world.startParts(one.port, { filter: user('1') });
    const egress = await world.startCaller(cluster);
    await one.close();
    const outgoing = await egress.dialTcp('api', 80, world.patient);
    assert.match(await asker(outgoing)('X-User: 1'), /^cluster/);
    outgoing.destroy();
  });

  test('has what is no HTTP answered by the cluster', async () => {
    const cluster = await world.program(echo('cluster'));
    const one = await world.program(echo('one'));
    await world.startParts(one.port, { filter: user('1') });
    const egress = await world.startCaller(cluster);
    assert.equal(await world.say(egress, 'api', 80, '\x00\x01\x02binary'), 'cluster:\x00\x01\x02binary.');
  });

  test('resets its connections when the caller’s session ends', async () => {
    const cluster = await world.program(http('cluster'));
    const one = await world.program(http('one'));
    await world.startParts(one.port, { filter: user('1') });
    const egress = await world.startCaller(cluster);
    const outgoing = await egress.dialTcp('api', 80, world.patient);
    await asker(outgoing)('X-User: 1');
    await egress.close();
    await until(() => outgoing.destroyed, 'the connection is reset');
  });
});
