import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { agentHandshake, LinkUnknownError, sessionHandshake } from '../../../src/mux/handshake.ts';
import { Link } from '../../../src/mux/link.ts';
import type { LinkOffer } from '../../../src/protocol/control.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { deadlineMs, key, offer, pod, refused, session } from './support/handshake-scene.ts';

let a: MemoryTransport;
let b: MemoryTransport;

beforeEach(() => {
  [a, b] = MemoryTransport.pair();
});
afterEach(() => a.terminate());

test.each<[string, Partial<LinkOffer>]>([
  ['an id that is none', { id: 'x'.repeat(2000) }],
  ['more than five minutes without a carrier', { resumeMs: 300_001 }],
])('a session that asks for %s is refused', async (_name, fields) => {
  const agent = agentHandshake(a, { key, pod, deadlineMs });
  const other = sessionHandshake(b, { key, session, deadlineMs, link: offer(fields) });
  await expect(agent).rejects.toMatchObject(refused);
  await expect(other).rejects.toMatchObject(refused);
});

test('a link that the agent does not have is begun, unless the session had begun it: then both say so', async () => {
  const link = new Link({ resumeForMs: 1_000 });
  const asked: string[] = [];
  const findLink = (_session: unknown, id: string): undefined => {
    asked.push(id);
  };
  const [atAgent, atSession] = await Promise.all([
    agentHandshake(a, { key, pod, deadlineMs, findLink }),
    sessionHandshake(b, { key, session, deadlineMs, link }),
  ]);
  assert.equal(atAgent.resumed, undefined);
  assert.deepEqual(atAgent.link, { id: link.id, begun: false, received: 0, resumeMs: 1_000 });
  assert.equal(atSession.resumed, false);

  link.attach(atSession.transport, atSession.at);
  const [c, d] = MemoryTransport.pair();
  const agent = agentHandshake(c, { key, pod, deadlineMs, findLink });
  const other = sessionHandshake(d, { key, session, deadlineMs, link });
  await Promise.all([
    expect(agent).rejects.toBeInstanceOf(LinkUnknownError),
    expect(other).rejects.toBeInstanceOf(LinkUnknownError),
  ]);
  assert.deepEqual(asked, [link.id, link.id]);
  link.terminate();
});

test('both ends of a link learn what the other has received', async () => {
  const had = { received: 41 };
  const [atAgent, atSession] = await Promise.all([
    agentHandshake(a, { key, pod, deadlineMs, findLink: () => had }),
    sessionHandshake(b, { key, session, deadlineMs, link: offer({ begun: true, received: 12 }) }),
  ]);
  assert.equal(atAgent.resumed, had);
  assert.deepEqual(atAgent.at, { received: 41, peerReceived: 12 });
  assert.deepEqual(atSession.at, { received: 12, peerReceived: 41 });
});

test('nobody is looked up for a peer that has not proved itself', async () => {
  let asked = 0;
  const findLink = (): undefined => {
    asked += 1;
  };
  const agent = agentHandshake(a, { key: randomBytes(32), pod, deadlineMs, findLink });
  const other = sessionHandshake(b, { key, session, deadlineMs, link: offer({ begun: true }) });
  await expect(agent).rejects.toMatchObject(refused);
  await expect(other).rejects.toMatchObject(refused);
  assert.equal(asked, 0);
});
