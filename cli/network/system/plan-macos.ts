import type { Action, Change, ResolverWish } from './change.ts';

const FOLDER = '/etc/resolver';
const MARK = '# kube-intercept\n';
const STATE_KEY = 'State:/Network/Service/kube-intercept/DNS';

const FLUSH: readonly Action[] = [
  { kind: 'run', argv: ['dscacheutil', '-flushcache'], mayFail: true },
  { kind: 'run', argv: ['killall', '-HUP', 'mDNSResponder'], mayFail: true },
];

/**
 * An alias of lo0: macOS has 127.0.0.1 only.
 * @param address one of 127.64.0.0/10
 */
export function planAlias(address: string): Change {
  return {
    what: `lo0 alias ${address}`,
    apply: [{ kind: 'run', argv: ['ifconfig', 'lo0', 'alias', address, 'netmask', '255.255.255.255'] }],
    undo: [{ kind: 'run', argv: ['ifconfig', 'lo0', '-alias', address], mayFail: true }],
  };
}

/** One that a power cut has left behind (the journal does not outlive it) is ours to replace. */
export function isOwnResolverFile(text: string): boolean {
  return text.startsWith(MARK);
}

/** resolver(5): one file for each domain that is the cluster's. Others are asked as before. */
export function planResolverFiles(wish: ResolverWish, existing: ReadonlySet<string>): Change {
  const paths = wish.domains.map((domain) => `${FOLDER}/${domain}`).filter((path) => !existing.has(path));
  const text = `${MARK}nameserver ${wish.address}\nport 53\ntimeout 2\n`;
  return {
    what: `${FOLDER}/*`,
    apply: [
      { kind: 'run', argv: ['mkdir', '-p', FOLDER] },
      ...paths.map((path) => ({ kind: 'write', path, text }) as const),
      ...FLUSH,
    ],
    undo: [...paths.map((path) => ({ kind: 'remove', path }) as const), ...FLUSH],
  };
}

/**
 * What is appended to short names: resolver(5) files have no say in it, a service of the dynamic store has
 * (SystemConfiguration, kSCPropNetDNSSupplementalMatchDomains with NoSearch 0).
 */
export function planSearch({ address, search }: ResolverWish): Change {
  const script = [
    'd.init',
    `d.add ServerAddresses * ${address}`,
    `d.add SupplementalMatchDomains * ${search.join(' ')}`,
    'd.add SupplementalMatchDomainsNoSearch # 0',
    `d.add SearchDomains * ${search.join(' ')}`,
    `set ${STATE_KEY}`,
    'quit',
  ];
  return {
    what: 'search domains',
    apply: [{ kind: 'run', argv: ['scutil'], stdin: `${script.join('\n')}\n` }, ...FLUSH],
    undo: [{ kind: 'run', argv: ['scutil'], stdin: `remove ${STATE_KEY}\nquit\n`, mayFail: true }, ...FLUSH],
  };
}
