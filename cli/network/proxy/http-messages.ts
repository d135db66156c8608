/** Headers of one hop (RFC 9110 §7.6.1) that say nothing about the body's framing, which Node writes as it came. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'upgrade',
]);

export interface HttpTarget {
  readonly host: string;
  readonly port: number;
  /** As the Host header says it: without the scheme's own port. */
  readonly authority: string;
  /** Origin form: `/a?b`. */
  readonly path: string;
}

/** Reads `http://host[:port]/path`; credentials in it are dropped. @returns undefined for all else */
export function parseAbsoluteForm(url: string): HttpTarget | undefined {
  const match = /^http:\/\/(?:[^@/?#]*@)?([^/?#]+)([^#]*)/i.exec(url);
  const authority = match?.[1] ?? '';
  const rest = match?.[2] ?? '';
  const target = parseAuthority(authority, 80);
  if (target === undefined) return undefined;
  return { ...target, authority, path: rest.startsWith('/') ? rest : `/${rest}` };
}

/** Reads `host:port` or `[address]:port`. @param defaultPort undefined: a port has to be there */
export function parseAuthority(
  authority: string,
  defaultPort: number | undefined,
): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:[\]@/]+))(?::(\d{1,5}))?$/.exec(authority);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  return host === undefined || port === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

/**
 * A message's headers for the next hop: in order, case and duplicates kept.
 * @param raw names and values in turn
 * @param host put in the place of Host (RFC 9112 §3.2.2), as the first header; undefined: the message is an answer
 * @param keepUpgrade the connection is about to change its protocol
 */
export function nextHopHeaders(raw: readonly string[], host: string | undefined, keepUpgrade = false): string[] {
  const pairs = raw.flatMap((name, index) => (index % 2 === 0 ? [[name, raw[index + 1] ?? ''] as const] : []));
  const named = pairs.flatMap(([name, value]) =>
    name.toLowerCase() === 'connection' ? value.split(',').map((token) => token.trim().toLowerCase()) : [],
  );
  const dropped = new Set([...HOP_BY_HOP, ...named.filter((name) => !FRAMING.has(name))]);
  if (keepUpgrade) for (const name of ['connection', 'upgrade']) dropped.delete(name);
  if (host !== undefined) dropped.add('host');
  const kept = pairs.filter(([name]) => !dropped.has(name.toLowerCase()));
  return [...(host === undefined ? [] : ['Host', host]), ...kept.flat()];
}

/** Never dropped because a Connection header names them: the body would have no end any more. */
const FRAMING = new Set(['content-length', 'transfer-encoding', 'host']);
