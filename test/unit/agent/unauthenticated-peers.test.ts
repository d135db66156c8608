import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'vitest';
import { UnauthenticatedPeers } from '../../../agent/unauthenticated-peers.ts';

function socketFrom(remoteAddress: string, remotePort: number): Socket {
  return Object.defineProperties(new Socket(), {
    remoteAddress: { value: remoteAddress },
    remotePort: { value: remotePort },
  });
}

test('one peer too many cuts the oldest of the address that has the most', () => {
  const peers = new UnauthenticatedPeers(4);
  const session = socketFrom('10.0.0.1', 1);
  const strangers = [1, 2, 3].map((port) => socketFrom('10.9.9.9', port));
  for (const socket of [session, ...strangers]) peers.add(socket);
  peers.add(socketFrom('10.0.0.2', 1));
  assert.deepEqual(
    [session, ...strangers].map((socket) => socket.destroyed),
    [false, true, false, false],
  );
  assert.equal(peers.size, 4);
  peers.close();
});

test('a flood from one address leaves a slow session of another address alone', () => {
  const peers = new UnauthenticatedPeers(4);
  const session = socketFrom('10.0.0.1', 1);
  peers.add(session);
  for (let port = 1; port < 500; port++) peers.add(socketFrom('10.9.9.9', port));
  assert.equal(session.destroyed, false);
  peers.close();
});

test('a peer that proved itself has no deadline and takes no place', () => {
  const peers = new UnauthenticatedPeers(1);
  const session = socketFrom('10.0.0.1', 1);
  peers.add(session);
  peers.proved(session);
  assert.equal(peers.size, 0);
  peers.add(socketFrom('10.0.0.1', 2));
  assert.equal(session.destroyed, false);
  peers.close();
});

test('a connection that is gone already is not watched', () => {
  const peers = new UnauthenticatedPeers();
  assert.equal(peers.add(new Socket()), false);
  assert.equal(peers.size, 0);
});
