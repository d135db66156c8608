import type { Action, Change, ResolverWish } from './change.ts';

const COMMENT = 'kube-intercept';

/** Rules of the Name Resolution Policy Table: names below these domains are asked of our server, others as before. */
export function planRules(wish: ResolverWish): Change {
  const namespaces = wish.domains.map((domain) => quoted(`.${domain}`)).join(',');
  return {
    what: 'NRPT rules',
    apply: [
      powershell(
        `Add-DnsClientNrptRule -Namespace ${namespaces} -NameServers ${quoted(wish.address)} -Comment ${quoted(COMMENT)}`,
      ),
      powershell('Clear-DnsClientCache', true),
    ],
    undo: [
      powershell(
        `Get-DnsClientNrptRule | Where-Object { $_.Comment -eq ${quoted(COMMENT)} } | Remove-DnsClientNrptRule -Force`,
        true,
      ),
      powershell('Clear-DnsClientCache', true),
    ],
  };
}

/** Windows has one list of suffixes for the whole machine: ours go in front of what is there. @param before its present content */
export function planSuffixes({ search }: ResolverWish, before: readonly string[]): Change {
  const list = (domains: readonly string[]): string => `@(${domains.map(quoted).join(',')})`;
  const set = (domains: readonly string[]): string => `Set-DnsClientGlobalSetting -SuffixSearchList ${list(domains)}`;
  return {
    what: 'DNS suffixes',
    apply: [powershell(set([...new Set([...search, ...before])]))],
    undo: [powershell(set(before))],
  };
}

/** What planSuffixes() needs to know; one suffix a line. */
export const READ_SUFFIXES: readonly string[] = argvOf('(Get-DnsClientGlobalSetting).SuffixSearchList');

function powershell(script: string, mayFail = false): Action {
  return mayFail ? { kind: 'run', argv: argvOf(script), mayFail } : { kind: 'run', argv: argvOf(script) };
}

function argvOf(script: string): string[] {
  return ['powershell.exe', '-NoProfile', '-NonInteractive', '-Command', `$ErrorActionPreference = 'Stop'; ${script}`];
}

/** A literal of PowerShell: nothing inside single quotes is expanded, a quote (typographic ones are quotes there, too) is doubled. */
function quoted(text: string): string {
  return `'${text.replaceAll(/['\u2018\u2019\u201a\u201b]/g, '$&$&')}'`;
}
