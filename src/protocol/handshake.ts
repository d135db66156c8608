import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { InterceptorError } from '../errors.ts';
import type { LinkAnswer, LinkOffer, SessionIdentity } from './control.ts';
import { MAX_RESUME_MS } from './limits.ts';

/** Length of the secret both sides share, and of each nonce. */
export const KEY_BYTES = 32;
export const NONCE_BYTES = 32;
/** Longest identity field that is believed. */
export const MAX_IDENTITY_CHARS = 256;

/** Who makes a proof. The label is part of what is signed, so that a proof sent back to its maker proves nothing. */
export type ProofRole = 'session' | 'agent';

/** All that both sides said before the welcome. Nonces and public keys (`ecdh`) are base64url. */
export interface Transcript {
  readonly versions: readonly number[];
  readonly version: number;
  readonly agentNonce: string;
  readonly sessionNonce: string;
  readonly agentEcdh: string;
  readonly sessionEcdh: string;
  readonly session: SessionIdentity;
  readonly pod: string;
  readonly link: LinkOffer;
}

/**
 * HMAC-SHA256 over role and transcript, base64url (PROTOCOL.md "Handshake"). The transcript is a JSON array of fixed
 * shape: JSON's quoting keeps a field from running into the next.
 * @param answer what the welcome says; undefined in the session's proof, which comes before it
 */
export function computeProof(key: Uint8Array, role: ProofRole, transcript: Transcript, answer?: LinkAnswer): string {
  return createHmac('sha256', key)
    .update(textOf(role, transcript, answer), 'utf8')
    .digest('base64url');
}

/** Whether `mac` is the proof of `role` over `transcript`; takes the same time for every wrong answer. */
export function verifyProof(
  key: Uint8Array,
  role: ProofRole,
  transcript: Transcript,
  mac: string,
  answer?: LinkAnswer,
): boolean {
  const wanted = Buffer.from(computeProof(key, role, transcript, answer), 'base64url');
  const given = Buffer.from(mac, 'base64url');
  return given.byteLength === wanted.byteLength && timingSafeEqual(given, wanted);
}

/** SHA-256 over all that was said: what the keys of the carrier are bound to. */
export function hashTranscript(transcript: Transcript, answer: LinkAnswer): Buffer {
  return createHash('sha256')
    .update(textOf('keys', transcript, answer), 'utf8')
    .digest();
}

function textOf(role: ProofRole | 'keys', transcript: Transcript, answer: LinkAnswer | undefined): string {
  const { versions, version, agentNonce, sessionNonce, agentEcdh, sessionEcdh, session, pod, link } = transcript;
  return JSON.stringify([
    `kube-intercept ${role}`,
    versions,
    version,
    agentNonce,
    sessionNonce,
    agentEcdh,
    sessionEcdh,
    session.sessionId,
    session.user,
    session.host,
    pod,
    link.id,
    link.begun,
    link.received,
    link.resumeMs,
    answer === undefined ? null : 'unknown' in answer ? 'unknown' : answer.received,
  ]);
}

/** Whether `text` is a nonce: exactly NONCE_BYTES in base64url. */
export function isNonce(text: string): boolean {
  return text.length === Math.ceil((NONCE_BYTES * 4) / 3) && /^[A-Za-z0-9_-]+$/.test(text);
}

/** Whether every field is of a length that may be kept and shown. */
export function isPlausibleIdentity(session: SessionIdentity): boolean {
  return [session.sessionId, session.user, session.host].every((field) => field.length <= MAX_IDENTITY_CHARS);
}

/** Whether the session may ask for such a link: `id` of 16 bytes in base64url, numbers within their limits. */
export function isPlausibleLink(link: LinkOffer): boolean {
  return /^[A-Za-z0-9_-]{22}$/.test(link.id) && link.resumeMs <= MAX_RESUME_MS;
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
