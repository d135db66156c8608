import { systemErrorCode } from '../errors.ts';
import type { TlsLack } from '../http/routing.ts';

const LACKS: Readonly<Record<TlsLack, string>> = {
  tls: 'does not speak TLS here',
  h2: 'does not speak HTTP/2 in TLS here',
  'http/1.1': 'does not speak HTTP/1.1 in TLS here',
};

/** A handshake that came to nothing. `message` is a predicate: who failed is put before it. */
export class TlsFailure extends Error {
  /** Undefined: it may do better the next time. */
  readonly lack: TlsLack | undefined;

  constructor(message: string, lack?: TlsLack) {
    super(message);
    this.name = 'TlsFailure';
    this.lack = lack;
  }

  static lacking(lack: TlsLack): TlsFailure {
    return new TlsFailure(LACKS[lack], lack);
  }
}

/**
 * A failed handshake in words: OpenSSL's are for who can read its source.
 * @param asked the protocol that was asked for with ALPN
 */
export function tlsFailure(thrown: unknown, asked: TlsLack | undefined): TlsFailure {
  if (thrown instanceof TlsFailure) return thrown;
  const code = systemErrorCode(thrown) ?? '';
  if (code.endsWith('_ALERT_NO_APPLICATION_PROTOCOL') && asked !== undefined) return TlsFailure.lacking(asked);
  const alert = /_ALERT_(.+)$/.exec(code)?.[1];
  if (alert !== undefined)
    return new TlsFailure(`refused the TLS handshake (${alert.toLowerCase().replaceAll('_', ' ')})`);
  if (code.startsWith('ERR_SSL_')) return TlsFailure.lacking('tls');
  return new TlsFailure('did not finish the TLS handshake');
}
