import type { ProxyCredentials } from './access.ts';

/** How the preload learns of the port, in the environment of the process it is loaded into. */
export const PRELOAD_VARIABLE = 'KUBE_INTERCEPT_PROXY';
/** Not the hosts of `--local-host`: the port sends them out by the laptop, and finds names that only the cluster has. */
const NEVER_PROXIED = ['localhost', '127.0.0.1', '::1'] as const;
const JAVA_NEVER_PROXIED = 'localhost|127.*|[::1]';

export interface ProxyVariablesOptions {
  readonly port: number;
  readonly credentials: ProxyCredentials;
  /** The Node preload's file. */
  readonly preload: string;
  /** What the command would get without us: NODE_OPTIONS and JAVA_TOOL_OPTIONS are added to. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * The variables that lead programs to the proxy port. Both cases of a name: curl heeds only `http_proxy`, others only
 * `HTTP_PROXY`.
 */
export function proxyVariables(options: ProxyVariablesOptions): Record<string, string> {
  const { port, credentials, environment } = options;
  const { user, password } = credentials;
  const at = `${user}:${password}@127.0.0.1:${port}`;
  const both = (name: string, value: string): Record<string, string> => ({
    [name.toUpperCase()]: value,
    [name.toLowerCase()]: value,
  });
  return {
    ...both('http_proxy', `http://${at}`),
    ...both('https_proxy', `http://${at}`),
    ...both('all_proxy', `socks5h://${at}`),
    ...both('no_proxy', NEVER_PROXIED.join(',')),
    NODE_OPTIONS: append(environment.NODE_OPTIONS, `--require ${quoteNodeOption(options.preload)}`),
    [PRELOAD_VARIABLE]: `${port}:${user}:${password}`,
    ...(process.platform === 'linux'
      ? { JAVA_TOOL_OPTIONS: append(environment.JAVA_TOOL_OPTIONS, javaOptions(options).join(' ')) }
      : {}),
  };
}

/**
 * SOCKS for plain sockets: the JVM hands a name that it cannot resolve to the proxy (measured with 17). Its HTTP clients go by
 * http.proxyHost, with the name as it is. NIO channels and InetAddress heed neither. It sends credentials to neither without
 * code of the program's (java.net.socks.password is not read): on Linux the port knows its user (access.ts), elsewhere the
 * JVM would be refused and is left alone.
 */
function javaOptions({ port }: ProxyVariablesOptions): string[] {
  const properties = {
    socksProxyHost: '127.0.0.1',
    socksProxyPort: String(port),
    socksNonProxyHosts: JAVA_NEVER_PROXIED,
    'http.proxyHost': '127.0.0.1',
    'http.proxyPort': String(port),
    'https.proxyHost': '127.0.0.1',
    'https.proxyPort': String(port),
    'http.nonProxyHosts': JAVA_NEVER_PROXIED,
  };
  return Object.entries(properties).map(([name, value]) => `-D${name}=${value}`);
}

function append(own: string | undefined, ours: string): string {
  return own === undefined || own.trim() === '' ? ours : `${own} ${ours}`;
}

/** Node splits NODE_OPTIONS at spaces outside double quotes; a backslash escapes inside them. */
function quoteNodeOption(path: string): string {
  return /[\s"\\]/.test(path) ? `"${path.replace(/["\\]/g, '\\$&')}"` : path;
}
