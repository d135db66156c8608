import { expect, test } from 'vitest';
import { agentHandshake, sessionHandshake } from '../../../src/mux/handshake.ts';
import type { HandshakeMessage } from '../../../src/protocol/control.ts';
import { KeyAgreement } from '../../../src/protocol/key-agreement.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { deadlineMs, hear, key, offer, pod, refused, say, session } from './support/handshake-scene.ts';

test('a middleman cannot talk both ends down to fewer versions', async () => {
  const [agentEnd, toAgent] = MemoryTransport.pair();
  const [sessionEnd, toSession] = MemoryTransport.pair();
  const agent = agentHandshake(agentEnd, { key, pod, deadlineMs });
  const other = sessionHandshake(sessionEnd, { key, session, deadlineMs });
  toAgent.onMessage = (message) => {
    const hello = hear(message);
    say(toSession, hello.type === 'hello' ? { ...hello, versions: [2, 1] } : hello);
  };
  toSession.onMessage = (message) => toAgent.send(message);
  toAgent.onClose = () => toSession.close();
  await expect(agent).rejects.toMatchObject(refused);
  await expect(other).rejects.toMatchObject(refused);
});

/** Both ends behind a middleman who changes what he likes of what passes. */
const between = (
  change: (message: HandshakeMessage) => HandshakeMessage,
  link = offer(),
): { agent: Promise<unknown>; other: Promise<unknown> } => {
  const [agentEnd, toAgent] = MemoryTransport.pair();
  const [sessionEnd, toSession] = MemoryTransport.pair();
  const findLink = () => ({ received: 7 });
  const agent = agentHandshake(agentEnd, { key, pod, deadlineMs, findLink });
  const other = sessionHandshake(sessionEnd, { key, session, deadlineMs, link });
  toAgent.onMessage = (message) => say(toSession, change(hear(message)));
  toSession.onMessage = (message) => say(toAgent, change(hear(message)));
  toAgent.onClose = () => toSession.close();
  toSession.onClose = () => toAgent.close();
  return { agent, other };
};

const stranger = new KeyAgreement().publicKey;

test.each<[string, (message: HandshakeMessage) => HandshakeMessage]>([
  ["the agent's public key", (said) => (said.type === 'hello' ? { ...said, ecdh: stranger } : said)],
  ["the session's public key", (said) => (said.type === 'proof' ? { ...said, ecdh: stranger } : said)],
  ['the pod', (said) => (said.type === 'hello' ? { ...said, pod: 'web-2' } : said)],
  ["the link's id", (said) => (said.type === 'proof' ? { ...said, link: { ...said.link, id: 'A'.repeat(22) } } : said)],
  ['whether it was begun', (said) => (said.type === 'proof' ? { ...said, link: { ...said.link, begun: true } } : said)],
  ['what was received', (said) => (said.type === 'proof' ? { ...said, link: { ...said.link, received: 1 } } : said)],
  ['the time to resume', (said) => (said.type === 'proof' ? { ...said, link: { ...said.link, resumeMs: 0 } } : said)],
])('%s changed on the way is refused by both ends', async (_name, change) => {
  const { agent, other } = between(change);
  await expect(agent).rejects.toMatchObject(refused);
  await expect(other).rejects.toMatchObject(refused);
});

test.each<[string, (message: HandshakeMessage) => HandshakeMessage]>([
  ['another number', (said) => (said.type === 'welcome' ? { type: 'welcome', received: 6, mac: said.mac } : said)],
  ['unknown', (said) => (said.type === 'welcome' ? { type: 'welcome', unknown: true, mac: said.mac } : said)],
])('a welcome that was made to say %s is not believed', async (_name, change) => {
  const { agent, other } = between(change);
  await agent;
  await expect(other).rejects.toMatchObject(refused);
});
