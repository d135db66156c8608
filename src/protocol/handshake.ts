import { createHmac, timingSafeEqual } from 'node:crypto';
import { InterceptorError } from '../errors.ts';
import type { SessionIdentity } from './control.ts';

/** Length of the secret both sides share, and of each nonce. */
export const KEY_BYTES = 32;
export const NONCE_BYTES = 32;
/** Longest identity field that is believed. */
export const MAX_IDENTITY_CHARS = 256;

/** Who makes a proof. The label is part of what is signed, so that a proof sent back to its maker proves nothing. */
export type ProofRole = 'session' | 'agent';

/** All that both sides said: a proof covers the whole of it. Nonces are base64url. */
export interface Transcript {
  readonly versions: readonly number[];
  readonly version: number;
  readonly agentNonce: string;
  readonly sessionNonce: string;
  readonly session: SessionIdentity;
  readonly pod: string;
}

/**
 * HMAC-SHA256 over role and transcript, base64url (PROTOCOL.md "Handshake"). The transcript is a JSON array of fixed
 * shape: JSON's quoting keeps a field from running into the next.
 */
export function computeProof(key: Uint8Array, role: ProofRole, transcript: Transcript): string {
  const { versions, version, agentNonce, sessionNonce, session, pod } = transcript;
  const signed = JSON.stringify([
    `kube-intercept ${role}`,
    versions,
    version,
    agentNonce,
    sessionNonce,
    session.sessionId,
    session.user,
    session.host,
    pod,
  ]);
  return createHmac('sha256', key).update(signed, 'utf8').digest('base64url');
}

/** Whether `mac` is the proof of `role` over `transcript`; takes the same time for every wrong answer. */
export function verifyProof(key: Uint8Array, role: ProofRole, transcript: Transcript, mac: string): boolean {
  const wanted = Buffer.from(computeProof(key, role, transcript), 'base64url');
  const given = Buffer.from(mac, 'base64url');
  return given.byteLength === wanted.byteLength && timingSafeEqual(given, wanted);
}

/** Whether `text` is a nonce: exactly NONCE_BYTES in base64url. */
export function isNonce(text: string): boolean {
  return text.length === Math.ceil((NONCE_BYTES * 4) / 3) && /^[A-Za-z0-9_-]+$/.test(text);
}

/** Whether every field is of a length that may be kept and shown. */
export function isPlausibleIdentity(session: SessionIdentity): boolean {
  return [session.sessionId, session.user, session.host].every((field) => field.length <= MAX_IDENTITY_CHARS);
}

/**
 * Reads the tunnel's key from the Secret's text.
 * @param text base64url of KEY_BYTES bytes, white space around it ignored
 * @throws InterceptorError INTERNAL when it is anything else
 */
export function parseTunnelKey(text: string): Uint8Array {
  const trimmed = text.trim();
  const key = Buffer.from(trimmed, 'base64url');
  if (key.byteLength !== KEY_BYTES || !/^[A-Za-z0-9_-]+=?$/.test(trimmed)) {
    throw new InterceptorError('INTERNAL', `the tunnel key is not ${KEY_BYTES} bytes of base64url`);
  }
  return key;
}
