import { type Formatted, formatEach, type Variables } from './formatted.ts';

/** Docker reads line by line with Go's bufio.Scanner: longer lines are an error of the whole file. */
const MAX_LINE_BYTES = 64 * 1024 - 1;

/**
 * A file for `docker run --env-file` (also podman and nerdctl): NAME=value, one a line, all behind the first `=` taken as it
 * is. There are no quotes and no way to write a line break. Pure.
 */
export function formatDocker(variables: Variables): Formatted {
  return formatEach(variables, (name, value) => {
    if (name === '' || /[\s=]|^#|^\ufeff/.test(name)) return { why: 'is no name that an env file takes' };
    if (value.includes('\n')) return { why: 'holds a line break' };
    if (value.endsWith('\r')) return { why: 'ends in a carriage return' };
    const line = `${name}=${value}`;
    if (Buffer.byteLength(line) > MAX_LINE_BYTES) return { why: `is longer than ${MAX_LINE_BYTES} bytes` };
    return `${line}\n`;
  });
}
