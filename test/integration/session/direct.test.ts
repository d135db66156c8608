import assert from 'node:assert/strict';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'vitest';
import type { SessionRecord } from '../../../cli/session/state-files.ts';
import { until } from '../../support/until.ts';
import { CLUSTER, DirectWorld, echo, OTHER_CLUSTER } from './direct-world.ts';

let world: DirectWorld;
beforeEach(async () => {
  world = await DirectWorld.open();
});
afterEach(() => world.close());

describe('a Service that another session of the laptop has', () => {
  test('is called directly by each of its names and its address, and nothing else is', async () => {
    const cluster = await world.program(echo('cluster'));
    const own = await world.program(echo('process'));
    await world.startParts(own.port);
    const egress = await world.startCaller(cluster);
    const asked: [string, number, 'process' | 'cluster'][] = [
      ['api', 80, 'process'],
      ['API', 80, 'process'],
      ['api.shop', 80, 'process'],
      ['api.shop.svc', 80, 'process'],
      ['api.shop.svc.cluster.local', 80, 'process'],
      ['api.shop.svc.cluster.local.', 80, 'process'],
      ['10.96.0.10', 80, 'process'],
      ['api', 8080, 'cluster'],
      ['api.', 80, 'cluster'],
      ['api.other', 80, 'cluster'],
      ['api.shop.svc.other.domain', 80, 'cluster'],
      ['api.shop.pod', 80, 'cluster'],
      ['10.96.0.11', 80, 'cluster'],
    ];
    for (const [host, port, who] of asked)
      assert.equal(await world.say(egress, host, port), `${who}:hello.`, `${host}:${port}`);
    assert.equal(cluster.connections, asked.filter(([, , who]) => who === 'cluster').length);
  });

  test('that is headless is called by the app’s port', async () => {
    const cluster = await world.program(echo('cluster'));
    const own = await world.program(echo('process'));
    await world.startParts(own.port, { services: [{ name: 'api', addresses: [] }] });
    const egress = await world.startCaller(cluster);
    assert.equal(await world.say(egress, 'api', 8080), 'process:hello.');
    assert.equal(await world.say(egress, 'api', 80), 'cluster:hello.');
  });

  test.each([
    ['of another cluster', { direct: { socket: '/none', cluster: OTHER_CLUSTER, by: '', mark: false } }],
    ['that only gets copies', { mirror: true }],
    ['that does not want to be called', { direct: undefined }],
    ['of another namespace', { namespace: 'other', services: [{ name: 'api', addresses: [] }] }],
    ['whose socket is gone', { direct: { socket: '/none', cluster: CLUSTER, by: '', mark: false } }],
  ] satisfies [string, Partial<SessionRecord>][])(
    'is called through the cluster when it is one %s',
    async (_, fields) => {
      const cluster = await world.program(echo('cluster'));
      const own = await world.program(echo('process'));
      await world.startParts(own.port, fields);
      const egress = await world.startCaller(cluster);
      assert.equal(await world.say(egress, 'api', 80), 'cluster:hello.');
      assert.equal(own.connections, 0);
    },
  );

  test('is called through the cluster while it is not ready, while its process is down, and once it has ended', async () => {
    const cluster = await world.program(echo('cluster'));
    const own = await world.program(echo('process'));
    const parts = await world.startParts(own.port);
    const egress = await world.startCaller(cluster);
    parts.isReady = false;
    assert.equal(await world.say(egress, 'api', 80), 'cluster:hello.');
    parts.isReady = true;
    assert.equal(await world.say(egress, 'api', 80), 'process:hello.');
    await own.close();
    assert.equal(await world.say(egress, 'api', 80), 'cluster:hello.');
    await parts.listener.close();
    assert.equal(await world.say(egress, 'api', 80), 'cluster:hello.');
  });

  test('is the laptop’s where the user has said so', async () => {
    const cluster = await world.program(echo('inner'));
    const own = await world.program(echo('process'));
    await world.startParts(own.port);
    const egress = await world.startCaller(cluster, (host) => host === 'api');
    assert.equal(await world.say(egress, 'api', 80), 'inner:hello.');
    assert.equal(await world.say(egress, 'api.shop', 80), 'process:hello.');
  });

  test('resets a caller when its process does, and the process when the caller does', async () => {
    const cluster = await world.program(echo('cluster'));
    const seen: string[] = [];
    const own = await world.program((socket) => {
      socket.on('error', (error) => seen.push(String(error)));
      socket.on('data', (chunk) => {
        if (String(chunk) === 'reset me') socket.resetAndDestroy();
        else socket.write('ok');
      });
    });
    await world.startParts(own.port);
    const egress = await world.startCaller(cluster);
    const cut = await egress.dialTcp('api', 80, world.patient);
    const failed = once(cut, 'end').then(
      () => 'end',
      () => 'reset',
    ); // once() rejects on 'error'
    cut.resume();
    cut.write('reset me');
    assert.equal(await failed, 'reset');
    const other = await egress.dialTcp('api', 80, world.patient);
    other.on('error', () => {});
    other.write('hello');
    await once(other, 'data');
    other.resetAndDestroy();
    await until(() => seen.some((text) => text.includes('ECONNRESET')), 'the process sees a reset');
  });

  test('carries more than a window holds, both ways', async () => {
    const cluster = await world.program(echo('cluster'));
    const own = await world.program((socket) => socket.pipe(socket));
    await world.startParts(own.port);
    const egress = await world.startCaller(cluster);
    const sent = Buffer.alloc(20 * 1024 * 1024, 'kube-intercept ');
    const outgoing = await egress.dialTcp('api', 80, world.patient);
    outgoing.end(sent);
    assert.ok((await buffer(outgoing)).equals(sent));
  });

  test('has a socket that is its user’s alone', async () => {
    const own = await world.program(echo('process'));
    const { record } = await world.startParts(own.port);
    const { mode } = await stat(record.direct?.socket ?? '');
    assert.equal((mode & 0o777).toString(8), '600');
  });
});
