import type { Change, ResolverWish } from './change.ts';

/** The link that carries our routing domains for systemd-resolved. */
export const LINK = 'kube-intercept';
/** Marks our routes (rtm_protocol; none of rt_protos uses it), so that all of them go at once. */
export const ROUTE_PROTOCOL = '147';
/** systemd-resolved takes at most 256 domains of a link. */
const MAX_LINK_DOMAINS = 200;

/**
 * systemd-resolved: a link of our own with our server and its domains. It vanishes with the link; the laptop's other links
 * keep the default route of DNS.
 */
export function planResolved(wish: ResolverWish): Change {
  const run = (...argv: string[]) => ({ kind: 'run', argv }) as const;
  return {
    what: `link ${LINK} for systemd-resolved`,
    apply: [
      run('ip', 'link', 'add', LINK, 'type', 'dummy'),
      // resolved asks only links that are up and have an address of more than host scope.
      run('ip', 'address', 'add', `${wish.address}/32`, 'dev', LINK, 'scope', 'global'),
      run('ip', 'link', 'set', LINK, 'up'),
      run('resolvectl', 'dns', LINK, wish.address),
      ...resolvedDomains(wish),
      run('resolvectl', 'default-route', LINK, 'no'),
      run('resolvectl', 'dnssec', LINK, 'no'),
      run('resolvectl', 'dnsovertls', LINK, 'no'),
      run('resolvectl', 'llmnr', LINK, 'no'),
      run('resolvectl', 'mdns', LINK, 'no'),
      { kind: 'run', argv: ['resolvectl', 'flush-caches'], mayFail: true },
    ],
    undo: [
      { kind: 'run', argv: ['ip', 'link', 'delete', LINK], mayFail: true },
      { kind: 'run', argv: ['resolvectl', 'flush-caches'], mayFail: true },
    ],
  };
}

/** The link's domains alone, for when namespaces have come or gone. `~` routes without being appended to short names. */
export function resolvedDomains({ domains, search }: ResolverWish): Change['apply'] {
  const words = [...search, ...domains.map((domain) => `~${domain}`)].slice(0, MAX_LINK_DOMAINS);
  return [{ kind: 'run', argv: ['resolvectl', 'domain', LINK, ...words] }];
}

/** resolv.conf, where nothing stands between it and the programs. */
export function planResolvConf(wish: ResolverWish, { path, musl }: { path: string; musl: boolean }): Change {
  return {
    what: `nameserver in ${path}`,
    apply: [{ kind: 'point-resolv-conf', path, nameserver: wish.address, search: wish.search, keepOthers: !musl }],
    undo: [{ kind: 'restore-resolv-conf', path }],
  };
}

/** All our routes for literals of cluster addresses: made later, one by one, taken back at once. */
export function planLiterals(): Change {
  const flush = (family: string) =>
    ({
      kind: 'run',
      argv: ['ip', family, 'route', 'flush', 'table', 'local', 'proto', ROUTE_PROTOCOL],
      mayFail: true,
    }) as const;
  return { what: 'addresses of the cluster on lo', apply: [], undo: [flush('-4'), flush('-6')] };
}
