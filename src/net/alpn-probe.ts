import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import type { Answerer } from '../http/routing.ts';
import { TlsFailure, tlsFailure } from './tls-failure.ts';

/** In the order of our preference. */
export const ALPN: readonly string[] = ['h2', 'http/1.1'];
/** An app that takes longer is not waited for. */
const PROBE_TIMEOUT_MS = 1_000;
/** How long an answer holds: an app may be replaced by another version. */
const REMEMBERED_MS = 60_000;
/** How soon one that told nothing is asked again: it may be starting. */
const RETRY_MS = 1_000;
/** What a peer may still say when all is known. */
const LINGER_MS = 1_000;

interface Known {
  readonly spoken: Promise<readonly string[] | undefined>;
  untilMs: number;
}
const known = new WeakMap<Answerer, Known>();

/**
 * What an answerer speaks in TLS, of `ALPN`; asked once a minute for each Answerer object. One that uses no ALPN speaks HTTP/1.1.
 * @param serverName to ask for, if any
 * @returns undefined: it could not be reached, or speaks no TLS
 */
export function alpnOf(answerer: Answerer, serverName?: string): Promise<readonly string[] | undefined> {
  const before = known.get(answerer);
  if (before !== undefined && before.untilMs > performance.now()) return before.spoken;
  const asked: Known = { spoken: ask(), untilMs: Number.POSITIVE_INFINITY };
  known.set(answerer, asked);
  return asked.spoken;

  async function ask(): Promise<readonly string[] | undefined> {
    const spoken = await probe(answerer, serverName);
    asked.untilMs = performance.now() + (spoken === undefined ? RETRY_MS : REMEMBERED_MS);
    return spoken ?? (await before?.spoken);
  }
}

async function probe(answerer: Answerer, serverName: string | undefined): Promise<readonly string[] | undefined> {
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  try {
    const first = await chosen(answerer, ALPN, serverName, signal);
    if (first !== 'h2') return ['http/1.1'];
  } catch {
    return undefined;
  }
  try {
    await chosen(answerer, ['http/1.1'], serverName, signal);
    return ALPN;
  } catch (failure) {
    return failure instanceof TlsFailure && failure.lack === 'http/1.1' ? ['h2'] : ALPN;
  }
}

/** @throws why there was no handshake */
async function chosen(
  answerer: Answerer,
  offered: readonly string[],
  serverName: string | undefined,
  signal: AbortSignal,
): Promise<string | false | null> {
  const connection = await answerer.connect(signal);
  const plain = connect({
    socket: connection,
    rejectUnauthorized: false, // as with what follows: src/net/tls.ts
    ALPNProtocols: [...offered],
    ...(serverName === undefined ? {} : { servername: serverName }),
  });
  plain.on('error', () => {});
  connection.on('error', () => {});
  // Half-open connections below: one who leaves says 'end' only.
  plain.once('end', () => plain.destroy());
  const gone = new AbortController();
  plain.once('close', () => gone.abort());
  try {
    await once(plain, 'secureConnect', { signal: AbortSignal.any([signal, gone.signal]) });
    leave(plain);
    return plain.alpnProtocol;
  } catch (failure) {
    connection.resetAndDestroy();
    plain.destroy();
    throw tlsFailure(failure, 'http/1.1');
  }
}

/** Says good-bye: a reset would be in the app's log. */
function leave(plain: TLSSocket): void {
  const timer = setTimeout(() => plain.destroy(), LINGER_MS);
  plain.once('close', () => clearTimeout(timer));
  plain.resume();
  plain.end();
}
