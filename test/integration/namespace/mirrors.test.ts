import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { afterAll, beforeAll, test } from 'vitest';
import { waitFor } from '../../cluster/exec.ts';
import { makeSessionFolder, NamespaceSession, removeSessionFolder } from '../../support/namespace-session.ts';

let folder: string;
let session: NamespaceSession;

beforeAll(async () => {
  folder = await makeSessionFolder();
  session = await NamespaceSession.start(folder);
});

afterAll(async () => {
  await session.end();
  await removeSessionFolder(folder);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  // UDP ports are mirrored below 32768 only: an unbound client's has the same looks.
  return 20_000 + (port % 10_000);
}

/** What a server says to somebody who connects and says `text`; undefined when nobody listens. */
async function ask(port: number, text: string, host = '127.0.0.1'): Promise<string | undefined> {
  return await new Promise((resolve, reject) => {
    let got = '';
    const socket = connect({ host, port }, () => socket.end(text));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      got += chunk;
    });
    socket.on('end', () => resolve(got));
    socket.on('close', () => reject(new Error('closed without an end')));
    socket.on('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ECONNREFUSED') resolve(undefined);
      else reject(cause);
    });
  });
}

async function untilAnswer(port: number, wanted: string | undefined, host?: string): Promise<void> {
  await waitFor(async () => ((await ask(port, 'ping', host).catch(() => '')) === wanted ? true : undefined), {
    timeoutMs: 10_000,
    intervalMs: 20,
    onTimeout: () => new Error(`port ${port} does not answer ${wanted}`),
  });
}

/** Answers each connection's bytes with `prefix` before them. */
const server = (port: number, prefix: string, host: string): string[] => [
  process.execPath,
  '-e',
  `require("net").createServer({ allowHalfOpen: true }, (s) => { s.on("error", () => {}); s.write(${JSON.stringify(prefix)}); s.pipe(s); }).listen(${port}, ${JSON.stringify(host)})`,
];

test('what the command listens on appears on the laptop under the same port, and goes with it', async () => {
  for (const [listening, outside] of [
    ['0.0.0.0', '127.0.0.1'],
    ['::', '127.0.0.1'],
    ['::', '::1'],
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
  ] as const) {
    const port = await freePort();
    const pid = await session.startCommand(server(port, 'inside ', listening));
    await untilAnswer(port, 'inside ping', outside);
    process.kill(pid, 'SIGKILL');
    await untilAnswer(port, undefined, outside);
  }
});

test('inside, the command’s own server answers on 127.0.0.1', async () => {
  const port = await freePort();
  const pid = await session.startCommand(server(port, 'inside ', '127.0.0.1'));
  await untilAnswer(port, 'inside ping');
  const program = `import socket
s = socket.create_connection(("127.0.0.1", ${port})); peer = s.getpeername()[0]
s.shutdown(socket.SHUT_WR); print(s.makefile().read(), peer)`;
  assert.equal((await session.run(['python3', '-c', program])).stdout, 'inside  127.0.0.1\n');
  assert.ok(!session.lines.some(({ dialled }) => dialled === `127.0.0.1 ${port}`));
  process.kill(pid, 'SIGKILL');
});

test('a server for IPv6 alone appears too', async () => {
  const port = await freePort();
  const program = `require("net").createServer((s) => s.end("six")).listen({ port: ${port}, host: "::", ipv6Only: true })`;
  const pid = await session.startCommand([process.execPath, '-e', program]);
  await untilAnswer(port, 'six');
  assert.equal(await ask(port, '', '::1'), 'six');
  process.kill(pid, 'SIGKILL');
});

test('a port that was just closed inside refuses, though its mirror is still there', async () => {
  const port = await freePort();
  const program = `import socket
s = socket.create_server(("127.0.0.1", ${port})); c, _ = s.accept(); c.close(); s.close()
try: socket.create_connection(("127.0.0.1", ${port}), 5).recv(1); print("connected")
except OSError as error: print(error.errno)`;
  const running = session.run(['python3', '-c', program]);
  await untilAnswer(port, '');
  assert.equal((await running).stdout, '111\n');
});

test('a large answer comes through a mirror whole', async () => {
  const port = await freePort();
  const program = `require("net").createServer((s) => s.on("error", () => {}).end(Buffer.alloc(5e6, "x"))).listen(${port})`;
  const pid = await session.startCommand([process.execPath, '-e', program]);
  await untilAnswer(port, 'x'.repeat(5e6));
  process.kill(pid, 'SIGKILL');
});

test('a port below 1024 can be listened on, and one that is taken on the laptop is told once', async () => {
  const taken = createServer((socket) => socket.end('laptop')).listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const pid = await session.startCommand(server(port, 'inside ', '0.0.0.0'));
  await session.said((line) => line.taken === `127.0.0.1 ${port} EADDRINUSE`);
  const low = 1 + (port % 1000);
  const bind = `import socket; s = socket.socket(); s.bind(("127.0.0.1", ${low})); print("bound")`;
  assert.equal((await session.run(['python3', '-c', bind])).stdout, 'bound\n');
  assert.equal(await ask(port, 'ping'), 'laptop');
  assert.deepEqual(await session.listens(port), { listens: true, mirrored: false, says: 'inside ping' });
  process.kill(pid, 'SIGKILL');
  taken.close();
  assert.equal(session.lines.filter((line) => line.taken !== undefined).length, 1);
});

test('what the command listens on is reached directly, at whatever address of its own, and not once it has ended', async () => {
  for (const host of ['0.0.0.0', '::', '127.0.0.1', '::1', '192.0.2.1']) {
    const port = await freePort();
    const nothing = { listens: false, mirrored: false, says: 'ECONNREFUSED' };
    assert.deepEqual(await session.listens(port), nothing);
    const pid = await session.startCommand(server(port, 'inside ', host));
    const mirrored = host !== '::1';
    await untilAnswer(port, 'inside ping', mirrored ? '127.0.0.1' : '::1');
    assert.deepEqual(await session.listens(port), { listens: true, mirrored, says: 'inside ping' });
    process.kill(pid, 'SIGKILL');
    await untilAnswer(port, undefined, mirrored ? '127.0.0.1' : '::1');
    assert.deepEqual(await session.listens(port), nothing);
  }
});

test('a UDP port of the command answers on the laptop', async () => {
  const port = await freePort();
  const program = `const s = require("dgram").createSocket("udp4");
s.on("message", (m, from) => s.send("inside " + m, from.port, from.address)); s.bind(${port})`;
  const pid = await session.startCommand([process.execPath, '-e', program]);
  const client = createSocket('udp4');
  const answers: string[] = [];
  client.on('message', (message) => answers.push(String(message)));
  client.on('error', () => {});
  await waitFor(
    async () => {
      client.send('ping', port, '127.0.0.1', () => {}); // lost until the command listens
      return answers.length > 0 ? true : undefined;
    },
    { timeoutMs: 10_000, intervalMs: 50, onTimeout: () => new Error('no datagram came back') },
  );
  client.close();
  assert.equal(answers[0], 'inside ping');
  process.kill(pid, 'SIGKILL');
});

test('a UDP socket of the command is reached directly, though somebody else has its port on the laptop', async () => {
  for (const [type, host] of [
    ['udp4', '0.0.0.0'],
    ['udp4', '127.0.0.1'],
    ['udp6', '::'],
    ['udp6', '::1'],
  ] as const) {
    const taken = createSocket('udp4').bind(await freePort(), '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address();
    assert.deepEqual(await session.askUdp(port), { bound: false, says: '' });
    const program = `const s = require("dgram").createSocket(${JSON.stringify(type)});
s.on("message", (m, from) => s.send("inside " + m, from.port, from.address)); s.bind(${port}, ${JSON.stringify(host)})`;
    const pid = await session.startCommand([process.execPath, '-e', program]);
    const said = await waitFor(
      async () => {
        const told = await session.askUdp(port);
        return 'bound' in told && told.bound === true ? told : undefined;
      },
      { timeoutMs: 10_000, intervalMs: 20, onTimeout: () => new Error(`${host} is not seen`) },
    );
    assert.deepEqual(said, { bound: true, says: 'inside ping' });
    process.kill(pid, 'SIGKILL');
    taken.close();
  }
});
