// What every way into the cluster must show, by whatever program: the list of issue 3.
import assert from 'node:assert/strict';
import type { LaptopResult } from '../support/laptop.ts';
import type { Upstreams } from '../support/upstreams.ts';

/** Runs a command where its way into the cluster is. */
export interface Runner {
  run(command: readonly string[], options?: { timeoutMs?: number; input?: string }): Promise<LaptopResult>;
}

/** The URLs that a process uses in its pod, and their answers. */
export function clusterUrls(upstreams: Upstreams): Readonly<Record<string, string>> {
  const { otherNamespace, podName, clusterIps } = upstreams;
  return {
    'http://api/short': 'api /short\n',
    [`http://api.${otherNamespace}/namespace`]: 'other-api /namespace\n',
    [`http://api.${otherNamespace}.svc.cluster.local/full`]: 'other-api /full\n',
    [`http://${podName}:8080/pod`]: 'api /pod\n',
    [`http://${clusterIps.api}/address`]: 'api /address\n',
  };
}

/** Asserts that a make of program gets the right answer from each of the URLs. */
export async function assertReaches(
  inside: Runner,
  fetch: (url: string) => readonly string[],
  urls: Readonly<Record<string, string>>,
): Promise<void> {
  const got: Record<string, string> = {};
  for (const url of Object.keys(urls)) {
    const { code, stdout, stderr } = await inside.run(fetch(url), { timeoutMs: 40_000 });
    got[url] = code === 0 ? stdout : `exit code ${String(code)}: ${stderr}`;
  }
  assert.deepEqual(got, urls);
}

/** Asserts what a command prints on stdout. */
export async function assertPrints(
  inside: Runner,
  command: readonly string[],
  expected: string | RegExp,
  options?: { timeoutMs?: number; input?: string },
): Promise<void> {
  const { code, stdout, stderr } = await inside.run(command, options);
  const shown = `${command.join(' ')}: exit code ${String(code)}\n${stdout}${stderr}`;
  if (typeof expected === 'string') assert.deepEqual({ code, stdout }, { code: 0, stdout: expected }, shown);
  else {
    assert.match(stdout, expected, shown);
    assert.equal(code, 0, shown);
  }
}

export const curl = (...args: readonly string[]): string[] => ['curl', '-sS', '--max-time', '20', ...args];
export const psql = (host: string): string[] => [
  ...['psql', '-X', '-At', '-h', host, '-U', 'postgres'],
  ...['-c', 'show cluster_name', 'postgres'],
];
export const redisCli = (host: string): string[] => ['redis-cli', '-h', host, 'ping'];
