import { fileURLToPath } from 'node:url';
import type { Log } from '../../../src/log.ts';
import type { Egress, Inside, Resolver } from '../types.ts';
import { makeCredentials } from './access.ts';
import { PROXY_HOST, ProxyPort } from './proxy-port.ts';
import { proxyVariables } from './variables.ts';

export interface ProxyModeOptions {
  readonly egress: Egress;
  readonly resolver: Pick<Resolver, 'answer' | 'lookup'>;
  /** What the command would get without us: its NODE_OPTIONS and JAVA_TOOL_OPTIONS are kept. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  /** With 0 or none the system chooses a free one. */
  readonly port?: number | undefined;
}

export interface ProxyMode extends Inside {
  readonly mode: 'proxy';
  /** `127.0.0.1:40123` */
  readonly address: string;
  /** With credentials: `socks5h://…`, for people and tools that read no variables. Not for logs. */
  readonly url: string;
}

/**
 * Opens the proxy port and says by which variables programs come to use it.
 * @throws Error EADDRINUSE where a port was asked for
 */
export async function startProxyMode(options: ProxyModeOptions): Promise<ProxyMode> {
  const credentials = makeCredentials();
  const { egress, resolver, log, environment, port } = options;
  const proxy = await ProxyPort.listen({ egress, resolver, credentials, log, port });
  const address = `${PROXY_HOST}:${proxy.port}`;
  return {
    mode: 'proxy',
    address,
    url: `socks5h://${credentials.user}:${credentials.password}@${address}`,
    variables: proxyVariables({ port: proxy.port, credentials, environment, preload: preloadFile() }),
    wrap: (argv) => argv,
    close: () => proxy.close(),
  };
}

/** Beside the program in dist/; in the tests, which run from source, in the dist/ that was built before. */
function preloadFile(): string {
  const here = import.meta.url;
  const path = here.includes('/chunks/')
    ? '../preload.cjs'
    : here.endsWith('.ts')
      ? '../../../dist/preload.cjs'
      : './preload.cjs';
  return fileURLToPath(new URL(path, here));
}
