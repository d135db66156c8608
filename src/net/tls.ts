import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect, createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import type { PlainCaller, TlsEnding } from '../http/detect.ts';
import type { Resettable } from '../http/routing.ts';
import type { Encrypt } from '../http/tls-routes.ts';
import { ALPN, alpnOf } from './alpn-probe.ts';
import { TlsFailure, tlsFailure } from './tls-failure.ts';

const HANDSHAKE_TIMEOUT_MS = 10_000;

/**
 * Ends TLS of callers with one certificate, whatever name they ask for, and begins it anew towards who answers. Callers are offered
 * the protocols that the app speaks, both while it cannot be asked: what they choose must be answered by it.
 * @param material PEM: the chain, and its key
 * @throws Error when OpenSSL cannot read them, or they do not belong together
 */
export function tlsEnding(material: { readonly certificate: string; readonly key: string }): TlsEnding {
  const secureContext = createSecureContext({ cert: material.certificate, key: material.key });
  const serverName = aName(material.certificate);
  return {
    accept: async (caller, first, app) => {
      const offered = (await alpnOf(app, serverName)) ?? ALPN;
      if (caller.destroyed || caller.readableEnded) {
        caller.destroy();
        throw new Error('the caller is gone');
      }
      return await accept(caller, first, secureContext, offered);
    },
  };
}

/** A name the certificate is for: some servers refuse who asks for none. */
function aName(certificate: string): string | undefined {
  const names = new X509Certificate(certificate).subjectAltName?.split(', ') ?? [];
  return names.flatMap((name) => /^DNS:([^*"]+)$/.exec(name)?.[1] ?? [])[0];
}

async function accept(
  caller: Resettable,
  first: Buffer,
  secureContext: SecureContext,
  offered: readonly string[],
): Promise<PlainCaller> {
  if (first.byteLength > 0) caller.unshift(first);
  const plain = new TLSSocket(caller, { isServer: true, secureContext, ALPNProtocols: [...offered] });
  const resettable = withReset(plain, caller);
  await untilSecure(plain, 'secure');
  // Set by tls.Server only (Node 20 to 26), and an HTTP/2 session waits for it.
  Reflect.set(plain, 'secureConnecting', false);
  const protocol = plain.alpnProtocol === 'h2' || plain.alpnProtocol === 'http/1.1' ? plain.alpnProtocol : undefined;
  // Node's types leave out that a server's socket has it too.
  const serverName: unknown = Reflect.get(plain, 'servername');
  return {
    caller: resettable,
    protocol,
    encrypt: encryptFor(protocol, typeof serverName === 'string' ? serverName : ''),
  };
}

/** TLS towards who answers, as the caller has it with us. */
function encryptFor(protocol: PlainCaller['protocol'], serverName: string): Encrypt {
  return (connection) => {
    const plain = connect({
      socket: connection,
      // The certificate is for the Service's name, and both ends are in the pod or in the tunnel that has proved itself: whoever
      // could stand in for the app here has the pod already.
      rejectUnauthorized: false,
      ...(serverName !== '' && isIP(serverName) === 0 ? { servername: serverName } : {}),
      ...(protocol === undefined ? {} : { ALPNProtocols: [protocol] }),
    });
    const secured = untilSecure(plain, 'secureConnect').then(
      () => {
        if (protocol !== 'h2' || plain.alpnProtocol === 'h2') return;
        plain.destroy();
        throw TlsFailure.lacking('h2');
      },
      (failure: unknown) => {
        throw tlsFailure(failure, protocol);
      },
    );
    return { plain: withReset(plain, connection), secured };
  };
}

/** A failure inside must reach the peer as a reset: TLSSocket has no TCP handle of its own to do that with. */
function withReset(plain: TLSSocket, connection: Resettable): Resettable {
  plain.on('error', () => {}); // 'close' follows
  plain.resetAndDestroy = () => {
    connection.resetAndDestroy();
    return plain.destroy();
  };
  return plain;
}

/** @throws why the handshake failed; the connection is closed then */
function untilSecure(plain: TLSSocket, event: 'secure' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => plain.destroy(new Error('the TLS handshake took too long')), HANDSHAKE_TIMEOUT_MS);
    const failed = (failure?: Error | boolean): void => {
      clearTimeout(timer);
      plain.destroy();
      reject(failure instanceof Error ? failure : new Error('the connection was closed in the TLS handshake'));
    };
    // Half-open connections below: one who leaves says 'end' only.
    for (const over of ['error', 'end', 'close']) plain.once(over, failed);
    plain.once(event, () => {
      clearTimeout(timer);
      for (const over of ['error', 'end', 'close']) plain.off(over, failed);
      resolve();
    });
  });
}
