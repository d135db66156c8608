import assert from 'node:assert/strict';
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import { run, tryRun, waitFor } from '../cluster/exec.ts';
import { Inside } from '../support/inside.ts';
import { type InterceptRun, runIntercept } from '../support/intercept-run.ts';
import { assertBecomes, type LaptopState, laptopState } from '../support/laptop-state.ts';
import { type NetworkScene, openNetworkScene, SECRET_FILE, WEB } from '../support/network-scene.ts';
import { clusterOrUndefined } from '../support/scene.ts';
import { assertPrints, curl } from './network-checks.ts';

const cluster = await clusterOrUndefined();
const MARK = 'KUBE_TEST_MARK';

/** Sends garbage to a DNS server over UDP and TCP; prints how many were answered as DNS does (FORMERR, or not at all is right too). */
const DNS_GARBAGE_CODE = `
const { readFileSync } = require('node:fs');
const { randomBytes } = require('node:crypto');
const server = /^nameserver (\\S+)/m.exec(readFileSync('/etc/resolv.conf', 'utf8'))[1];
const label = (bytes) => Buffer.concat([Buffer.from([bytes.length]), bytes]);
const header = Buffer.from([1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
const end = Buffer.from([0, 0, 1, 0, 1]);
const long = Buffer.concat(Array.from({ length: 5 }, () => label(Buffer.alloc(63, 97))));
const garbage = [...Array.from({ length: 40 }, (_, i) => randomBytes(i * 7)),
  Buffer.concat([header, long, end]), // 320 bytes of name
  Buffer.concat([header, Buffer.from([64]), Buffer.alloc(64, 97), end]), // a label of 64
  Buffer.concat([header, Buffer.from([0xc0, 12, 0, 1, 0, 1])]), // a pointer to itself
  Buffer.concat([header, Buffer.from([5, 97])]), header];
const udp = require('node:dgram').createSocket('udp4');
udp.on('error', () => {}); // ECONNREFUSED would be told by the question below
const sent = garbage.map((bytes) => new Promise((resolve) => udp.send(bytes, 53, server, resolve)));
const overTcp = garbage.map((bytes) => new Promise((resolve) => {
  const socket = require('node:net').connect(53, server, () => socket.end(Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])));
  socket.resume().on('error', () => {}).on('close', resolve);
}));
Promise.all([...sent, ...overTcp]).then(() => { udp.close(); console.log('sent'); });
`;

let network: NetworkScene;
beforeAll(async () => {
  if (cluster === undefined) return;
  network = await openNetworkScene(cluster, 'faults');
  const { laptop } = network.scene;
  for (const folder of ['tmp', 'run']) {
    await mkdir(join(laptop.home, folder), { mode: 0o700 });
    await chown(join(laptop.home, folder), laptop.uid, laptop.uid);
  }
});
afterAll(async () => network?.dispose());

/** Folders of its own, so that whatever a session leaves is seen, and a mark that its processes carry. */
function environment(mark: string): Record<string, string> {
  const { home } = network.scene.laptop;
  return { [MARK]: mark, TMPDIR: join(home, 'tmp'), XDG_RUNTIME_DIR: join(home, 'run') };
}

describe.skipIf(cluster === undefined)('after a kill -9 of the session the laptop is as it was', () => {
  /** Kills the session, and waits until the state is what it was; shows what is not when it does not become so. */
  async function assertUndone(session: InterceptRun, before: LaptopState, mark: string): Promise<void> {
    session.child.kill('SIGKILL');
    await session.exited;
    await assertBecomes(network.scene.laptop, `${MARK}=${mark}`, before, session.transcript);
  }

  test.each(['namespace', 'proxy'])('%s mode: DNS, routes, mounts, files and processes', async (mode) => {
    const { scene } = network;
    const args = ['run', WEB, '--network', mode];
    // Once to its end: what a first session makes for all to come is none of the matter.
    const first = await Inside.start(scene, args, { env: environment('first') });
    await first[Symbol.asyncDispose]();
    const before = await laptopState(scene.laptop, `${MARK}=${mode}`);
    assert.deepEqual(before.processes, []);
    const inside = await Inside.start(scene, args, { env: environment(mode) });
    await assertPrints(inside, curl('http://api/alive'), 'api /alive\n');
    assert.notDeepEqual(await laptopState(scene.laptop, `${MARK}=${mode}`), before);
    await assertUndone(inside.session, before, mode);
  });
});

describe.skipIf(cluster === undefined)('what a session in namespace mode stands', () => {
  let inside: Inside | undefined;
  afterEach(async () => {
    await inside?.[Symbol.asyncDispose]();
    inside = undefined;
  });

  test('garbage on the DNS port, and names and labels that are too long, are no answer and no harm', async () => {
    inside = await Inside.start(network.scene, ['run', WEB, '--network', 'namespace']);
    const sent = await inside.run([process.execPath, '-e', DNS_GARBAGE_CODE]);
    assert.equal(sent.stdout, 'sent\n', sent.stderr + inside.session.transcript);
    for (const name of ['a'.repeat(64), `${'a'.repeat(60)}.`.repeat(5).slice(0, -1)]) {
      const answer = await inside.run(curl(`http://${name}/`));
      assert.ok(answer.code === 6 || answer.code === 3, `${answer.code}: ${answer.stderr}`); // not resolved, or no URL
    }
    await assertPrints(inside, curl('http://api/still'), 'api /still\n');
  });

  test('a lost tunnel comes back, and so do lookups and connections', async () => {
    inside = await Inside.start(network.scene, ['run', WEB, '--network', 'namespace']);
    await assertPrints(inside, curl('http://api/before'), 'api /before\n');
    network.scene.laptop.relay.cut();
    const command = inside;
    await waitFor(
      async () => ((await command.run(curl('http://api/after'))).stdout === 'api /after\n' ? true : undefined),
      {
        timeoutMs: 60_000,
        intervalMs: 200,
        onTimeout: () => new Error(`no way back\n${command.session.transcript}`),
      },
    );
  });

  test('a full disk is told as what it is, with the way out', async () => {
    const { laptop, namespace } = network.scene;
    const folder = join(laptop.home, 'full');
    await mkdir(folder);
    await run(['mount', '-t', 'tmpfs', '-o', `size=4k,mode=0700,uid=${laptop.uid}`, 'intercept-full', folder]);
    try {
      await run(['sh', '-c', `head -c 4096 /dev/zero > ${join(folder, 'filler')}`]);
      const env = { ...environment('full'), XDG_RUNTIME_DIR: folder };
      const args = ['run', WEB, '--network', 'namespace', '--', 'cat', SECRET_FILE];
      const result = await runIntercept(laptop, args, { namespace, env, timeoutMs: 120_000 });
      assert.notEqual(result.code, 0, result.stdout + result.stderr);
      assert.match(result.stderr, /the disk is full \(ENOSPC\).*--files off/);
    } finally {
      await tryRun(['umount', folder]);
    }
  });
});
