import { listMembers } from './fields.ts';
import type { H1RequestHead } from './request-head.ts';

const EMPTY_LINE_BYTES = 2;

/**
 * Puts fields behind the last one of a head; all other bytes stay.
 * @param bytes a whole head, and maybe bytes behind it
 * @param headBytes how long the head is, its empty line included
 * @param fields values are one line each: what would end the line is left out
 */
export function withFields(
  bytes: Buffer,
  headBytes: number,
  fields: readonly (readonly [name: string, value: string])[],
): Buffer {
  if (fields.length === 0) return bytes;
  const behindLast = headBytes - EMPTY_LINE_BYTES;
  return Buffer.concat([bytes.subarray(0, behindLast), linesOf(fields), bytes.subarray(behindLast)]);
}

/** By their list: an answerer's are the same for all its requests. */
const encoded = new WeakMap<object, Buffer>();

function linesOf(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  let lines = encoded.get(fields);
  if (lines === undefined) {
    lines = Buffer.from(fields.map(([name, value]) => `${oneLine(name)}: ${oneLine(value)}\r\n`).join(''));
    encoded.set(fields, lines);
  }
  return lines;
}

/** Whether a request asks to go on in HTTP/2 (RFC 7540 §3.2). */
export function asksH2c(head: H1RequestHead): boolean {
  return head.asksUpgrade && listMembers(head.header('upgrade') ?? '').includes('h2c');
}

/** A whole head without what asks for h2c: that protocol in Upgrade, HTTP2-Settings, and what Connection says of them. */
export function withoutH2c(bytes: Buffer, head: H1RequestHead): Buffer {
  const others = listMembers(head.header('upgrade') ?? '').filter((name) => name !== 'h2c');
  const left = head.connection.filter((name) => name !== 'http2-settings' && (name !== 'upgrade' || others.length > 0));
  const [first = '', ...lines] = bytes
    .toString('latin1', 0, bytes.byteLength - EMPTY_LINE_BYTES)
    .split('\r\n')
    .slice(0, -1);
  const kept = lines.filter((line) => !/^(?:upgrade|connection|http2-settings):/i.test(line));
  if (others.length > 0) kept.push(`Upgrade: ${others.join(', ')}`);
  if (left.length > 0) kept.push(`Connection: ${left.join(', ')}`);
  return Buffer.from(`${[first, ...kept].join('\r\n')}\r\n\r\n`, 'latin1');
}

function oneLine(text: string): string {
  return text.replaceAll(/[\r\n\0]/g, '');
}
