const REQUEST_LINE = /^[A-Z]{3,16} \S+ HTTP\/1\.[01]\r?\n/;
const REQUEST_START = /^[A-Z]{1,16}(?: |$)/;
const HEAD_END = /\r?\n\r?\n/;
/** More of a head is not waited for; browsers send theirs in one piece. */
const MAX_HEAD_BYTES = 16 * 1024;

export type Verdict = 'pass' | 'refuse' | 'more';

/**
 * Whether what a connection to a port of 127.0.0.1 begins with is a request that a page from elsewhere makes in the user's
 * browser: to a name of its own that it had resolved to 127.0.0.1 (DNS rebinding), or across sites (CSRF). Everything else
 * passes: other protocols, programs, pages of this machine, what the user types.
 * @param bytes all that has come so far
 */
export function judgeFirstBytes(bytes: Uint8Array): Verdict {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, MAX_HEAD_BYTES)).toString(
    'latin1',
  );
  const isWhole = HEAD_END.test(text) || bytes.byteLength >= MAX_HEAD_BYTES;
  if (!REQUEST_LINE.test(text)) return !isWhole && mayBecomeRequest(text) ? 'more' : 'pass';
  if (!isWhole) return 'more';
  const fields = fieldsOf(text);
  const hosts = fields.get('host') ?? [];
  if (hosts.some((host) => !isThisMachine(host))) return 'refuse';
  const origins = (fields.get('origin') ?? []).map(
    (origin) => /^[a-z][a-z0-9+.-]*:\/\/(.*)$/i.exec(origin)?.[1] ?? origin,
  );
  if (origins.some((origin) => !isThisMachine(origin))) return 'refuse'; // also "null": a sandboxed frame, a file
  return (fields.get('sec-fetch-site') ?? []).some((site) => site === 'cross-site') ? 'refuse' : 'pass';
}

/** A request line that has not come to its end. */
function mayBecomeRequest(text: string): boolean {
  return REQUEST_START.test(text) && !text.includes('\n');
}

function fieldsOf(text: string): Map<string, string[]> {
  const [head = ''] = text.split(HEAD_END, 1);
  const fields = new Map<string, string[]>();
  for (const line of head.split(/\r?\n/).slice(1)) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const name = line.slice(0, colon).trim().toLowerCase();
    fields.set(name, [
      ...(fields.get(name) ?? []),
      line
        .slice(colon + 1)
        .trim()
        .toLowerCase(),
    ]);
  }
  return fields;
}

/** `localhost`, a name below it, or a loopback address; with a port or without, with a last dot or without. */
function isThisMachine(authority: string): boolean {
  const host = authority.replace(/:\d*$/, '').replace(/\.$/, '');
  return /^(?:(?:[\w-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(host);
}
