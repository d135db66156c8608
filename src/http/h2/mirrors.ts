import { type ClientHttp2Session, type ClientHttp2Stream, constants, type OutgoingHttpHeaders } from 'node:http2';
import type { Duplex } from 'node:stream';
import { MAX_MIRROR_BYTES, type Mirror } from '../routing.ts';
import { MAX_OPEN_COPIES } from './limits.ts';
import { sendTrailers, type Tap } from './pump.ts';
import { beginHttp2, endHttp2 } from './session.ts';

/** What a head costs while it waits; Node tells no more. */
const HEAD_BYTES = 512;

/** The mirrors of one caller's connection: a session each; nothing of them reaches the caller. */
export class Copies {
  readonly #byId = new Map<string, MirrorSession>();

  /**
   * A copy of one request.
   * @param from the caller's stream: when it is cut, so is its copy
   * @returns takes the body, if there is one to come; undefined: nothing more to do
   */
  begin(mirror: Mirror, headers: OutgoingHttpHeaders, hasBody: boolean, from: Duplex): Tap | undefined {
    const session = this.#byId.get(mirror.id) ?? this.#open(mirror);
    if (session === undefined) {
      mirror.dropped();
      return undefined;
    }
    return session.copy(headers, hasBody, from);
  }

  close(): void {
    for (const session of this.#byId.values()) session.end();
  }

  #open(mirror: Mirror): MirrorSession | undefined {
    const connection = mirror.open();
    if (connection === undefined) return undefined;
    const session = beginHttp2(connection);
    const made = new MirrorSession(mirror, session, () => endHttp2(session, connection));
    connection.on('error', () => {}); // the session says it
    connection.once('end', () => session.destroy()); // Node does not see the end of a half-open connection
    session.on('error', () => {}); // 'close' follows
    const forget = (): void => {
      if (this.#byId.get(mirror.id) === made) this.#byId.delete(mirror.id);
    };
    session.once('goaway', forget);
    session.once('close', forget);
    this.#byId.set(mirror.id, made);
    return made;
  }
}

class MirrorSession {
  readonly end: () => void;
  readonly #mirror: Mirror;
  readonly #session: ClientHttp2Session;
  #open = 0;
  /** Heads of copies without an answer, and bytes of bodies that the session has not taken. */
  #waitingBytes = 0;

  constructor(mirror: Mirror, session: ClientHttp2Session, end: () => void) {
    this.#mirror = mirror;
    this.#session = session;
    this.end = end;
  }

  copy(headers: OutgoingHttpHeaders, hasBody: boolean, from: Duplex): Tap | undefined {
    const headBytes = HEAD_BYTES + sizeOf(headers);
    if (this.#open >= MAX_OPEN_COPIES || this.#waitingBytes + headBytes > MAX_MIRROR_BYTES) {
      this.#mirror.dropped();
      return undefined;
    }
    let copy: ClientHttp2Stream;
    try {
      copy = this.#session.request(headers, { endStream: !hasBody, waitForTrailers: hasBody });
    } catch {
      this.#mirror.dropped(); // it is going, or the head is one that Node does not send
      return undefined;
    }
    this.#open += 1;
    this.#waitingBytes += headBytes;
    let waits = headBytes;
    let isWhole = !hasBody;
    let isAnswered = false;
    /** Dropped already, or not to be counted: the request itself was cut. */
    let isCut = false;
    const taken = (bytes: number): void => {
      this.#waitingBytes -= bytes;
      waits -= bytes;
    };
    copy.on('error', () => {}); // 'close' follows
    copy.once('response', () => {
      isAnswered = true;
      taken(headBytes);
    });
    copy.resume(); // answers are not wanted
    copy.once('close', () => {
      this.#open -= 1;
      this.#waitingBytes -= waits;
      if (!(isWhole && isAnswered) && !isCut) this.#mirror.dropped();
    });
    if (!hasBody) return undefined;
    const cut = (): void => {
      if (isWhole || copy.closed) return;
      isCut = true;
      copy.close(constants.NGHTTP2_CANCEL);
    };
    from.once('close', cut);
    return {
      write: (chunk) => {
        if (!copy.writable || copy.closed) return;
        if (this.#waitingBytes + chunk.byteLength > MAX_MIRROR_BYTES) {
          isCut = true; // counted now: it closes once the mirror takes the reset, if it ever does
          this.#mirror.dropped();
          copy.close(constants.NGHTTP2_CANCEL);
          return;
        }
        this.#waitingBytes += chunk.byteLength;
        waits += chunk.byteLength;
        copy.write(chunk, (failure) => {
          if (failure === undefined || failure === null) taken(chunk.byteLength);
        });
      },
      end: (trailers) => {
        isWhole = true;
        copy.once('wantTrailers', () => {
          if (copy.destroyed || copy.closed) return;
          if (trailers === undefined) copy.sendTrailers({});
          else sendTrailers(copy, trailers);
        });
        if (copy.writable) copy.end();
      },
    };
  }
}

function sizeOf(headers: OutgoingHttpHeaders): number {
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) bytes += name.length + String(value).length;
  return bytes;
}
