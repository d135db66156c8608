import { createHmac, timingSafeEqual } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, isIPv6 } from 'node:net';
import { errorText } from '../src/errors.ts';
import { MAX_ARMED_PROOFS, MAX_PROOF_REQUEST_BYTES } from './limits.ts';
import { RequestFailure } from './request-failure.ts';

/**
 * Proof that the Service leads to an agent: one agent sends a request with a fresh nonce to the Service's address, the agent
 * it arrives at answers itself, with a MAC of the Secret's key. It has the shape of a plain HTTP request, or of a short text
 * in a datagram, harmless where it reaches an app instead.
 */
const PROOF_PATH = '/.well-known/kube-intercept-proof/';
const HEAD_END = '\r\n\r\n';

export type ProofVerdict = 'wait' | 'pass' | { readonly answer: string };

/** Decides what to do with the first bytes of a connection while proofs are expected. */
export interface ProofGate {
  judge(firstBytes: Buffer): ProofVerdict;
  /** Whether a request with this path is a proof that is expected: one that came too late to be held back. */
  isProof(path: string): boolean;
}

interface ArmedProof {
  readonly expiresMs: number;
  readonly onProved: (appPort: number) => void;
}

/** The nonces this agent answers now. */
export class ArmedProofs {
  readonly #armed = new Map<string, ArmedProof>();
  readonly #key: Uint8Array;
  readonly #podName: string;

  constructor(key: Uint8Array, podName: string) {
    this.#key = key;
    this.#podName = podName;
  }

  /** @throws RequestFailure LIMIT when too many are armed */
  arm(nonce: string, ttlMs: number, onProved: (appPort: number) => void): void {
    this.#prune();
    if (this.#armed.size >= MAX_ARMED_PROOFS && !this.#armed.has(nonce))
      throw new RequestFailure('LIMIT', `more than ${MAX_ARMED_PROOFS} proofs are expected`);
    this.#armed.set(nonce, { expiresMs: Date.now() + ttlMs, onProved });
  }

  /** The gate of a new connection on the port for `appPort`; undefined while nothing is expected. */
  gate(appPort: number): ProofGate | undefined {
    if (this.#armed.size === 0) return undefined;
    this.#prune();
    if (this.#armed.size === 0) return undefined;
    return {
      judge: (firstBytes) => this.#judge(firstBytes, appPort),
      isProof: (path) => path.startsWith(PROOF_PATH) && this.#armed.has(path.slice(PROOF_PATH.length)),
    };
  }

  /** The answer to a datagram that asks for a proof; undefined: it does not, or not for one that is expected. */
  answerDatagram(datagram: Buffer, appPort: number): string | undefined {
    if (this.#armed.size === 0) return undefined;
    this.#prune();
    for (const [nonce, { onProved }] of this.#armed) {
      if (!datagram.equals(Buffer.from(proofDatagram(nonce)))) continue;
      onProved(appPort);
      return proofBody(this.#key, nonce, this.#podName);
    }
    return undefined;
  }

  #judge(firstBytes: Buffer, appPort: number): ProofVerdict {
    const text = firstBytes.toString('latin1', 0, MAX_PROOF_REQUEST_BYTES);
    for (const [nonce, { onProved }] of this.#armed) {
      const line = requestLine(nonce);
      if (text.length < line.length && line.startsWith(text)) return 'wait';
      if (!text.startsWith(line)) continue;
      if (!text.includes(HEAD_END)) return text.length < MAX_PROOF_REQUEST_BYTES ? 'wait' : 'pass';
      onProved(appPort);
      return { answer: proofResponse(this.#key, nonce, this.#podName) };
    }
    return 'pass';
  }

  #prune(): void {
    const now = Date.now();
    for (const [nonce, { expiresMs }] of this.#armed) if (expiresMs <= now) this.#armed.delete(nonce);
  }
}

/** A nonce that can stand in a request line. */
export function isProofNonce(value: unknown): value is string {
  return typeof value === 'string' && /^[\w-]{16,128}$/.test(value);
}

/**
 * Sends the proof request to host:port and reads who answers.
 * @returns the pod of the agent that answered
 * @throws RequestFailure PROOF_FAILED with what happened instead
 */
export async function prove(
  target: { host: string; port: number },
  nonce: string,
  key: Uint8Array,
  signal: AbortSignal,
): Promise<{ pod: string }> {
  const place = `${target.host}:${target.port}`;
  const request = `${requestLine(nonce)}Host: ${place}\r\nConnection: close${HEAD_END}`;
  return await proved(place, signal, async () => {
    return parseProofResponse(await exchange(target, request, signal), nonce, key);
  });
}

/** The same by one datagram, from a port that no connection tracking knows. @throws RequestFailure PROOF_FAILED */
export async function proveByDatagram(
  target: { host: string; port: number },
  nonce: string,
  key: Uint8Array,
  signal: AbortSignal,
): Promise<{ pod: string }> {
  return await proved(`${target.host}:${target.port}`, signal, async () => {
    const socket = createSocket(isIPv6(target.host) ? 'udp6' : 'udp4');
    try {
      socket.connect(target.port, target.host);
      await once(socket, 'connect', { signal });
      const answered = once(socket, 'message', { signal });
      socket.send(proofDatagram(nonce));
      const [answer] = (await answered) as [Buffer];
      return parseProofBody(answer.toString('latin1'), nonce, key);
    } finally {
      socket.close();
    }
  });
}

/** @param ask undefined: the answer is no agent's of this workload */
async function proved(
  place: string,
  signal: AbortSignal,
  ask: () => Promise<string | undefined>,
): Promise<{ pod: string }> {
  let pod: string | undefined;
  try {
    pod = await ask();
  } catch (cause) {
    throw new RequestFailure('PROOF_FAILED', `${place}: ${signal.aborted ? 'no answer in time' : errorText(cause)}`);
  }
  if (pod !== undefined) return { pod };
  throw new RequestFailure('PROOF_FAILED', `${place} was answered by something else than an agent of this workload`);
}

/** @returns the pod that answered; undefined when the answer is not of one that holds the key */
export function parseProofResponse(response: string, nonce: string, key: Uint8Array): string | undefined {
  return parseProofBody(response.slice(response.indexOf(HEAD_END) + HEAD_END.length), nonce, key);
}

function parseProofBody(body: string, nonce: string, key: Uint8Array): string | undefined {
  const [, mac, pod] = /^kube-intercept ([\w-]+) (\S+)$/.exec(body) ?? [];
  if (mac === undefined || pod === undefined) return undefined;
  const given = Buffer.from(mac);
  const wanted = Buffer.from(proofMac(key, nonce, pod));
  return given.byteLength === wanted.byteLength && timingSafeEqual(given, wanted) ? pod : undefined;
}

function requestLine(nonce: string): string {
  return `GET ${PROOF_PATH}${nonce} HTTP/1.1\r\n`;
}

function proofResponse(key: Uint8Array, nonce: string, podName: string): string {
  const body = proofBody(key, nonce, podName);
  return `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close${HEAD_END}${body}`;
}

function proofDatagram(nonce: string): string {
  return `kube-intercept proof ${nonce}`;
}

function proofBody(key: Uint8Array, nonce: string, podName: string): string {
  return `kube-intercept ${proofMac(key, nonce, podName)} ${podName}`;
}

function proofMac(key: Uint8Array, nonce: string, podName: string): string {
  return createHmac('sha256', key).update(`kube-intercept proof\0${nonce}\0${podName}`).digest('base64url');
}

/** Sends `request`, resolves with what came back until the end (latin1, at most MAX_PROOF_REQUEST_BYTES). */
function exchange(target: { host: string; port: number }, request: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let response = '';
    const socket = connect({ ...target, signal, noDelay: true });
    socket.setEncoding('latin1');
    socket.on('connect', () => socket.write(request));
    socket.on('data', (text: string) => {
      response += text;
      if (response.length > MAX_PROOF_REQUEST_BYTES) socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(response));
  });
}
