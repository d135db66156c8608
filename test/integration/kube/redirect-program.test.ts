import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { REDIRECT_PROGRAM } from '../../../cli/kube/redirect-program.ts';

const run = promisify(execFile);
/** Perl, in a user and a network namespace of its own: no rights are needed, and nothing of this machine is changed. */
const inNamespace = ['-rn', 'sh', '-ec'];

test('holds nothing that the kubelet would expand in a command', () => {
  assert.doesNotMatch(REDIRECT_PROGRAM, /\$\$|\$\(/);
});

test('makes one chain of redirects, and a second run replaces those of the first', async () => {
  const script = 'perl -e "$1" tcp:1:2; perl -e "$1" tcp:8080:9901 udp:53:9902 tcp:9903:8080; nft list ruleset';
  const { stdout } = await run('unshare', [...inNamespace, script, 'sh', REDIRECT_PROGRAM]);
  assert.equal(
    stdout,
    `redirected tcp:1:2
redirected tcp:8080:9901 udp:53:9902 tcp:9903:8080
table ip kube-intercept {
	chain ports {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 8080 redirect to :9901
		udp dport 53 redirect to :9902
		tcp dport 9903 redirect to :8080
	}
}
`,
  );
});

test('redirects IPv6 where there is an address of it', async () => {
  const address = 'ip link set lo up; ip -6 address add fd00::7/128 dev lo';
  const script = `${address}; perl -e "$1" tcp:8080:9901; nft list table ip6 kube-intercept`;
  const { stdout } = await run('unshare', [...inNamespace, script, 'sh', REDIRECT_PROGRAM]);
  assert.match(stdout, /tcp dport 8080 redirect to :9901/);
});

test('without the right to, ends with what nf_tables says', async () => {
  const script = 'setpriv --bounding-set -all --inh-caps -all perl -e "$1" tcp:8080:9901';
  await expect(run('unshare', [...inNamespace, script, 'sh', REDIRECT_PROGRAM])).rejects.toMatchObject({
    stderr: 'nf_tables refuses to redirect tcp:8080:9901 (message 1): Operation not permitted\n',
  });
});
