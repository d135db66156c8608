import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Transport } from '../../../../src/mux/transport.ts';
import { decodeMessage, encodeFrame } from '../../../../src/protocol/codec.ts';
import type { HandshakeMessage, LinkOffer } from '../../../../src/protocol/control.ts';
import { KeyAgreement } from '../../../../src/protocol/key-agreement.ts';
import { parseControlMessage } from '../../../../src/protocol/parse-control.ts';

/** The install's Secret key. */
export const key = randomBytes(32);
export const session = { sessionId: 'session-1', user: 'ada', host: 'laptop' };
export const deadlineMs = 5_000;
export const pod = 'web-1';

/** An agent's first message. @param ecdh a public key, base64url */
export const hello = (versions = [2], ecdh = new KeyAgreement().publicKey): HandshakeMessage => ({
  type: 'hello',
  versions,
  nonce: randomBytes(32).toString('base64url'),
  ecdh,
  pod,
});

/** A link that a session asks for, not begun yet. */
export const offer = (fields: Partial<LinkOffer> = {}): LinkOffer => ({
  id: randomBytes(16).toString('base64url'),
  begun: false,
  received: 0,
  resumeMs: 30_000,
  ...fields,
});

/** What either end throws that does not believe the other. */
export const refused = { code: 'TUNNEL_UNAUTHENTICATED' };

/** Sends one message of the handshake as it stands. */
export const say = (transport: Transport, message: HandshakeMessage): void =>
  transport.send(encodeFrame({ type: 'control', text: JSON.stringify(message) }));

/** The handshake message in a tunnel message. */
export const hear = (message: Uint8Array): HandshakeMessage => {
  const [frame] = decodeMessage(message);
  assert.ok(frame?.type === 'control');
  return parseControlMessage(frame.text) as HandshakeMessage;
};

/** The next message that comes. */
export const next = (transport: Transport): Promise<HandshakeMessage> =>
  new Promise((resolve) => {
    transport.onMessage = (message) => {
      transport.onMessage = undefined;
      resolve(hear(message));
    };
  });
