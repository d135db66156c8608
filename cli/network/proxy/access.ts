import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { peerUid } from './peer-uid.ts';

/** Of the proxy's URL; no character of them needs escaping there. */
export interface ProxyCredentials {
  readonly user: string;
  readonly password: string;
}

/** The session's own user, and root, who may do everything anyway; none on Windows. */
export function ownUids(): readonly number[] {
  const uid = process.getuid?.();
  return uid === undefined ? [] : [uid, 0];
}

/** New ones for each session. */
export function makeCredentials(): ProxyCredentials {
  return { user: 'intercept', password: randomBytes(18).toString('base64url') };
}

/**
 * Who may use the port. It leads into the cluster, and every user of the laptop can reach 127.0.0.1: so a client shows the
 * credentials of the proxy URL, or (Linux) its socket is of the session's own user, who could read them anyway. The latter is
 * for programs that cannot send any, such as the JVM with an HTTP proxy.
 */
export class Access {
  readonly credentials: ProxyCredentials;
  readonly #wanted: Buffer;
  readonly #uids: ReadonlySet<number>;

  /** @param uids whose sockets may do without credentials */
  constructor(credentials: ProxyCredentials, uids: readonly number[]) {
    this.credentials = credentials;
    this.#wanted = digest(credentials.user, credentials.password);
    this.#uids = new Set(uids);
  }

  byPassword(user: string, password: string): boolean {
    return timingSafeEqual(digest(user, password), this.#wanted);
  }

  /** @param header of `Proxy-Authorization` */
  byHeader(header: string | undefined): boolean {
    const match = /^basic\s+([\w+/=-]+)\s*$/i.exec(header ?? '');
    const text = Buffer.from(match?.[1] ?? '', 'base64').toString('utf8');
    const colon = text.indexOf(':');
    return colon !== -1 && this.byPassword(text.slice(0, colon), text.slice(colon + 1));
  }

  /** By the user that holds the peer's socket. */
  byOwner(protocol: 'tcp' | 'udp', peerPort: number | undefined, ownPort: number | undefined): boolean {
    if (peerPort === undefined) return false;
    const uid = peerUid(protocol, peerPort, ownPort);
    return uid !== undefined && this.#uids.has(uid);
  }
}

function digest(user: string, password: string): Buffer {
  return createHash('sha256').update(`${user}\0${password}`).digest();
}
