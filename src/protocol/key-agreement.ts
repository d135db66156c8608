import { createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync, type KeyObject } from 'node:crypto';
import { InterceptorError } from '../errors.ts';

/** Of AES-256. */
export const SEAL_KEY_BYTES = 32;
/** An X25519 public key, 32 bytes, in base64url. */
const PUBLIC_KEY = /^[A-Za-z0-9_-]{43}$/;

/** One key for each direction of one carrier. */
export interface SealKeys {
  readonly sessionToAgent: Uint8Array;
  readonly agentToSession: Uint8Array;
}

/** One side of an X25519 agreement, used once. */
export class KeyAgreement {
  /** To be told to the peer: base64url. */
  readonly publicKey: string;
  readonly #privateKey: KeyObject;

  constructor() {
    const pair = generateKeyPairSync('x25519');
    this.#privateKey = pair.privateKey;
    this.publicKey = pair.publicKey.export({ format: 'jwk' }).x ?? '';
  }

  /**
   * @param peerPublicKey as the peer told it
   * @returns the shared secret
   * @throws InterceptorError TUNNEL_UNAUTHENTICATED: no public key, or one that leaves no secret (all zero, RFC 7748 §6.1)
   */
  agree(peerPublicKey: string): Buffer {
    if (!PUBLIC_KEY.test(peerPublicKey)) throw refused();
    let shared: Buffer;
    try {
      const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: peerPublicKey }, format: 'jwk' });
      shared = diffieHellman({ privateKey: this.#privateKey, publicKey });
    } catch (cause) {
      throw refused(cause);
    }
    if (shared.every((byte) => byte === 0)) throw refused();
    return shared;
  }
}

/**
 * The keys of one carrier (PROTOCOL.md "Handshake"): HKDF-SHA256 over the install's key and the agreed secret.
 * @param transcriptHash of all that both sides said in the handshake
 */
export function deriveSealKeys(key: Uint8Array, shared: Uint8Array, transcriptHash: Uint8Array): SealKeys {
  const secret = Buffer.concat([key, shared]);
  const derive = (direction: string): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', secret, transcriptHash, `kube-intercept ${direction}`, SEAL_KEY_BYTES));
  return { sessionToAgent: derive('session to agent'), agentToSession: derive('agent to session') };
}

function refused(cause?: unknown): InterceptorError {
  return new InterceptorError('TUNNEL_UNAUTHENTICATED', 'tunnel handshake: the peer sent no proper public key', {
    cause,
  });
}
