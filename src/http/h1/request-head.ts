import type { RequestHead } from '../routing.ts';
import { BadMessage } from './bad-message.ts';
import { Fields, listMembers } from './fields.ts';
import { MAX_LENGTH_DIGITS } from './limits.ts';

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])\r\n/;
const ABSOLUTE = /^[A-Za-z][A-Za-z0-9+\-.]*:\/\/([^/?#]*)(.*)$/;
/** uri-host [":" port] (RFC 9110 §7.2): a name, an IPv4 address, or an IPv6 address in brackets. */
const HOST = /^(?:\[[0-9A-Fa-f:.]+(?:%25[0-9A-Za-z\-._~%]+)?\]|[0-9A-Za-z\-._~%!$&'()*+;=]*)(?::[0-9]{0,5})?$/;
const DIGITS = /^[0-9]+$/;
/** A hop may leave out what `Connection` names; whoever leaves these out reads another message. */
const NEVER_BY_HOP = new Set(['content-length', 'transfer-encoding', 'host']);

/** What the fields say of where a message ends. */
export type Length =
  | { readonly kind: 'none' }
  | { readonly kind: 'bytes'; readonly bytes: number }
  | { readonly kind: 'chunked' };

/** A request's head: what filters see, and what the router needs. */
export class H1RequestHead implements RequestHead {
  readonly method: string;
  readonly target: string;
  readonly path: string;
  readonly query: string;
  readonly authority: string;
  /** 0 or 1: HTTP/1.0, HTTP/1.1. */
  readonly minor: number;
  readonly length: Length;
  /** Whether the caller may send another request behind this one. */
  readonly persistent: boolean;
  /** What Connection lists, in lower case. */
  readonly connection: readonly string[];
  readonly #fields: Fields;

  /**
   * @param bytes a whole head (HeadBytes)
   * @throws BadMessage for everything that another reader might take differently
   */
  constructor(bytes: Buffer) {
    const text = bytes.toString('latin1');
    const line = REQUEST_LINE.exec(text);
    if (line === null) throw new BadMessage('a request line that is not "method target HTTP/1.1"');
    this.method = line[1] ?? '';
    this.target = line[2] ?? '';
    this.minor = line[3] === '1' ? 1 : 0;
    const fields = new Fields();
    fields.read(text, line[0].length);
    this.#fields = fields;
    this.length = requestLength(fields, this.minor, this.method);
    const host = hostOf(fields, this.minor);
    const target = splitTarget(this.method, this.target);
    this.path = target.path;
    this.query = target.query;
    this.authority = target.authority ?? host;
    const connection = fields.get('connection');
    this.connection = connection === undefined ? [] : listMembers(connection);
    if (this.connection.some((name) => NEVER_BY_HOP.has(name))) {
      throw new BadMessage('Connection names a field that says where the message ends or goes');
    }
    this.persistent = isPersistent(this.minor, this.connection);
  }

  get fields(): Fields {
    return this.#fields;
  }

  header(name: string): string | undefined {
    return this.#fields.get(name);
  }

  count(name: string): number {
    return this.#fields.count(name);
  }

  /** Whether it asks for another protocol on this connection. */
  get asksUpgrade(): boolean {
    return this.minor === 1 && this.connection.includes('upgrade') && this.#fields.names.includes('upgrade');
  }

  /** Whether the caller may wait for 100 before it sends the body (RFC 9110 §10.1.1). */
  get awaitsContinue(): boolean {
    const expect = this.minor === 1 ? this.#fields.get('expect') : undefined;
    return expect !== undefined && listMembers(expect).includes('100-continue');
  }
}

/** Whether a message leaves its connection open for the next (RFC 9112 §9.3). */
export function isPersistent(minor: number, connection: readonly string[]): boolean {
  if (connection.includes('close')) return false;
  return minor === 1 || connection.includes('keep-alive');
}

/** @throws BadMessage unless there is one plain Content-Length, or one Transfer-Encoding that is `chunked`, or neither */
export function statedLength(fields: Fields): Length {
  const lengths = fields.count('content-length');
  const codings = fields.count('transfer-encoding');
  if (codings > 0 && lengths > 0) throw new BadMessage('both Content-Length and Transfer-Encoding');
  if (codings > 0) {
    if (fields.get('transfer-encoding')?.toLowerCase() !== 'chunked') {
      throw new BadMessage('a Transfer-Encoding that is not "chunked"');
    }
    return { kind: 'chunked' };
  }
  if (lengths === 0) return NONE;
  if (lengths > 1) throw new BadMessage('more than one Content-Length');
  const digits = fields.get('content-length') ?? '';
  if (!DIGITS.test(digits) || digits.length > MAX_LENGTH_DIGITS)
    throw new BadMessage('a Content-Length that is no length');
  return { kind: 'bytes', bytes: Number(digits) };
}

const NONE: Length = { kind: 'none' };

function requestLength(fields: Fields, minor: number, method: string): Length {
  const length = statedLength(fields);
  if (length.kind === 'chunked' && minor === 0) throw new BadMessage('Transfer-Encoding in HTTP/1.0');
  // What follows it is the tunnel's for some readers and a body for others (RFC 9110 §9.3.6).
  if (method === 'CONNECT' && (length.kind === 'chunked' || (length.kind === 'bytes' && length.bytes > 0))) {
    throw new BadMessage('CONNECT with a body');
  }
  return length;
}

function hostOf(fields: Fields, minor: number): string {
  const hosts = fields.count('host');
  if (hosts > 1) throw new BadMessage('more than one Host');
  if (hosts === 0) {
    if (minor === 1) throw new BadMessage('no Host');
    return '';
  }
  const host = fields.get('host') ?? '';
  if (!HOST.test(host)) throw new BadMessage('a Host that is none');
  return host;
}

interface Target {
  readonly path: string;
  readonly query: string;
  /** Undefined: Host says it. */
  readonly authority: string | undefined;
}

/** The four forms of RFC 9112 §3.2. */
function splitTarget(method: string, target: string): Target {
  if (method === 'CONNECT') {
    if (!HOST.test(target) || !/[^:]:[0-9]+$/.test(target)) throw new BadMessage('CONNECT to what is not "host:port"');
    return { path: '', query: '', authority: target };
  }
  if (target.startsWith('/')) return { ...splitPath(target), authority: undefined };
  if (target === '*') {
    if (method !== 'OPTIONS') throw new BadMessage('the target "*" with a method other than OPTIONS');
    return { path: '*', query: '', authority: undefined };
  }
  const [, authority, rest] = ABSOLUTE.exec(target) ?? [];
  if (authority === undefined || authority === '' || !HOST.test(authority))
    throw new BadMessage('a target that is none');
  return { ...splitPath(rest ?? ''), authority };
}

function splitPath(target: string): { path: string; query: string } {
  const hash = target.indexOf('#');
  const sent = hash === -1 ? target : target.slice(0, hash);
  const question = sent.indexOf('?');
  if (question === -1) return { path: sent, query: '' };
  return { path: sent.slice(0, question), query: sent.slice(question + 1) };
}
