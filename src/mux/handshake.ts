import { randomBytes } from 'node:crypto';
import { InterceptorError } from '../errors.ts';
import { decodeMessage, encodeFrame } from '../protocol/codec.ts';
import {
  type ControlMessage,
  type HandshakeMessage,
  parseControlMessage,
  type SessionIdentity,
} from '../protocol/control.ts';
import {
  computeProof,
  isNonce,
  isPlausibleIdentity,
  MAX_IDENTITY_CHARS,
  NONCE_BYTES,
  type Transcript,
  verifyProof,
} from '../protocol/handshake.ts';
import { MAX_HANDSHAKE_BYTES } from '../protocol/limits.ts';
import { chooseVersion, PROTOCOL_VERSIONS } from '../protocol/versions.ts';
import { HandshakeReader } from './handshake-reader.ts';
import type { Transport } from './transport.ts';

export interface HandshakeOptions {
  /** The install's Secret key: parseTunnelKey. */
  readonly key: Uint8Array;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/**
 * The agent's part of the handshake (PROTOCOL.md "Handshake"). On success the transport is paused and what came behind
 * the proof is kept in it: give it to a Mux. On failure it is closed.
 * @param options.pod the name of this pod, told to the session and covered by the proofs
 * @throws InterceptorError TUNNEL_UNAUTHENTICATED: no proof, a wrong one, none in time, or no handshake at all;
 *   TUNNEL_VERSION; TUNNEL_LOST: the carrier broke. The signal's reason when aborted
 */
export async function agentHandshake(
  transport: Transport,
  options: HandshakeOptions & { readonly pod: string },
): Promise<{ session: SessionIdentity; version: number }> {
  const { key, pod } = options;
  return await withTransport(transport, options, async (reader) => {
    const agentNonce = newNonce();
    say(transport, { type: 'hello', versions: PROTOCOL_VERSIONS, nonce: agentNonce, pod });
    const proof = await reader.next('the session did not prove itself in time');
    if (proof.type !== 'proof') throw unauthenticated(`expected a proof, got ${proof.type}`);
    const { version, nonce: sessionNonce, session } = proof;
    if (!isNonce(sessionNonce)) throw unauthenticated('the session sent no proper nonce');
    if (!isPlausibleIdentity(session)) throw unauthenticated('the session sent too long a name');
    const transcript: Transcript = { versions: PROTOCOL_VERSIONS, version, agentNonce, sessionNonce, session, pod };
    if (!verifyProof(key, 'session', transcript, proof.mac)) throw unauthenticated('the proof of the session is wrong');
    if (!PROTOCOL_VERSIONS.includes(version)) {
      throw new InterceptorError('TUNNEL_VERSION', `the session chose protocol ${version}, which was not offered`);
    }
    say(transport, { type: 'welcome', mac: computeProof(key, 'agent', transcript) });
    return { session, version };
  });
}

/**
 * The session's part of the handshake; otherwise as agentHandshake.
 * @returns the protocol version to speak, and the pod the agent says (and proves, by the key) it is in
 * @throws InterceptorError TUNNEL_UNAUTHENTICATED: the agent refused our proof, or its own is wrong; TUNNEL_VERSION: no
 *   common version; TUNNEL_LOST: the agent said nothing in time, or the carrier broke. The signal's reason when aborted
 */
export async function sessionHandshake(
  transport: Transport,
  options: HandshakeOptions & { readonly session: SessionIdentity },
): Promise<{ version: number; pod: string }> {
  const { key, session } = options;
  return await withTransport(transport, options, async (reader) => {
    const hello = await reader.next('the agent did not answer in time', 'TUNNEL_LOST');
    if (hello.type !== 'hello') throw unauthenticated(`expected a hello, got ${hello.type}`);
    const { versions, nonce: agentNonce, pod } = hello;
    if (!isNonce(agentNonce)) throw unauthenticated('the agent sent no proper nonce');
    if (pod.length > MAX_IDENTITY_CHARS) throw unauthenticated('the agent sent too long a name');
    const version = chooseVersion(versions);
    const sessionNonce = newNonce();
    const transcript: Transcript = { versions, version, agentNonce, sessionNonce, session, pod };
    say(transport, {
      type: 'proof',
      version,
      nonce: sessionNonce,
      session,
      mac: computeProof(key, 'session', transcript),
    });
    const welcome = await reader.next('the agent did not answer in time', 'TUNNEL_LOST').catch((error: unknown) => {
      // An orderly close at this point is the agent's no.
      if (!reader.closedOrderly) throw error;
      throw unauthenticated('the agent refused the proof: it has another key', error);
    });
    if (welcome.type !== 'welcome') throw unauthenticated(`expected a welcome, got ${welcome.type}`);
    if (!verifyProof(key, 'agent', transcript, welcome.mac)) throw unauthenticated('the proof of the agent is wrong');
    return { version, pod };
  });
}

async function withTransport<Result>(
  transport: Transport,
  options: HandshakeOptions,
  run: (reader: HandshakeReader) => Promise<Result>,
): Promise<Result> {
  const reader = new HandshakeReader(transport, options.deadlineMs, options.signal, readMessage);
  try {
    return await run(reader);
  } catch (error) {
    transport.onMessage = () => {}; // what else it says is not wanted
    transport.close();
    throw error;
  } finally {
    reader.stop();
  }
}

/** @throws InterceptorError TUNNEL_UNAUTHENTICATED when it is anything but one handshake message */
function readMessage(message: Uint8Array): HandshakeMessage {
  if (message.byteLength > MAX_HANDSHAKE_BYTES) throw unauthenticated('a message too large for the handshake');
  const control = readControl(message);
  if (control.type === 'hello' || control.type === 'proof' || control.type === 'welcome') return control;
  throw unauthenticated(`a ${control.type} before authentication`);
}

function readControl(message: Uint8Array): ControlMessage {
  try {
    const [frame, ...others] = decodeMessage(message);
    if (frame?.type === 'control' && others.length === 0) return parseControlMessage(frame.text);
  } catch (error) {
    throw unauthenticated('the peer does not speak the handshake', error);
  }
  throw unauthenticated('a frame before authentication');
}

function say(transport: Transport, message: HandshakeMessage): void {
  transport.send(encodeFrame({ type: 'control', text: JSON.stringify(message) }));
}

function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString('base64url');
}

function unauthenticated(what: string, cause?: unknown): InterceptorError {
  return new InterceptorError('TUNNEL_UNAUTHENTICATED', `tunnel handshake: ${what}`, { cause });
}
