import { isIP } from '../net/ip.ts';

/** What a stub resolver is told by resolv.conf(5). */
export interface ResolvConf {
  /** Address literals, IPv6 ones with their scope where they have one. */
  readonly nameservers: readonly string[];
  /** Without the last dot, in order. */
  readonly search: readonly string[];
  readonly ndots: number;
}

/** glibc asks no more than these (MAXNS). */
const MAX_NAMESERVERS = 3;
/** glibc knows no limit since 2.26; this one keeps a broken file from making one lookup a hundred questions. */
const MAX_SEARCH_DOMAINS = 32;
/** glibc's RES_MAXNDOTS. */
const MAX_NDOTS = 15;
const DEFAULT_NDOTS = 1;

/**
 * Reads a resolv.conf as glibc does: of several `search` or `domain` lines the last one counts, what is unknown or
 * broken is passed over. Never throws.
 * @param text the file; a missing one is ''
 */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  let search: string[] = [];
  let ndots = DEFAULT_NDOTS;
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#') || line.startsWith(';')) continue;
    const [keyword, ...words] = line.split(/[ \t]+/);
    if (keyword === 'nameserver') {
      const address = words[0] ?? '';
      if (isIP(address) !== 0 && nameservers.length < MAX_NAMESERVERS) nameservers.push(address);
    } else if (keyword === 'search') {
      search = domains(words);
    } else if (keyword === 'domain') {
      search = domains(words.slice(0, 1));
    } else if (keyword === 'options') {
      for (const option of words) {
        const digits = /^ndots:(\d{1,9})$/.exec(option)?.[1];
        if (digits !== undefined) ndots = Math.min(Number(digits), MAX_NDOTS);
      }
    }
  }
  return { nameservers, search, ndots };
}

/**
 * The text of a resolv.conf, ending in a line feed.
 * @param conf its domains and addresses were checked before: a line break in one would be a line of its own
 */
export function formatResolvConf({ nameservers, search, ndots }: ResolvConf): string {
  const lines = nameservers.map((address) => `nameserver ${address}`);
  if (search.length > 0) lines.push(`search ${search.join(' ')}`);
  lines.push(`options ndots:${ndots}`);
  return `${lines.join('\n')}\n`;
}

/** `.` (no domain at all, as systemd writes it) and comments at the end of a line are no domains. */
function domains(words: readonly string[]): string[] {
  const comment = words.findIndex((word) => word.startsWith('#') || word.startsWith(';'));
  const named = (comment === -1 ? words : words.slice(0, comment)).map((word) => word.replace(/\.$/, ''));
  return named.filter((name) => name !== '').slice(0, MAX_SEARCH_DOMAINS);
}
