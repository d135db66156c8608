import { BadMessage } from './bad-message.ts';
import { MAX_FIELDS } from './limits.ts';

/**
 * One field line: token, colon, value (RFC 9110 §5.1, §5.5). No CR, LF, NUL or other control character fits in anywhere, nor
 * space before the colon, nor a folded line (it has no name).
 */
const FIELD = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r\n/y;

const EMPTY_LINE = '\r\n';

/** The field lines of a head or of trailers, in order. Text is latin1: one character is one byte. */
export class Fields {
  /** In lower case. */
  readonly names: string[] = [];
  /** Without the spaces around. */
  readonly values: string[] = [];

  /**
   * @param text a head, or trailers, as latin1, up to the end of the empty line
   * @param from where the first field line begins
   * @throws BadMessage for a line that is not a field, or for too many
   */
  read(text: string, from: number): void {
    const end = text.length - EMPTY_LINE.length;
    let at = from;
    while (at < end) {
      FIELD.lastIndex = at;
      const match = FIELD.exec(text);
      if (match === null) throw new BadMessage(whyNoField(text, at));
      if (this.names.length === MAX_FIELDS) throw new BadMessage(`more than ${MAX_FIELDS} fields`, 431);
      this.#add(match[1] ?? '', match[2] ?? '');
      at = FIELD.lastIndex;
    }
    if (text.slice(at) !== EMPTY_LINE) throw new BadMessage('no empty line behind the fields');
  }

  /** All lines of a field joined by ", "; undefined where there is none. @param name in lower case */
  get(name: string): string | undefined {
    const first = this.names.indexOf(name);
    if (first === -1) return undefined;
    let joined = this.values[first] ?? '';
    for (let at = this.names.indexOf(name, first + 1); at !== -1; at = this.names.indexOf(name, at + 1)) {
      joined += `, ${this.values[at]}`;
    }
    return joined;
  }

  /** How many lines of that name there are. @param name in lower case */
  count(name: string): number {
    let count = 0;
    for (const each of this.names) if (each === name) count += 1;
    return count;
  }

  #add(name: string, value: string): void {
    const lower = name.toLowerCase();
    // Programs behind CGI-like interfaces cannot tell these from the real ones.
    if (lower === 'content_length' || lower === 'transfer_encoding') throw new BadMessage(`a field named ${lower}`);
    if ((lower === 'content-length' || lower === 'transfer-encoding') && value.includes('\t')) {
      throw new BadMessage(`a tab in ${lower}`); // not every reader takes it for space
    }
    this.names.push(lower);
    this.values.push(withoutSpaces(value));
  }
}

/** The members of a list field, in lower case, empty ones left out. */
export function listMembers(value: string): string[] {
  return value
    .toLowerCase()
    .split(',')
    .map(withoutSpaces)
    .filter((member) => member !== '');
}

/** Not trim(): that takes bytes for Unicode's spaces (0xA0, 0x85). */
function withoutSpaces(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text.charCodeAt(start))) start += 1;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end -= 1;
  return start === 0 && end === text.length ? text : text.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 32 || code === 9;
}

function whyNoField(text: string, at: number): string {
  const end = text.indexOf('\n', at);
  const line = text.slice(at, end === -1 ? text.length : end);
  if (/^[ \t]/.test(line)) return 'a folded field line, or space before a field name';
  if (!line.endsWith('\r')) return 'a LF without CR';
  if (line.slice(0, -1).includes('\r')) return 'a CR without LF';
  if (/^[^:]*[ \t]+:/.test(line)) return 'space before the colon of a field';
  if (line.startsWith(':')) return 'a field without a name';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(line)) return 'a control character in a field line';
  return line.includes(':') ? 'a field name that is none' : 'a field line without a colon';
}
