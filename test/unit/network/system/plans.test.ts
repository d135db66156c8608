import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import type { Action, ResolverWish } from '../../../../cli/network/system/change.ts';
import {
  planLiterals,
  planResolvConf,
  planResolved,
  resolvedDomains,
} from '../../../../cli/network/system/plan-linux.ts';
import {
  isOwnResolverFile,
  planAlias,
  planResolverFiles,
  planSearch,
} from '../../../../cli/network/system/plan-macos.ts';
import { planRules, planSuffixes, READ_SUFFIXES } from '../../../../cli/network/system/plan-windows.ts';
import { resolverWish } from '../../../../cli/network/system/wish.ts';

const SEARCH = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'];
const WISH: ResolverWish = { address: '127.64.0.53', domains: ['cluster.local', 'svc'], search: SEARCH.slice(0, 2) };

/** As a shell would show them; a `-` in front where a failure is none. */
const lines = (actions: readonly Action[]): string[] =>
  actions.map((action) => {
    if (action.kind !== 'run') return JSON.stringify(action);
    return `${action.mayFail === true ? '-' : ''}${action.argv.join(' ')}`;
  });

describe('what the laptop’s resolver is told', () => {
  test('the cluster’s domain, svc, and namespaces that can be no top-level domain', () => {
    const wish = resolverWish('127.64.0.53', [...SEARCH, 'corp.example'], ['shop', 'team-a', 'v2', 'xn--p1ai']);
    assert.deepEqual(wish, {
      address: '127.64.0.53',
      domains: ['cluster.local', 'svc', 'team-a', 'v2'],
      search: SEARCH, // and not the domain of the nodes
    });
  });

  test('what is no plain domain goes into no file and no command line', () => {
    const hostile = ["a'; rm -rf /", '../etc-1', '$(reboot)-1', '-f1', 'a b-1', 'new\nline-1', '1-'];
    assert.deepEqual(resolverWish('127.64.0.53', SEARCH, hostile).domains, ['cluster.local', 'svc']);
    const search = ["x'.svc.cluster.local", ...SEARCH];
    assert.deepEqual(resolverWish('127.64.0.53', search, []).search, SEARCH);
  });
});

describe('Linux', () => {
  test('systemd-resolved gets a link of ours with routing domains, and no default route of DNS', () => {
    const plan = planResolved(WISH);
    assert.deepEqual(lines(plan.apply), [
      'ip link add kube-intercept type dummy',
      'ip address add 127.64.0.53/32 dev kube-intercept scope global',
      'ip link set kube-intercept up',
      'resolvectl dns kube-intercept 127.64.0.53',
      'resolvectl domain kube-intercept shop.svc.cluster.local svc.cluster.local ~cluster.local ~svc',
      'resolvectl default-route kube-intercept no',
      'resolvectl dnssec kube-intercept no',
      'resolvectl dnsovertls kube-intercept no',
      'resolvectl llmnr kube-intercept no',
      'resolvectl mdns kube-intercept no',
      '-resolvectl flush-caches',
    ]);
    assert.deepEqual(lines(plan.undo), ['-ip link delete kube-intercept', '-resolvectl flush-caches']);
  });

  test('more namespaces than systemd-resolved takes are cut, the search domains never', () => {
    const domains = Array.from({ length: 400 }, (_, index) => `team-${index}`);
    const [action] = resolvedDomains({ ...WISH, domains });
    assert.ok(action?.kind === 'run');
    assert.equal(action.argv.length, 3 + 200);
    assert.deepEqual(action.argv.slice(3, 6), [...WISH.search, '~team-0']);
  });

  test('resolv.conf keeps the laptop’s own servers behind ours, but for musl', () => {
    const path = '/etc/resolv.conf';
    for (const musl of [false, true]) {
      const { apply, undo } = planResolvConf(WISH, { path, musl });
      const nameserver = WISH.address;
      assert.deepEqual(apply, [
        { kind: 'point-resolv-conf', path, nameserver, search: WISH.search, keepOthers: !musl },
      ]);
      assert.deepEqual(undo, [{ kind: 'restore-resolv-conf', path }]);
    }
  });

  test('routes of literals go all at once, by their protocol number', () => {
    assert.deepEqual(lines(planLiterals().undo), [
      '-ip -4 route flush table local proto 147',
      '-ip -6 route flush table local proto 147',
    ]);
  });
});

describe('macOS', () => {
  const FLUSH = ['-dscacheutil -flushcache', '-killall -HUP mDNSResponder'];

  test('an address is an alias of lo0', () => {
    const { apply, undo } = planAlias('127.64.9.1');
    assert.deepEqual(lines(apply), ['ifconfig lo0 alias 127.64.9.1 netmask 255.255.255.255']);
    assert.deepEqual(lines(undo), ['-ifconfig lo0 -alias 127.64.9.1']);
  });

  test('each domain has a file, but where another program has one', () => {
    const { apply, undo } = planResolverFiles(WISH, new Set(['/etc/resolver/svc']));
    const path = '/etc/resolver/cluster.local';
    const text = '# kube-intercept\nnameserver 127.64.0.53\nport 53\ntimeout 2\n';
    assert.deepEqual(lines(apply), ['mkdir -p /etc/resolver', JSON.stringify({ kind: 'write', path, text }), ...FLUSH]);
    assert.deepEqual(lines(undo), [JSON.stringify({ kind: 'remove', path }), ...FLUSH]);
    assert.equal(isOwnResolverFile(text), true);
    assert.equal(isOwnResolverFile('# of minikube\nnameserver 192.168.64.2\n'), false);
  });

  test('search domains are told to the dynamic store by scutil', () => {
    const { apply, undo } = planSearch(WISH);
    assert.deepEqual(apply[0], {
      kind: 'run',
      argv: ['scutil'],
      stdin: [
        'd.init',
        'd.add ServerAddresses * 127.64.0.53',
        'd.add SupplementalMatchDomains * shop.svc.cluster.local svc.cluster.local',
        'd.add SupplementalMatchDomainsNoSearch # 0',
        'd.add SearchDomains * shop.svc.cluster.local svc.cluster.local',
        'set State:/Network/Service/kube-intercept/DNS',
        'quit\n',
      ].join('\n'),
    });
    const stdin = 'remove State:/Network/Service/kube-intercept/DNS\nquit\n';
    assert.deepEqual(undo[0], { kind: 'run', argv: ['scutil'], stdin, mayFail: true });
    assert.deepEqual([lines(apply.slice(1)), lines(undo.slice(1))], [FLUSH, FLUSH]);
  });
});

describe('Windows', () => {
  const PREFIX = "powershell.exe -NoProfile -NonInteractive -Command $ErrorActionPreference = 'Stop'; ";

  test('a rule of the NRPT for our domains, found again by its comment', () => {
    const { apply, undo } = planRules(WISH);
    assert.deepEqual(lines(apply), [
      `${PREFIX}Add-DnsClientNrptRule -Namespace '.cluster.local','.svc' -NameServers '127.64.0.53' -Comment 'kube-intercept'`,
      `-${PREFIX}Clear-DnsClientCache`,
    ]);
    assert.deepEqual(lines(undo), [
      `-${PREFIX}Get-DnsClientNrptRule | Where-Object { $_.Comment -eq 'kube-intercept' } | Remove-DnsClientNrptRule -Force`,
      `-${PREFIX}Clear-DnsClientCache`,
    ]);
  });

  test('our suffixes go in front of those that are there, which come back', () => {
    const { apply, undo } = planSuffixes(WISH, ['corp.example', 'svc.cluster.local']);
    const set = `${PREFIX}Set-DnsClientGlobalSetting -SuffixSearchList`;
    assert.deepEqual(lines(apply), [`${set} @('shop.svc.cluster.local','svc.cluster.local','corp.example')`]);
    assert.deepEqual(lines(undo), [`${set} @('corp.example','svc.cluster.local')`]);
    assert.deepEqual(lines(planSuffixes(WISH, []).undo), [`${set} @()`]);
    assert.equal(READ_SUFFIXES.join(' '), `${PREFIX}(Get-DnsClientGlobalSetting).SuffixSearchList`);
  });

  test('no suffix of the machine’s gets out of its quotes, typographic ones among them', () => {
    const { undo } = planSuffixes(WISH, ["a'; calc", 'b\u2019; calc', '$(calc)']);
    assert.deepEqual(lines(undo), [
      `${PREFIX}Set-DnsClientGlobalSetting -SuffixSearchList @('a''; calc','b\u2019\u2019; calc','$(calc)')`,
    ]);
  });
});
