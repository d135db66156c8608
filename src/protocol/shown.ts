const MAX_SHOWN_CHARS = 64;

/** A value of a stranger for an error message. Not String(): it throws for `{"toString": null}`, and may be as long as a message. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return value.slice(0, MAX_SHOWN_CHARS);
  return typeof value === 'number' || value === undefined || value === null ? `${value}` : `a ${typeof value}`;
}
