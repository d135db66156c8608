import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'vitest';
import { isOwnCaller } from '../../../cli/network/egress/own-callers.ts';

/** A user and root; neither is the caller's. */
const OWN = [12_345, 0];
const NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

const CALL_AND_GO = `
import socket, sys, time
caller = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
caller.sendall(b"x")
caller.close()
time.sleep(0.2) # the kernel has the end acknowledged within 40 ms
`;

test('a caller of another user who has gone already is not taken for root', async () => {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const called = once(server, 'connection');
  const { port } = server.address() as AddressInfo;
  execFileSync('python3', ['-c', CALL_AND_GO, String(port)], NOBODY); // nothing here runs meanwhile
  const [socket] = await called;
  assert.equal(isOwnCaller(socket, OWN), false);
  socket.destroy();
  server.close();
});
