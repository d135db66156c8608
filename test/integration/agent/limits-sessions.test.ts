import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import dnsPacket from 'dns-packet';
import { test, vi } from 'vitest';
import { MAX_DNS_WAITING, MAX_OUTGOING } from '../../../agent/limits.ts';
import { sessionHandshake } from '../../../src/mux/handshake.ts';
import { Link } from '../../../src/mux/link.ts';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';
import { encodeFrame } from '../../../src/protocol/codec.ts';
import { MAX_OPEN_STREAMS } from '../../../src/protocol/limits.ts';
import { startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { addressReply, startDnsServer } from './support/dns-server.ts';
import { CONTAINER_BYTES, hostileWorld, readToEnd } from './support/hostile.ts';
import { dialCarrier, dialSession, type SessionDouble } from './support/session-double.ts';
import { echoAs, exchange, until } from './support/tcp.ts';

// Thousands of connections on a machine that may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

/** The answer to one question in a stream of its own. */
async function resolve(session: SessionDouble, name: string): Promise<dnsPacket.DecodedPacket> {
  const stream = session.mux.open({ kind: 'dns', host: '', port: 0 });
  const answers: Buffer[] = [];
  const reader = new LengthPrefixReader();
  stream.on('data', (chunk: Buffer) => answers.push(...reader.push(chunk)));
  stream.write(withLength(questionFor(name)));
  await until(() => answers.length > 0, `${name} is answered`, 20_000);
  stream.destroy();
  return dnsPacket.decode(answers[0] ?? Buffer.alloc(0));
}

function questionFor(name: string, id = 7): Buffer {
  return dnsPacket.encode({ type: 'query', id, flags: dnsPacket.RECURSION_DESIRED, questions: [{ type: 'A', name }] });
}

test('sessions that open all the streams there are leave some to every other', async () => {
  const world = await startWorld(echoAs('app'));
  const greedy = [await world.dial(), await world.dial()];
  for (const session of greedy) {
    for (let count = 0; count < MAX_OPEN_STREAMS; count += 1) session.mux.open({ kind: 'file', host: '', port: 0 });
    assert.throws(() => session.mux.open({ kind: 'file', host: '', port: 0 }), /streams are open/);
  }
  await until(() => world.agent.stats().outgoing === MAX_OUTGOING, 'the agent has taken them all');
  const other = await world.dial();
  const stream = other.mux.open({ kind: 'tcp', host: '127.0.0.1', port: world.appPort });
  await stream.opened;
  stream.destroy();
  assert.equal((await exchange(world.routePort, 'x')).bytes.toString(), 'app:x');
  for (const session of greedy) await session.mux.close();
  await world.close();
});

test('a session that asks for names without end does not keep another from an answer', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'kube-intercept-dns-'));
  const server = await startDnsServer((question) =>
    question.questions?.[0]?.name === 'good.example' ? addressReply(question, '10.0.0.1') : undefined,
  );
  const resolvConf = join(dir, 'resolv.conf');
  await writeFile(resolvConf, 'nameserver 127.0.0.1\n');
  const outgoing = { resolvConf, hostsFile: '/nowhere', dnsPort: server.port };
  const world = await startWorld(echoAs('app'), { outgoing });
  const [greedy, other] = [await world.dial(), await world.dial()];
  const stream = greedy.mux.open({ kind: 'dns', host: '', port: 0 });
  stream.resume();
  for (let id = 0; id < 2 * MAX_DNS_WAITING; id += 1) stream.write(withLength(questionFor('silent.example', id)));
  await until(() => server.asked.length > 0, 'its first questions are under way');
  const { answers } = await resolve(other, 'good.example');
  assert.equal(answers?.length, 1);
  stream.destroy();
  await world.close();
  await server.close();
  await rm(dir, { recursive: true });
});

test('a session that asks and never reads the answers is cut, and others are served', async () => {
  const world = await hostileWorld(echoAs('app'), { GREETING: 'a'.repeat(100_000) });
  const { tunnelPort, key, routePort } = world.agent;
  const carrier = await dialCarrier(tunnelPort);
  const session = { sessionId: 'greedy', user: 'eve', host: 'desk' };
  const { transport } = await sessionHandshake(carrier, {
    key,
    session,
    link: new Link({ resumeForMs: 30_000 }),
    deadlineMs: 10_000,
  });
  let isOver = false;
  transport.onClose = () => {
    isOver = true;
  };
  transport.pause();
  for (let id = 1; id < 3_000 && !isOver; id += 1) {
    transport.send(
      encodeFrame({ type: 'control', text: `{"type":"request","id":${id},"method":"environment","params":{}}` }),
    );
    if (id % 50 === 0) await new Promise((done) => setImmediate(done));
  }
  const other = await dialSession({ port: tunnelPort, key });
  assert.ok('GREETING' in (await other.request('environment', {})).variables);
  assert.equal((await exchange(routePort, 'x')).bytes.toString(), 'app:x');
  assert.ok(world.peakBytes < CONTAINER_BYTES, `the agent takes ${world.peakBytes} bytes`);
  transport.terminate();
  await other.mux.close();
  await world.close();
});

test('a session that opens downloads and reads none of them keeps a bounded amount, and others are served', async () => {
  const large = Buffer.alloc(4 * 1024 * 1024);
  const world = await hostileWorld((socket) => {
    socket.once('data', (first: Buffer) => {
      if (first.toString() !== 'all') socket.end('ok');
      else socket.write(large);
    });
  });
  const { tunnelPort, key, routePort } = world.agent;
  const greedy = await dialSession({ port: tunnelPort, key });
  for (let count = 0; count < 500; count += 1) {
    greedy.mux.open({ kind: 'tcp', host: '127.0.0.1', port: world.app.port }).write('all');
  }
  const isShed = (): boolean =>
    world.agent.log.some(({ message }) => String(message).startsWith('too much is waiting'));
  await until(isShed, 'some of it is given up', 60_000);
  const other = await dialSession({ port: tunnelPort, key });
  const stream = other.mux.open({ kind: 'tcp', host: '127.0.0.1', port: world.app.port });
  await stream.opened;
  stream.destroy();
  assert.equal((await exchange(routePort, 'x')).bytes.toString(), 'ok');
  assert.ok(world.peakBytes < CONTAINER_BYTES, `the agent takes ${world.peakBytes} bytes`);
  await other.mux.close();
  await greedy.mux.close();
  await world.close();
});

test('a mirror that reads nothing loses its copies before the agent has no memory left, and callers are answered', async () => {
  const body = Buffer.alloc(900 * 1024);
  const world = await hostileWorld((socket) => {
    let missing = body.byteLength;
    socket.on('data', (chunk: Buffer) => {
      missing -= chunk.byteLength;
      if (missing === 0) socket.end('ok');
    });
  });
  const { tunnelPort, key } = world.agent;
  const mirror = await dialSession({ port: tunnelPort, key, onIncoming: (stream) => stream.accept() });
  await mirror.request('claim', claimOf([intercept(world.app.port, { mirror: true, to: 'laptop' })]));
  const callers = await world.open(150);
  const answers = callers.map((caller) => readToEnd(caller));
  for (const caller of callers) caller.write(body);
  assert.deepEqual([...new Set(await Promise.all(answers))], ['ok']);
  assert.ok(world.peakBytes < CONTAINER_BYTES, `the agent takes ${world.peakBytes} bytes`);
  await mirror.mux.close();
  await world.close();
});
