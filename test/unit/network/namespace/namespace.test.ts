import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { encodeFrame, FrameReader } from '../../../../cli/network/namespace/frames.ts';
import { verdictOf } from '../../../../cli/network/namespace/gate.ts';
import { mirrorAddresses, parseListeningSockets } from '../../../../cli/network/namespace/listening-sockets.ts';
import { describeFailure } from '../../../../cli/network/namespace/probe.ts';
import { harmlessMounts, plainNsswitch, resolvConf } from '../../../../cli/network/namespace/task.ts';

const word = fc.stringMatching(/^[a-z0-9.:]{1,40}$/);

test('frames come back unchanged, wherever the stream is cut', () => {
  const frames = fc.array(fc.tuple(fc.array(word, { minLength: 1, maxLength: 6 }), fc.uint8Array({ maxLength: 300 })), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(frames, fc.nat(), (sent, seed) => {
      const bytes = Buffer.concat(sent.map(([words, payload]) => encodeFrame(words, Buffer.from(payload))));
      const reader = new FrameReader();
      const got: [string[], number[]][] = [];
      for (let at = 0, step = 1 + (seed % 7); at < bytes.length; at += step) {
        for (const { words, payload } of reader.push(bytes.subarray(at, at + step)))
          got.push([[...words], [...payload]]);
      }
      assert.deepEqual(
        got,
        sent.map(([words, payload]) => [words, [...payload]]),
      );
    }),
  );
});

test('a length that no frame has is an error', () => {
  assert.throws(() => new FrameReader().push(Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 1])));
  assert.throws(() => new FrameReader().push(Buffer.from([0, 0, 0, 3, 0, 9])));
});

const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

test('listening sockets are read from the kernel’s tables, connected ones are not', () => {
  const rest = ' 00000000:00000000 00:00000000 00000000  1000        0 1234 1 0 100 0 0 10 0\n';
  const tcp = [
    `   0: 0100007F:0BB8 00000000:0000 0A${rest}`,
    `   1: 00000000:1F90 00000000:0000 0A${rest}`,
    `   2: 0100007F:0BB8 0100007F:C350 01${rest}`,
  ];
  assert.deepEqual(parseListeningSockets(header + tcp.join(''), 'tcp'), [
    { kind: 'tcp', address: '127.0.0.1', port: 3000 },
    { kind: 'tcp', address: '0.0.0.0', port: 8080 },
  ]);
  const tcp6 = [
    `   0: 00000000000000000000000001000000:2407 00000000000000000000000000000000:0000 0A${rest}`,
    `   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A${rest}`,
    `   2: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A${rest}`,
    `   3: B80D0120000000000000000001000000:0052 00000000000000000000000000000000:0000 0A${rest}`,
  ];
  assert.deepEqual(
    parseListeningSockets(header + tcp6.join(''), 'tcp').map(({ address }) => address),
    ['::1', '::', '127.0.0.1', '2001:db8:0:0:0:0:0:1'],
  );
  assert.deepEqual(parseListeningSockets(`${header}   0: 00000000:14E9 00000000:0000 07${rest}`, 'udp'), [
    { kind: 'udp', address: '0.0.0.0', port: 5353 },
  ]);
  assert.deepEqual(parseListeningSockets('garbage\n\n x: y z', 'tcp'), []);
});

test('a listener is mirrored where the laptop has the same address, and our own are not', () => {
  const at = (address: string): string[] =>
    mirrorAddresses({ kind: 'tcp', address, port: 1 }, '192.0.2.1').map((one) => `${one.inside}→${one.outside}`);
  assert.deepEqual(at('0.0.0.0'), ['127.0.0.1→127.0.0.1']);
  assert.deepEqual(at('::'), ['127.0.0.1→127.0.0.1', '::1→::1']);
  assert.deepEqual(at('127.0.0.5'), ['127.0.0.5→127.0.0.5']);
  assert.deepEqual(at('::1'), ['::1→::1']);
  assert.deepEqual(at('192.0.2.1'), ['192.0.2.1→127.0.0.1']);
  for (const own of ['192.0.2.53', '192.0.2.54', '2001:db8:0:0:0:0:0:54']) assert.deepEqual(at(own), []);
});

test('nsswitch.conf asks files and DNS for names, and is otherwise as it was', () => {
  const text = 'passwd: files sss\nhosts:  mymachines resolve [!UNAVAIL=return] files dns\nnetworks: files\n';
  assert.equal(plainNsswitch(text), 'passwd: files sss\nnetworks: files\nhosts: files dns\n');
  assert.equal(plainNsswitch('hosts: files dns\n'), null);
  assert.equal(plainNsswitch(undefined), null);
  assert.equal(plainNsswitch('passwd: files\n'), 'passwd: files\nhosts: files dns\n');
});

test('a volume that would hide the laptop’s programs, or the user’s own directories, is left out', () => {
  const at = (target: string) => ({ source: `/copies${target}`, target });
  const targets = [
    '/etc/config',
    '/etc',
    '/tmp',
    '/tmp/cache',
    '/',
    '/home',
    '/home/me/app/',
    '/srv',
    '/usr/share/x',
    '/copies',
  ];
  const { mounts, warnings } = harmlessMounts(targets.map(at), ['/home/me/app', '/home/me']);
  const kept = ['/etc/config', '/tmp/cache', '/srv', '/usr/share/x'];
  assert.deepEqual(
    mounts.map(({ target }) => target),
    kept,
  );
  assert.equal(warnings.length, targets.length - kept.length);
  assert.match(warnings[0] ?? '', /^\/etc: .* \/copies\/etc$/);
});

test('resolv.conf names one server and the pod’s search list', () => {
  assert.equal(
    resolvConf(['a.svc.cluster.local', 'cluster.local'], 5),
    'nameserver 192.0.2.53\nsearch a.svc.cluster.local cluster.local\noptions ndots:5\n',
  );
  assert.equal(resolvConf([], 1), 'nameserver 192.0.2.53\noptions ndots:1\n');
});

test('each failure is said with its remedy', () => {
  const free = { restricted: false, max: 1000 };
  const say = (step: string, message: string, settings: { restricted: boolean; max: number | undefined } = free) =>
    describeFailure({ step, message }, settings);
  assert.match(say('network', 'EPERM', { restricted: true, max: 1000 }), /AppArmor.*userns=0/);
  assert.match(say('namespaces', 'No space left', { restricted: false, max: 0 }), /max_user_namespaces=/);
  assert.match(say('namespaces', 'Operation not permitted'), /Operation not permitted.*seccomp/);
  assert.match(say('nft', 'Could not process rule'), /modprobe/);
  assert.match(say('sockets', ''), /sockets: no reason given/);
});

test('an error of the way out becomes the packet that says the same', () => {
  assert.equal(verdictOf('ECONNREFUSED'), 'refused');
  assert.equal(verdictOf('EHOSTUNREACH'), 'unreachable');
  assert.equal(verdictOf('ETIMEDOUT'), 'drop');
  assert.equal(verdictOf(undefined), 'unreachable');
});
