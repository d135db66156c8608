import assert from 'node:assert/strict';
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, test } from 'vitest';
import { run } from '../../cluster/exec.ts';
import { makeSessionFolder, NamespaceSession, removeSessionFolder } from '../../support/namespace-session.ts';

let folder: string;
let session: NamespaceSession;
const servers: Server[] = [];

/** A server on this machine's loopback device, which is where the session's ways out lead. */
async function serve(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    onConnection(socket);
  });
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

async function httpServer(): Promise<number> {
  return await serve((socket) => {
    socket.once('data', () =>
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\ncluster'.slice(0, -1)),
    );
  });
}

async function freePort(): Promise<number> {
  const port = await serve(() => {});
  const server = servers.pop();
  server?.close();
  return port;
}

/** What connect(2) ends with, in Python's words. */
async function connectError(host: string, port: number, timeoutSeconds = 10): Promise<string> {
  const program = `import socket
try: socket.create_connection((${JSON.stringify(host)}, ${port}), ${timeoutSeconds}); print("connected")
except OSError as error: print(type(error).__name__, error.errno)`;
  return (await session.run(['python3', '-c', program])).stdout.trim();
}

beforeAll(async () => {
  folder = await makeSessionFolder();
  session = await NamespaceSession.start(folder);
});

afterAll(async () => {
  await session.end();
  for (const server of servers) server.close();
  await removeSessionFolder(folder);
});

test('the namespace says that it works', () => {
  assert.deepEqual(session.ready.probe, { works: true });
  assert.deepEqual(session.ready.warnings, []);
});

test('curl reaches a service by its short name through the search list', async () => {
  const port = await httpServer();
  const { stdout, stderr } = await session.run(['curl', '-sS', `http://api:${port}/`]);
  assert.equal(stdout, 'cluste', stderr);
  assert.ok(session.lines.some(({ question }) => question === 'api.shop.svc.cluster.local'));
  assert.ok(session.lines.some(({ dialled }) => dialled === `10.1.2.3 ${port}`));
});

test('python, node and a static binary reach an address', async () => {
  const port = await serve((socket) => socket.end('hello'));
  const python = `import socket; print(socket.create_connection(("10.9.8.7", ${port})).recv(9).decode())`;
  const node = `require("net").connect(${port}, "10.9.8.7").on("data", (data) => console.log(String(data)))`;
  const source = join(folder, 'static.c');
  await writeFile(
    source,
    `#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>
int main() {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(${port})};
  inet_pton(AF_INET, "10.9.8.7", &a.sin_addr);
  int s = socket(AF_INET, SOCK_STREAM, 0);
  char text[9] = {0};
  if (connect(s, (void *)&a, sizeof a) < 0 || read(s, text, 8) < 0) return 1;
  puts(text);
}`,
  );
  await run(['gcc', '-static', '-o', join(folder, 'static'), source]);
  for (const argv of [['python3', '-c', python], [process.execPath, '-e', node], [join(folder, 'static')]])
    assert.deepEqual(await session.run(argv).then(({ stdout, stderr }) => ({ stdout, stderr })), {
      stdout: 'hello\n',
      stderr: '',
    });
});

test('connect(2) ends as it would in the pod: refused, unreachable or silent', async () => {
  const port = await freePort();
  assert.equal(await connectError('10.1.2.3', port), 'ConnectionRefusedError 111');
  assert.equal(await connectError('10.66.2.3', port), 'OSError 113');
  assert.equal(await connectError('10.77.2.3', port, 0.5), 'TimeoutError None');
  assert.equal(await connectError('127.0.0.1', port), 'ConnectionRefusedError 111');
  assert.equal(await connectError('::1', port), 'ConnectionRefusedError 111');
});

test('IPv6 connects, is refused and is unreachable at once', async () => {
  const port = await serve((socket) => socket.end());
  assert.equal(await connectError('fd00::1:2', port), 'connected');
  assert.equal(await connectError('fd00::1:2', await freePort()), 'ConnectionRefusedError 111');
  assert.equal(await connectError('fd66::1', port), 'OSError 113');
});

test('a service on the laptop’s 127.0.0.1 is reachable inside', async () => {
  const port = await serve((socket) => socket.end('laptop'));
  const program = `import socket; print(socket.create_connection(("127.0.0.1", ${port})).recv(9).decode())`;
  assert.equal((await session.run(['python3', '-c', program])).stdout, 'laptop\n');
  assert.ok(session.lines.some(({ dialled }) => dialled === `127.0.0.1 ${port}`));
});

test('a request that ends before its answer begins gets the whole answer', async () => {
  const port = await serve((socket) => {
    let bytes = 0;
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    socket.on('end', () => socket.end(`got ${bytes}`));
  });
  const program = `import socket
s = socket.create_connection(("10.1.2.3", ${port}))
s.sendall(b"x" * 3000000); s.shutdown(socket.SHUT_WR)
print(s.makefile().read())`;
  assert.equal((await session.run(['python3', '-c', program])).stdout, 'got 3000000\n');
});

test('a reset arrives as a reset, not as an end', async () => {
  const port = await serve((socket) => {
    socket.once('data', () => socket.write('half', () => socket.resetAndDestroy()));
  });
  const program = `import socket
s = socket.create_connection(("10.1.2.3", ${port})); s.sendall(b"x")
try:
  while s.recv(100): pass
  print("end")
except ConnectionResetError: print("reset")`;
  assert.equal((await session.run(['python3', '-c', program])).stdout, 'reset\n');
});

test('200 connections at once each get their own bytes back', async () => {
  const port = await serve((socket) => socket.pipe(socket));
  const program = `import concurrent.futures, socket
def talk(number):
  with socket.create_connection(("10.1.2.3", ${port}), 20) as s:
    text = (b"%d " % number) * 5000
    s.sendall(text); s.shutdown(socket.SHUT_WR)
    return s.makefile("rb").read() == text
with concurrent.futures.ThreadPoolExecutor(200) as pool: print(sum(pool.map(talk, range(200))))`;
  assert.equal((await session.run(['python3', '-c', program])).stdout, '200\n');
});

async function echo(family: 'udp4' | 'udp6' = 'udp4'): Promise<{ socket: DatagramSocket; port: number }> {
  const socket = createSocket(family);
  socket.on('message', (message, from) => socket.send(message, from.port, from.address));
  await new Promise<void>((resolve) => socket.bind(0, family === 'udp4' ? '127.0.0.1' : '::1', resolve));
  return { socket, port: socket.address().port };
}

test('datagrams of all sizes come back from the address they were sent to', async () => {
  const { socket, port } = await echo();
  const program = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
for host in ("10.4.4.4", "10.5.5.5", "127.0.0.1"):
  for size in (0, 1, 1200, 65507):
    s.sendto(b"x" * size, (host, ${port}))
    assert s.recvfrom(65536) == (b"x" * size, (host, ${port})), (host, size)
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.settimeout(5)
s.sendto(b"six", ("fd00::4", ${port})); print(s.recvfrom(9))`;
  const { stdout, stderr } = await session.run(['python3', '-c', program]);
  socket.close();
  assert.equal(stdout, `(b'six', ('fd00::4', ${port}, 0, 0))\n`, stderr);
});

test('datagrams of one large send, cut by the kernel, arrive as they were cut', async () => {
  const { socket, port } = await echo();
  const program = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect(("10.4.4.4", ${port}))
s.setsockopt(17, 103, 100) # UDP_SEGMENT, as QUIC libraries use it
s.send(bytes(1000)); print([len(s.recv(2000)) for _ in range(10)])`;
  const { stdout, stderr } = await session.run(['python3', '-c', program]);
  socket.close();
  assert.equal(stdout, `[${Array(10).fill(100).join(', ')}]\n`, stderr);
});

test('a datagram to a port that nobody has is refused', async () => {
  const { socket, port } = await echo();
  socket.close();
  const program = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect(("10.4.4.4", ${port})); s.send(b"x")
try: s.recv(9)
except OSError as error: print(error.errno)`;
  assert.equal((await session.run(['python3', '-c', program])).stdout, '111\n');
});

test('questions over TCP are answered, and questions to other servers leave as datagrams', async () => {
  const program = `import socket, struct
question = bytes.fromhex("123401000001000000000000") + b"\\3api\\0" + bytes.fromhex("00010001")
s = socket.create_connection(("192.0.2.53", 53)); s.sendall(struct.pack("!H", len(question)) + question)
print(s.recv(2000)[-4:].hex())
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(question, ("10.8.8.8", 53))`;
  const { stdout, stderr } = await session.run(['python3', '-c', program]);
  assert.equal(stdout, '0a010203\n', stderr);
  await session.said(({ datagrams }) => datagrams === '10.8.8.8 53');
});

test('a ping is not answered by the laptop in the name of another', async () => {
  const program = `import socket
for host in ("10.1.2.3", "127.0.0.1"):
  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); s.settimeout(0.3)
  s.sendto(bytes([8, 0, 0, 0, 0, 1, 0, 1]), (host, 0))
  try: print(host, len(s.recv(99)))
  except socket.timeout: print(host, "silent")`;
  const { stdout, stderr } = await session.run(['python3', '-c', program]);
  assert.match(stdout, /10.1.2.3 silent\n127.0.0.1 \d+\n/, stderr);
});
