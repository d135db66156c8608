import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Relay, startRelay } from '../../support/faulty-relay.ts';

let target: Server;
let relay: Relay;
let accepted: Socket[];
const clients: Socket[] = [];

/** What the target does with a connection; an echo unless a test sets another. */
let serve: (socket: Socket) => void;

beforeEach(async () => {
  accepted = [];
  serve = (socket) => socket.pipe(socket);
  target = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    socket.on('error', () => {}); // tests look at 'close' and what came before
    serve(socket);
  });
  target.listen(0, '127.0.0.1');
  await once(target, 'listening');
  relay = await startRelay({ host: '127.0.0.1', port: (target.address() as AddressInfo).port });
});

afterEach(async () => {
  await relay.close();
  for (const socket of [...clients, ...accepted]) socket.destroy();
  target.close();
  await once(target, 'close');
});

async function connect(): Promise<Socket> {
  const socket = createConnection({ host: relay.address, port: relay.port, allowHalfOpen: true });
  clients.push(socket);
  await once(socket, 'connect');
  return socket;
}

async function echo(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  let received = '';
  while (received.length < text.length) received += String((await once(socket, 'data'))[0]);
  return received;
}

/** Resolves to how the connection ended: an error code, or 'FIN'. */
async function ending(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    socket.once('end', () => resolve('FIN'));
    socket.resume();
  });
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not true within 5 s: ${condition}`);
    await sleep(5);
  }
}

describe('without faults', () => {
  test('every byte passes unchanged, both ways, and is counted', async () => {
    const socket = await connect();
    const sent = Buffer.alloc(3 * 1024 * 1024, 'abcdefg');
    socket.end(sent);
    expect((await buffer(socket)).equals(sent)).toBe(true);
    expect(relay.bytes()).toEqual({ up: sent.length, down: sent.length });
    await until(() => relay.connections() === 0);
  });

  test('a client that has ended its side still gets the answer', async () => {
    serve = (socket) => {
      let request = '';
      socket.on('data', (chunk) => {
        request += chunk;
      });
      socket.on('end', () => socket.end(`answer to ${request}`));
    };
    const socket = await connect();
    socket.end('question');
    expect(String(await buffer(socket))).toBe('answer to question');
  });

  test('a reset by the target reaches the client as a reset', async () => {
    serve = (socket) => socket.resetAndDestroy();
    expect(await ending(await connect())).toBe('ECONNRESET');
  });

  test('a target that is not there resets the client', async () => {
    await new Promise((resolve) => target.close(resolve));
    expect(await ending(await connect())).toBe('ECONNRESET');
    target.listen(0);
    await once(target, 'listening');
  });

  test('a client that does not read holds its sender back', async () => {
    let written = 0;
    serve = (socket) => {
      const fill = () => {
        while (socket.writable && written < 512 * 1024 * 1024 && socket.write(Buffer.alloc(65_536))) written += 65_536;
      };
      socket.on('drain', fill);
      fill();
    };
    const socket = await connect();
    socket.pause();
    let before = -1;
    while (written !== before || written === 0) {
      before = written;
      await sleep(200); // the sender is held back once it has written nothing for so long
    }
    expect(written).toBeLessThan(64 * 1024 * 1024);
  });
});

describe('faults', () => {
  test('a delay holds every byte back in each direction, without holding back what follows', async () => {
    const socket = await connect();
    await echo(socket, 'warm');
    relay.setDelay(500);
    const startedAt = performance.now();
    const received = echo(socket, 'abc');
    await sleep(50);
    socket.write('def');
    expect(await received).toBe('abc');
    expect(performance.now() - startedAt).toBeGreaterThan(995);
    expect(String((await once(socket, 'data'))[0])).toBe('def');
    expect(performance.now() - startedAt).toBeLessThan(1490); // held back behind the first, it would take 1500
  });

  test('a stall passes nothing, also on new connections, and loses nothing once it ends', async () => {
    const first = await connect();
    relay.stall();
    const second = await connect();
    const echoed = Promise.all([echo(first, 'first'), echo(second, 'second')]);
    const early = await Promise.race([echoed, sleep(150, 'silence')]);
    expect(early).toBe('silence');
    relay.resume();
    expect(await echoed).toEqual(['first', 'second']);
  });

  test('a cut ends both ends with FIN, and new connections work', async () => {
    const socket = await connect();
    await echo(socket, 'hello');
    const ends = Promise.all([ending(socket), ...accepted.map(ending)]);
    relay.cut();
    expect(await ends).toEqual(['FIN', 'FIN']);
    socket.end();
    await until(() => relay.connections() === 0);
    expect(await echo(await connect(), 'again')).toBe('again');
  });

  test('a reset ends both ends with RST, and new connections work', async () => {
    const socket = await connect();
    await echo(socket, 'hello');
    const ends = Promise.all([ending(socket), ...accepted.map(ending)]);
    relay.reset();
    expect(await ends).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect(relay.connections()).toBe(0);
    expect(await echo(await connect(), 'again')).toBe('again');
  });

  test.each(['cut', 'reset'] as const)(
    'cutAfterBytes lets exactly that many bytes pass, then does a %s, once',
    async (how) => {
      serve = (socket) => socket.resume();
      const socket = await connect();
      const end = ending(socket);
      relay.cutAfterBytes(1000, how);
      socket.write(Buffer.alloc(600));
      await until(() => relay.bytes().up === 600);
      socket.write(Buffer.alloc(5000));
      expect(await end).toBe(how === 'cut' ? 'FIN' : 'ECONNRESET');
      expect(relay.bytes().up).toBe(1000);
      serve = (each) => each.pipe(each);
      expect(await echo(await connect(), 'again'.repeat(500))).toHaveLength(2500);
    },
  );

  test('a stall at a byte lets exactly that many pass, and loses nothing once it ends', async () => {
    const socket = await connect();
    relay.cutAfterBytes(1000, 'stall');
    const echoed = echo(socket, 'abcde'.repeat(400));
    await until(() => relay.bytes().up + relay.bytes().down === 1000);
    expect(relay.cutAfterBytes(0)).toBe(false); // it has happened
    relay.resume();
    expect(await echoed).toBe('abcde'.repeat(400));
  });

  test('what is frozen passes nothing any more and hears of no end, and new connections work', async () => {
    const frozen = await connect();
    expect(await echo(frozen, 'before')).toBe('before');
    let heard = '';
    for (const event of ['data', 'end', 'close'] as const)
      frozen.on(event, () => {
        heard += event;
      });
    relay.freeze();
    frozen.write('lost');
    accepted[0]?.write('lost, too');
    accepted[0]?.end();
    expect(await echo(await connect(), 'after')).toBe('after');
    expect([heard, relay.bytes()]).toEqual(['', { up: 11, down: 11 }]);
    expect(relay.cutAfterBytes(10)).toBe(false);
    expect(relay.cutAfterBytes(0)).toBe(true); // it was still to come
  });

  test('a trickle passes so many bytes a second', async () => {
    const socket = await connect();
    relay.trickle(10_000);
    const startedAt = performance.now();
    expect(await echo(socket, 'x'.repeat(3000))).toHaveLength(3000);
    const seconds = (performance.now() - startedAt) / 1000;
    expect(seconds).toBeGreaterThan(0.25);
    expect(seconds).toBeLessThan(10);
    relay.trickle(undefined);
    expect(await echo(socket, 'y'.repeat(300_000))).toHaveLength(300_000);
  });

  test('while refusing, connecting fails and open connections go on; afterwards the port is the same', async () => {
    const socket = await connect();
    await relay.refuse(true);
    await expect(connect()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(await echo(socket, 'still here')).toBe('still here');
    await relay.refuse(false);
    expect(await echo(await connect(), 'again')).toBe('again');
  });

  test('closing resets what is open and may be done twice', async () => {
    const socket = await connect();
    await echo(socket, 'hello');
    const end = ending(socket);
    await relay.close();
    await relay.close();
    expect(await end).toBe('ECONNRESET');
    await expect(connect()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
