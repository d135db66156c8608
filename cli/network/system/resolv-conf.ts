import { parseResolvConf } from '../../../src/dns/resolv-conf.ts';
import { isRecord } from '../../../src/is-record.ts';

const MARK = '# kube-intercept:';
const ORIGINAL = `${MARK} original `;
const LINE_CHARS = 76;
/** glibc reads no more (MAXNS). */
const MAX_NAMESERVERS = 3;
const DEFAULT_NAMESERVER = '127.0.0.1';
/** The laptop's own servers follow ours: a server of ours that is dead refuses at once, one that hangs costs this long. */
const TIMEOUT_OPTIONS = ['timeout:2', 'attempts:2'];

/** What resolv.conf was, as far as it must be put back. */
export interface ResolvConfBefore {
  /** undefined: there was none */
  readonly text: string | undefined;
  /** What the symbolic link said, where it was one. */
  readonly link: string | undefined;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface ResolvConfUndo {
  readonly path: string;
}

export interface ResolvConfEdit {
  readonly nameserver: string;
  readonly search: readonly string[];
  /**
   * Whether the laptop's own servers stay behind ours. Not for musl: it asks all at once and takes the first answer, which
   * may be another server's "no such name".
   */
  readonly keepOthers: boolean;
}

/**
 * The resolv.conf with our nameserver first. It carries what was there before, so that it can be put back by what it says
 * itself, journal or not.
 */
export function pointedResolvConf(before: ResolvConfBefore, edit: ResolvConfEdit): string {
  const text = before.text ?? '';
  const { search } = parseResolvConf(text);
  const servers = edit.keepOthers ? nameserversOf(text).filter((address) => address !== edit.nameserver) : [];
  const all = [edit.nameserver, ...servers].slice(0, MAX_NAMESERVERS);
  const domains = [...new Set([...edit.search, ...search])];
  const lines = [
    `${MARK} "intercept connect" is running; nameserver ${edit.nameserver} is its own. What was here comes back when it ends.`,
    ...wrapped(Buffer.from(JSON.stringify(before)).toString('base64')).map((part) => `${ORIGINAL}${part}`),
    ...all.map((address) => `nameserver ${address}`),
    ...(domains.length > 0 ? [`search ${domains.join(' ')}`] : []),
    // ndots as it was: names with dots are answered as they are, so the internet's cost no extra questions.
    `options ${[...optionsOf(text).filter((option) => !/^(timeout|attempts):|^rotate$/.test(option)), ...TIMEOUT_OPTIONS].join(' ')}`,
    ...otherLines(text),
  ];
  return `${lines.join('\n')}\n`;
}

/** What was there before, by our own file's word. @returns undefined when the file is not ours (any more) */
export function beforeOf(text: string): ResolvConfBefore | undefined {
  if (!text.startsWith(MARK)) return undefined;
  const parts = text
    .split('\n')
    .filter((line) => line.startsWith(ORIGINAL))
    .map((line) => line.slice(ORIGINAL.length));
  try {
    return parseBefore(JSON.parse(Buffer.from(parts.join(''), 'base64').toString('utf8')));
  } catch {
    return undefined; // somebody edited it: it is theirs now
  }
}

/** The servers libc asks by a resolv.conf: where it names none, the one of this machine. */
export function nameserversOf(text: string): readonly string[] {
  const { nameservers } = parseResolvConf(text);
  return nameservers.length > 0 ? nameservers : [DEFAULT_NAMESERVER];
}

function parseBefore(value: unknown): ResolvConfBefore | undefined {
  if (!isRecord(value)) return undefined;
  const { text, link, mode, uid, gid } = value;
  if (typeof mode !== 'number' || typeof uid !== 'number' || typeof gid !== 'number') return undefined;
  if ((text !== undefined && typeof text !== 'string') || (link !== undefined && typeof link !== 'string'))
    return undefined;
  return { text, link, mode, uid, gid };
}

function wrapped(text: string): string[] {
  return text.match(new RegExp(`.{1,${LINE_CHARS}}`, 'g')) ?? [];
}

function optionsOf(text: string): string[] {
  return text.split(/\r?\n/).flatMap((line) => (/^options\s/.test(line) ? line.trim().split(/\s+/).slice(1) : []));
}

/** `sortlist` and what we do not know. */
function otherLines(text: string): string[] {
  return text
    .split(/\r?\n/)
    .filter((line) => /^[a-z]/.test(line) && !/^(nameserver|search|domain|options)\b/.test(line));
}
