import { randomBytes } from 'node:crypto';
import { InterceptorError } from '../errors.ts';
import { decodeMessage, encodeFrame } from '../protocol/codec.ts';
import type { ControlMessage, HandshakeMessage, LinkAnswer, LinkOffer, SessionIdentity } from '../protocol/control.ts';
import {
  computeProof,
  hashTranscript,
  isNonce,
  isPlausibleIdentity,
  isPlausibleLink,
  MAX_IDENTITY_CHARS,
  NONCE_BYTES,
  verifyProof,
} from '../protocol/handshake.ts';
import { deriveSealKeys, KeyAgreement } from '../protocol/key-agreement.ts';
import { MAX_HANDSHAKE_BYTES } from '../protocol/limits.ts';
import { parseControlMessage } from '../protocol/parse-control.ts';
import { chooseVersion, PROTOCOL_VERSIONS } from '../protocol/versions.ts';
import { HandshakeReader } from './handshake-reader.ts';
import { Link } from './link.ts';
import type { ResumePoint } from './resume-point.ts';
import { sealTransport } from './sealed.ts';
import type { Transport } from './transport.ts';

export interface HandshakeOptions {
  /** The install's Secret key: parseTunnelKey. */
  readonly key: Uint8Array;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** What both ends have behind a handshake. */
export interface Handshaken {
  readonly version: number;
  /** The carrier, sealed and paused: give it to Link.attach, or to a Mux where nothing is resumed. */
  readonly transport: Transport;
  /** Where the link goes on; for Link.attach. */
  readonly at: ResumePoint;
}

export interface AgentHandshaken<L> extends Handshaken {
  readonly session: SessionIdentity;
  /** What the session asked for: id and time without a carrier of the link. */
  readonly link: LinkOffer;
  /** What `findLink` found: attach it. Undefined: make a Link of `link`, and attach that. */
  readonly resumed: L | undefined;
}

/** The session has begun a link before that the agent does not know: it has to start anew, with another link. */
export class LinkUnknownError extends InterceptorError {
  /** @param why the session may know more */
  constructor(why = 'the agent has lost the state of this tunnel: it was restarted, or the tunnel was away too long') {
    super('TUNNEL_LOST', why);
    this.name = 'LinkUnknownError';
  }
}

/**
 * The agent's part of the handshake (PROTOCOL.md "Handshake"). On success the transport is paused and what came behind
 * the proof is kept in it. On failure it is closed.
 * @param options.pod the name of this pod, told to the session and covered by the proofs
 * @param options.findLink looks up the link of a session that has proved itself; what it returns is to be attached at once
 * @throws InterceptorError TUNNEL_UNAUTHENTICATED: no proof, a wrong one, none in time, or no handshake at all;
 *   TUNNEL_VERSION; LinkUnknownError (the session was told); TUNNEL_LOST: the carrier broke. The signal's reason when aborted
 */
export async function agentHandshake<L extends { readonly received: number } = never>(
  transport: Transport,
  options: HandshakeOptions & {
    readonly pod: string;
    readonly findLink?: (session: SessionIdentity, id: string) => L | undefined;
  },
): Promise<AgentHandshaken<L>> {
  const { key, pod } = options;
  return await withTransport(transport, options, async (reader) => {
    const agentNonce = newNonce();
    const agreement = new KeyAgreement();
    const agentEcdh = agreement.publicKey;
    say(transport, { type: 'hello', versions: PROTOCOL_VERSIONS, nonce: agentNonce, ecdh: agentEcdh, pod });
    const proof = await reader.next('the session did not prove itself in time');
    if (proof.type !== 'proof') throw unauthenticated(`expected a proof, got ${proof.type}`);
    const { version, nonce: sessionNonce, ecdh: sessionEcdh, session, link } = proof;
    if (!isNonce(sessionNonce)) throw unauthenticated('the session sent no proper nonce');
    if (!isPlausibleIdentity(session)) throw unauthenticated('the session sent too long a name');
    if (!isPlausibleLink(link)) throw unauthenticated('the session asked for no proper link');
    const versions = PROTOCOL_VERSIONS;
    const said = { versions, version, agentNonce, sessionNonce, agentEcdh, sessionEcdh, session, pod, link };
    if (!verifyProof(key, 'session', said, proof.mac)) throw unauthenticated('the proof of the session is wrong');
    if (!PROTOCOL_VERSIONS.includes(version)) {
      throw new InterceptorError('TUNNEL_VERSION', `the session chose protocol ${version}, which was not offered`);
    }
    const shared = agreement.agree(sessionEcdh);
    const resumed = options.findLink?.(session, link.id);
    if (resumed === undefined && link.begun) {
      const answer = { unknown: true } as const;
      say(transport, { type: 'welcome', ...answer, mac: computeProof(key, 'agent', said, answer) });
      throw new LinkUnknownError();
    }
    const answer = { received: resumed?.received ?? 0 };
    say(transport, { type: 'welcome', ...answer, mac: computeProof(key, 'agent', said, answer) });
    const keys = deriveSealKeys(key, shared, hashTranscript(said, answer));
    const at = { received: answer.received, peerReceived: link.received };
    return { session, version, link, resumed, at, transport: sealTransport(transport, 'agent', keys) };
  });
}

/**
 * The session's part of the handshake; otherwise as agentHandshake.
 * @param options.link the Link to begin or to go on with, without a carrier (Link.lose): what it tells must not change meanwhile.
 *   Without one the tunnel lasts as long as its carrier
 * @returns also the pod the agent says (and proves, by the key) it is in, and whether the agent had the link before
 * @throws InterceptorError TUNNEL_UNAUTHENTICATED: the agent refused our proof, or its own is wrong; TUNNEL_VERSION: no
 *   common version; LinkUnknownError: go on with a new Link; TUNNEL_LOST: the agent said nothing in time, or the carrier
 *   broke. The signal's reason when aborted
 */
export async function sessionHandshake(
  transport: Transport,
  options: HandshakeOptions & { readonly session: SessionIdentity; readonly link?: LinkOffer },
): Promise<Handshaken & { readonly pod: string; readonly resumed: boolean }> {
  const { key, session } = options;
  const { id, begun, received, resumeMs } = options.link ?? new Link({ resumeForMs: 0 });
  const link = { id, begun, received, resumeMs };
  return await withTransport(transport, options, async (reader) => {
    const hello = await reader.next('the agent did not answer in time', 'TUNNEL_LOST');
    if (hello.type !== 'hello') throw unauthenticated(`expected a hello, got ${hello.type}`);
    const { versions, nonce: agentNonce, ecdh: agentEcdh, pod } = hello;
    const version = chooseVersion(versions);
    if (!isNonce(agentNonce)) throw unauthenticated('the agent sent no proper nonce');
    if (pod.length > MAX_IDENTITY_CHARS) throw unauthenticated('the agent sent too long a name');
    const agreement = new KeyAgreement();
    const sessionEcdh = agreement.publicKey;
    const shared = agreement.agree(agentEcdh);
    const sessionNonce = newNonce();
    const said = { versions, version, agentNonce, sessionNonce, agentEcdh, sessionEcdh, session, pod, link };
    const mac = computeProof(key, 'session', said);
    say(transport, { type: 'proof', version, nonce: sessionNonce, ecdh: sessionEcdh, session, link, mac });
    const welcome = await reader.next('the agent did not answer in time', 'TUNNEL_LOST').catch((error: unknown) => {
      // An orderly close at this point is the agent's no.
      if (!reader.closedOrderly) throw error;
      throw unauthenticated('the agent refused the proof: it has another key', error);
    });
    if (welcome.type !== 'welcome') throw unauthenticated(`expected a welcome, got ${welcome.type}`);
    const answer: LinkAnswer = 'unknown' in welcome ? { unknown: true } : { received: welcome.received };
    if (!verifyProof(key, 'agent', said, welcome.mac, answer)) throw unauthenticated('the proof of the agent is wrong');
    if ('unknown' in answer) throw new LinkUnknownError();
    const keys = deriveSealKeys(key, shared, hashTranscript(said, answer));
    const at = { received, peerReceived: answer.received };
    return { version, pod, resumed: begun, at, transport: sealTransport(transport, 'session', keys) };
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
