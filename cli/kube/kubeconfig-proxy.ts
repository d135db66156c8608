import { BlockList, isIP } from 'node:net';
import { InterceptorError } from '../../src/errors.ts';

type Env = Readonly<Record<string, string | undefined>>;
const KNOWN_SCHEMES = new Set(['http:', 'https:', 'socks5:', 'socks5h:']);

/**
 * The proxy towards `server`: the cluster's proxy-url, else HTTPS_PROXY (HTTP_PROXY for http servers) unless NO_PROXY names the
 * server, as Go's net/http and so kubectl decide.
 * @throws InterceptorError KUBECONFIG_INVALID: not a proxy URL
 */
export function proxyFor(server: string, configured: string | undefined, env: Env): string | undefined {
  if (configured) return checked(configured, 'proxy-url of the kubeconfig');
  const url = new URL(server);
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const value = env[name] || env[name.toLowerCase()];
  if (!value || exempt(url, env.NO_PROXY || env.no_proxy || '')) return undefined;
  return checked(value.includes('://') ? value : `http://${value}`, name);
}

function checked(text: string, origin: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !KNOWN_SCHEMES.has(url.protocol)) {
    // The text itself may hold a password.
    throw new InterceptorError('KUBECONFIG_INVALID', `${origin} is not the URL of a proxy`, {
      hint: 'use http://host:port, https://host:port or socks5://host:port',
    });
  }
  return text;
}

function exempt(server: URL, list: string): boolean {
  const host = server.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = server.port || (server.protocol === 'https:' ? '443' : '80');
  if (host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))) return true;
  return list.split(',').some((entry) => matches(entry.trim().toLowerCase(), host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '') return false;
  if (entry === '*') return true;
  const [network, bits] = entry.split('/');
  if (network !== undefined && bits !== undefined) return inNetwork(network, Number(bits), host);
  if (isIP(entry) !== 0) return entry === host;
  const colon = /^(.*):(\d+)$/.exec(entry);
  const name = (colon?.[1] ?? entry).replace(/^\[|\]$/g, '');
  if (colon !== null && colon[2] !== port) return false;
  if (isIP(name) !== 0) return name === host;
  // ".example.com" and "*.example.com" mean names below it; "example.com" itself and names below it.
  const suffix = name.replace(/^\*/, '');
  return suffix.startsWith('.') ? host.endsWith(suffix) : host === suffix || host.endsWith(`.${suffix}`);
}

function inNetwork(network: string, bits: number, host: string): boolean {
  const family = isIP(network);
  if (family === 0 || isIP(host) !== family || !Number.isInteger(bits) || bits < 0 || bits > (family === 4 ? 32 : 128))
    return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const block = new BlockList();
  block.addSubnet(network, bits, type);
  return block.check(host, type);
}
