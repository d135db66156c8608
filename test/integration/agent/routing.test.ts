import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { test } from 'vitest';
import { startWorld } from './support/agent-world.ts';
import { claimOf } from './support/claims.ts';
import { acceptWith, refuseAll } from './support/session-double.ts';
import { dial, echoAs, exchange, type Outcome, readAll, until } from './support/tcp.ts';

test('without a session the app answers', async () => {
  const world = await startWorld();
  assert.equal((await exchange(world.routePort, 'hello')).bytes.toString(), 'app:hello');
  await world.close();
});

test('a claim alone leaves the app to answer, a route moves new connections to the laptop and back', async () => {
  const world = await startWorld();
  const session = await world.dial({ onIncoming: acceptWith(echoAs('laptop')) });
  await session.request('claim', claimOf([world.appPort]));
  assert.equal((await exchange(world.routePort, 'a')).bytes.toString(), 'app:a');
  await session.request('route', { appPort: world.appPort, protocol: 'tcp', to: 'laptop' });
  assert.equal((await exchange(world.routePort, 'b')).bytes.toString(), 'laptop:b');
  await session.request('route', { appPort: world.appPort, protocol: 'tcp', to: 'app' });
  assert.equal((await exchange(world.routePort, 'c')).bytes.toString(), 'app:c');
  await session.request('route', { appPort: world.appPort, protocol: 'tcp', to: 'laptop' });
  await session.request('release', {});
  assert.equal((await exchange(world.routePort, 'd')).bytes.toString(), 'app:d');
  await world.close();
});

test('the session is told which app port was called, and by whom', async () => {
  const world = await startWorld();
  const session = await world.dialIntercepting({ onIncoming: acceptWith(echoAs('laptop')) });
  await exchange(world.routePort, 'x');
  assert.deepEqual(session.incoming, [{ kind: 'incoming', port: world.appPort, host: '127.0.0.1' }]);
  await world.close();
});

test('64 connections at once each get their own bytes back unchanged', async () => {
  const world = await startWorld();
  await world.dialIntercepting({ onIncoming: acceptWith((stream) => stream.pipe(stream)) });
  const outcomes = await Promise.all(
    Array.from({ length: 64 }, async () => {
      const sent = randomBytes(300_000);
      return { sent, got: (await exchange(world.routePort, sent)).bytes };
    }),
  );
  for (const { sent, got } of outcomes) assert.ok(sent.equals(got));
  await world.close();
});

test('a refused connection is answered by the app, which gets every byte the caller sent', async () => {
  const world = await startWorld();
  await world.dialIntercepting({ onIncoming: refuseAll });
  for (const size of [0, 1, 10_000, 200_000, 1_000_000]) {
    const sent = randomBytes(size);
    const { bytes } = await exchange(world.routePort, sent);
    assert.ok(bytes.equals(Buffer.concat([Buffer.from('app:'), sent])), `${size} bytes`);
  }
  await world.close();
});

test('a caller that sent more than a window before the decision waits, and the app gets all of it', async () => {
  const world = await startWorld();
  const session = await world.dialIntercepting({ onIncoming: () => {} });
  const sent = randomBytes(4_000_000);
  const caller = await dial(world.routePort);
  const outcome = readAll(caller);
  caller.end(sent);
  await until(() => session.streams.length === 1, 'the stream is open');
  await until(() => session.mux.stats().queuedBytes >= 256 * 1024, 'the window is full');
  session.streams[0]?.refuse('refused');
  assert.ok((await outcome).bytes.subarray(4).equals(sent));
  await world.close();
});

test('a connection the session never decides on goes to the app when the carrier is cut', async () => {
  const world = await startWorld();
  const session = await world.dialIntercepting({ onIncoming: () => {} });
  const caller = await dial(world.routePort);
  const outcome = readAll(caller);
  caller.end('important');
  await until(() => session.streams.length === 1, 'the stream is open');
  session.cut();
  assert.equal((await outcome).bytes.toString(), 'app:important');
  await world.close();
});

test('a carrier that is cut in the middle of an answer is a reset, and the next caller gets the app', async () => {
  const world = await startWorld();
  const session = await world.dialIntercepting({ onIncoming: acceptWith((stream) => stream.write('half of ')) });
  const caller = await dial(world.routePort);
  const outcome = readAll(caller);
  await once(caller, 'data');
  session.cut();
  assert.equal((await outcome).how, 'reset');
  assert.equal((await exchange(world.routePort, 'next')).bytes.toString(), 'app:next');
  await world.close();
});

test('half-close reaches the process, and the answer that comes later reaches the caller', async () => {
  const world = await startWorld();
  await world.dialIntercepting({
    onIncoming: acceptWith((stream) => {
      stream.resume();
      stream.on('end', () => setImmediate(() => stream.end('after your end')));
    }),
  });
  assert.equal((await exchange(world.routePort, 'request')).bytes.toString(), 'after your end');
  await world.close();
});

test('the answering side may end first, and still gets what the caller sends after', async () => {
  const outcomes: Promise<{ bytes: Buffer }>[] = [];
  const endFirst = (side: Duplex): void => {
    outcomes.push(readAll(side));
    side.end('bye');
  };
  const world = await startWorld(endFirst);
  const speak = async (): Promise<void> => {
    const caller = await dial(world.routePort);
    assert.equal((await readAll(caller)).bytes.toString(), 'bye');
    caller.end('last words');
    assert.equal((await outcomes.at(-1))?.bytes.toString(), 'last words');
  };
  await speak();
  await world.dialIntercepting({ onIncoming: acceptWith(endFirst) });
  await speak();
  assert.equal(outcomes.length, 2);
  await world.close();
});

test('a protocol in which the server speaks first needs no byte of the caller', async () => {
  const world = await startWorld((socket) => socket.write('220 app'));
  const greet = async (): Promise<string> => {
    const caller = await dial(world.routePort);
    const [greeting] = await once(caller, 'data');
    caller.resetAndDestroy();
    return String(greeting);
  };
  assert.equal(await greet(), '220 app');
  await world.dialIntercepting({ onIncoming: acceptWith((stream) => stream.write('220 laptop')) });
  assert.equal(await greet(), '220 laptop');
  await world.close();
});

test('a reset by the caller is a reset at the process and at the app', async () => {
  const world = await startWorld((socket) => socket.write('x'));
  const session = await world.dialIntercepting({ onIncoming: acceptWith((stream) => stream.write('x')) });
  const callers = [await dial(world.routePort)];
  await once(callers[0] ?? assert.fail(), 'data');
  await session.request('release', {});
  callers.push(await dial(world.routePort));
  await once(callers[1] ?? assert.fail(), 'data');
  const [stream] = session.streams;
  const [socket] = world.app.sockets;
  const outcomes = [readAll(stream ?? assert.fail()), readAll(socket ?? assert.fail())];
  for (const caller of callers) caller.resetAndDestroy();
  assert.deepEqual(
    (await Promise.all(outcomes)).map(({ how }) => how),
    ['reset', 'reset'],
  );
  assert.equal(stream?.resetReason, 'reset');
  await world.close();
});

test('bytes with a reset right behind them do not look like a message that is complete', async () => {
  const outcomes: Promise<Outcome>[] = [];
  const greet = (side: Duplex): void => {
    outcomes.push(readAll(side));
    side.write('go on');
  };
  const world = await startWorld(greet);
  const cutShort = async (): Promise<void> => {
    for (const bytes of [1, 100, 10_000, 100_000]) {
      const caller = await dial(world.routePort);
      await once(caller, 'data');
      caller.write(Buffer.alloc(bytes));
      caller.resetAndDestroy();
    }
  };
  await cutShort();
  await world.dialIntercepting({ onIncoming: acceptWith(greet) });
  await cutShort();
  const hows = (await Promise.all(outcomes)).map(({ how }) => how);
  assert.deepEqual(hows, Array(8).fill('reset'));
  await world.close();
});

test('a reset by the process or by the app is a reset at the caller', async () => {
  const world = await startWorld((socket) => socket.once('data', () => socket.resetAndDestroy()));
  const speak = async (): Promise<string> => {
    const caller = await dial(world.routePort);
    caller.write('reset me');
    return (await readAll(caller)).how;
  };
  assert.equal(await speak(), 'reset');
  await world.dialIntercepting({
    onIncoming: acceptWith((stream) => stream.once('data', () => stream.resetAndDestroy())),
  });
  assert.equal(await speak(), 'reset');
  await world.close();
});

test('an app that does not listen is a reset at the caller, and others are not harmed', async () => {
  const world = await startWorld();
  const session = await world.dialIntercepting({ onIncoming: acceptWith((stream) => stream.pipe(stream)) });
  const witness = await dial(world.routePort);
  witness.write('before ');
  await once(witness, 'data');
  await session.request('release', {});
  await world.app.close();
  assert.equal((await exchange(world.routePort, 'x')).how, 'reset');
  const outcome = readAll(witness);
  witness.end('after');
  assert.equal((await outcome).bytes.toString(), 'after');
  await world.close();
});

test('connections beyond the limit are reset, said once, and room is used again', async () => {
  const world = await startWorld((socket) => socket.resume().on('end', () => socket.end()), { maxConnections: 4 });
  const held = await Promise.all(Array.from({ length: 4 }, () => dial(world.routePort)));
  await until(() => world.agent.stats().openConnections === 4, 'four are open');
  for (let n = 0; n < 3; n++) {
    const caller = connect(world.routePort, '127.0.0.1');
    caller.on('error', () => {});
    assert.equal((await readAll(caller)).how, 'reset');
  }
  assert.equal(world.log.filter(({ level }) => level === 'warn').length, 1);
  for (const caller of held) caller.end();
  await until(() => world.agent.stats().openConnections === 0, 'they are closed');
  assert.equal((await exchange(world.routePort, 'x')).how, 'end');
  await world.close();
});

test('a reader that stops holds its sender, not the memory of the agent', async () => {
  const world = await startWorld();
  const chunk = Buffer.alloc(64 * 1024);
  let sentBytes = 0;
  const pour = (side: Duplex): void => {
    const more = (): void => {
      while (!side.destroyed && side.write(chunk)) sentBytes += chunk.byteLength;
    };
    side.on('drain', more);
    more();
  };
  await world.dialIntercepting({ onIncoming: acceptWith(pour) });
  const callers = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const caller = await dial(world.routePort);
      await once(caller, 'data');
      return caller.pause();
    }),
  );
  const settle = async (): Promise<void> => {
    let before: number;
    do {
      before = sentBytes;
      await new Promise((resolve) => setTimeout(resolve, 300));
    } while (sentBytes !== before);
  };
  await settle();
  // Per connection: the kernel's socket buffers (up to 6 MiB each way on loopback) and a few windows, nothing that grows.
  assert.ok(sentBytes < 4 * 20_000_000, `${sentBytes} bytes were taken`);
  // Others still move.
  const other = await dial(world.routePort);
  const [bytes] = await once(other, 'data');
  assert.ok((bytes as Buffer).byteLength > 0);
  for (const caller of [...callers, other]) caller.resetAndDestroy();
  await world.close();
});

test('a caller that sends without being read is held as well', async () => {
  const world = await startWorld((socket) => socket.pause());
  const session = await world.dialIntercepting({ onIncoming: acceptWith((stream) => stream.pause()) });
  const caller = await dial(world.routePort);
  let writtenBytes = 0;
  const chunk = Buffer.alloc(64 * 1024);
  for (let n = 0; n < 1_000; n++) caller.write(chunk, () => (writtenBytes += chunk.byteLength));
  let before: number;
  do {
    before = writtenBytes;
    await new Promise((resolve) => setTimeout(resolve, 300));
  } while (writtenBytes !== before);
  assert.ok(writtenBytes < 20_000_000, `${writtenBytes} bytes were taken`);
  assert.ok(session.mux.stats().queuedBytes <= 300_000);
  // A socket that is not read does not tell of its reset (libuv does not watch it then): the next read does.
  caller.resetAndDestroy();
  assert.equal((await readAll(session.streams[0] ?? assert.fail())).how, 'reset');
  await world.close();
});

test('the app is dialled at the address of the pod, never at localhost', async () => {
  const world = await startWorld(echoAs('app on 127.0.0.1'), { podIp: '127.0.0.2' });
  assert.equal((await exchange(world.routePort, 'x')).how, 'reset');
  await world.close();
});
