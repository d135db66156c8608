import assert from 'node:assert/strict';
import { chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { bundleProgram } from '../support/bundle.ts';
import { Inside } from '../support/inside.ts';
import { startIntercept } from '../support/intercept-run.ts';
import { type NetworkScene, openNetworkScene, WEB } from '../support/network-scene.ts';
import { processTree, residentBytes } from '../support/processes.ts';
import { clusterOrUndefined } from '../support/scene.ts';
import { Transcript } from '../support/transcript.ts';
import { LARGE_ANSWER_ADDRESSES } from '../support/upstreams.ts';
import { assertPrints, curl } from './network-checks.ts';

const cluster = await clusterOrUndefined();
const MIB = 2 ** 20;
const GIB = 1024 * MIB;
const LOOKUPS = 500;
const CONNECTIONS = 1000;
/** As with bytes through an intercept: a stream's window (16 MiB) on each side, and a process has its ups and downs. */
const MAX_GROWTH_BYTES = 64 * MIB;
const PROBES_WHILE_PAUSED = 5;

/** Sends datagrams of the sizes given to `echo`, each until it comes back, and prints the sizes of those that came back whole. */
const UDP_CODE = `
const socket = require('node:dgram').createSocket('udp4');
const echoed = async (size) => {
  const sent = require('node:crypto').randomBytes(size);
  const answer = new Promise((resolve) => {
    const take = (got) => { if (got.equals(sent)) { socket.off('message', take); resolve(); } }; // else: one that was sent twice
    socket.on('message', take);
  });
  const again = setInterval(() => socket.send(sent, 7000, 'echo'), 1000);
  socket.send(sent, 7000, 'echo');
  await answer;
  clearInterval(again);
};
(async () => {
  const whole = [];
  for (const size of process.argv.slice(1).map(Number)) { await echoed(size); whole.push(size); }
  console.log(JSON.stringify(whole));
  socket.close();
})();
`;
/** Each name is one of its own, with its address in it. */
const LOOKUPS_CODE = `
const { resolve4, lookup } = require('node:dns/promises');
const [count, domain] = process.argv.slice(1);
const started = performance.now();
Promise.all(Array.from({ length: Number(count) }, async (_, i) => {
  const parts = [10, 9, i >> 8, i & 255];
  const found = await resolve4(parts.join('-') + '.default.pod.' + domain);
  return found.join() === parts.join('.');
})).then((right) => console.log(JSON.stringify({ right: right.filter(Boolean).length, ms: Math.round(performance.now() - started) })));
`;
const CONNECTIONS_CODE = `
const http = require('node:http');
const [url, count, atOnce] = process.argv.slice(1);
const seen = {};
let left = Number(count);
const started = performance.now();
const one = () => new Promise((resolve) => {
  const note = (what) => { seen[what] = (seen[what] ?? 0) + 1; resolve(); };
  http.get(url, { agent: false }, (response) => { response.resume().on('end', () => note(response.statusCode)); }).on('error', (error) => note(error.code));
});
const worker = async () => { while (left-- > 0) await one(); };
Promise.all(Array.from({ length: Number(atOnce) }, worker)).then(() => {
  console.log(JSON.stringify(seen));
  console.error(Math.round(performance.now() - started) + ' ms');
});
`;

describe.skipIf(cluster === undefined)('what a command in namespace mode may ask of the network', () => {
  let network: NetworkScene;
  let inside: Inside;
  beforeAll(async () => {
    if (cluster === undefined) return;
    network = await openNetworkScene(cluster, 'load');
    inside = await Inside.start(network.scene, ['run', WEB, '--network', 'namespace']);
  });
  afterAll(async () => {
    await inside?.[Symbol.asyncDispose]();
    await network?.dispose();
  });

  const node = (code: string, ...args: readonly (string | number)[]): string[] => [
    ...[process.execPath, '-e', code],
    ...args.map(String),
  ];

  // First: later the session has memory to spare, and growth would not show.
  test('a download of 1 GiB is whole and leaves the memory of the session as it was', async () => {
    const { pid: command } = await inside.session.until('command-started');
    const held = async (): Promise<number> => {
      const pids = await processTree(inside.session.child.pid ?? 0, command);
      return (await Promise.all(pids.map(residentBytes))).reduce((sum, bytes) => sum + bytes, 0);
    };
    const warm = await inside.read(curl('-o', '/dev/null', '-w', '%{size_download}', `http://api/zeros/${64 * MIB}`));
    assert.equal(warm, String(64 * MIB));
    const before = await held();
    let most = 0;
    let isDone = false;
    const download = inside.read(
      curl(
        '--max-time',
        '100',
        '-o',
        '/dev/null',
        '-w',
        '%{size_download} %{speed_download}',
        `http://api/zeros/${GIB}`,
      ),
      {
        timeoutMs: 110_000,
      },
    );
    const done = download.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      most = Math.max(most, await held());
      await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 50))]);
    }
    const [bytes, speed] = (await download).split(' ');
    console.log(
      `1 GiB: ${(Number(speed) / MIB).toFixed(0)} MiB/s, session +${((most - before) / MIB).toFixed(1)} MiB of ${(before / MIB).toFixed(0)}`,
    );
    assert.equal(bytes, String(GIB));
    assert.ok(most - before <= MAX_GROWTH_BYTES, `${before} bytes before, ${most} at most`);
  });

  test('datagrams come back whole from a UDP Service', async () => {
    const sizes = [1, 512, 1400, 8000];
    await assertPrints(inside, node(UDP_CODE, ...sizes), `${JSON.stringify(sizes)}\n`);
  });

  test('an answer too large for UDP comes over TCP, to dig and to libc', async () => {
    const name = `large.${network.scene.namespace.name}.svc.cluster.local`;
    const shown = await inside.read(['dig', '+noall', '+answer', '+stats', name]);
    assert.equal(shown.match(/\sA\s198\.51\.100\./g)?.length, LARGE_ANSWER_ADDRESSES, shown);
    assert.match(shown, /\(TCP\)/);
    const truncated = await inside.read(['dig', '+noall', '+comments', '+ignore', '+noedns', name]);
    assert.match(truncated, /flags:[^;]* tc[ ;]/);
    const code = 'import socket; print(len(socket.gethostbyname_ex("large")[2]))';
    await assertPrints(inside, ['/usr/bin/python3', '-c', code], `${LARGE_ANSWER_ADDRESSES}\n`);
  });

  test(`${LOOKUPS} lookups at once are all answered right`, async () => {
    const answer = JSON.parse(await inside.read(node(LOOKUPS_CODE, LOOKUPS, 'cluster.local')));
    console.log(`${LOOKUPS} lookups: ${answer.ms} ms`);
    assert.equal(answer.right, LOOKUPS);
  });

  test(`${CONNECTIONS} short connections all get their answer`, async () => {
    const result = await inside.run(node(CONNECTIONS_CODE, 'http://api/', CONNECTIONS, 32));
    console.log(`${CONNECTIONS} connections: ${result.stderr.trim()}`);
    assert.deepEqual(JSON.parse(result.stdout), { 200: CONNECTIONS }, result.stderr);
  });
});

/** A server that runs statements all the time, for a debugger to stop at. */
const SERVER_CODE = `
let ticks = 0;
setInterval(() => { ticks += 1; }, 20);
globalThis.answerToAll = 42;
require('node:http').createServer((request, response) => response.end('laptop ' + request.url + '\\n')).listen(3000, () => console.log('listening'));
`;

describe.skipIf(cluster === undefined)('a server that the command starts in namespace mode', () => {
  let network: NetworkScene;
  beforeAll(async () => {
    if (cluster === undefined) return;
    network = await openNetworkScene(cluster, 'debug');
  });
  afterAll(async () => network?.dispose());

  test('is reached on the laptop’s 127.0.0.1, and a debugger stops it and lets it go on while the pod’s probes stay green', async () => {
    const { laptop, namespace } = network.scene;
    const program = join(laptop.home, 'debugger.mjs');
    await writeFile(program, await bundleProgram('debugger'));
    await chown(program, laptop.uid, laptop.uid);
    const server = join(laptop.home, 'server.cjs');
    await writeFile(server, SERVER_CODE);
    const args = [WEB, '--port', '3000', '--network', 'namespace', '--', process.execPath, '--inspect', server];
    const session = await startIntercept(laptop, args, { namespace });
    try {
      await session.until('ready', 120_000);
      assert.match(await network.scene.get(`http://${WEB}/through`), /^laptop \/through/);
      const own = await laptop.run(curl('http://127.0.0.1:3000/own'));
      assert.equal(own.stdout, 'laptop /own\n', own.stderr + session.transcript);

      const before = await network.webPod();
      const probes = async (): Promise<number> => {
        const code = 'fetch("http://127.0.0.1:8080/probes").then((r) => r.text()).then(console.log)';
        return Number(await namespace.kubectl(['exec', before.name, '-c', 'app', '--', 'node', '-e', code]));
      };
      const debug = laptop.spawn([process.execPath, program, '127.0.0.1:9229', 'answerToAll']);
      const said = new Transcript(debug);
      await said.until(/^paused$/m);
      const answered = await probes();
      await waitFor(async () => ((await probes()) >= answered + PROBES_WHILE_PAUSED ? true : undefined), {
        timeoutMs: 60_000,
        intervalMs: 500,
        onTimeout: () => new Error(`the probes stopped; the debugger said:\n${said.text}`),
      });
      debug.stdin?.write('go on\n');
      await said.until(/^continued 42$/m);
      assert.equal(await said.exited, 0, said.text);
      const after = await network.webPod();
      assert.deepEqual(after, before);
      assert.equal(before.ready.status, 'True');
      assert.match(await network.scene.get(`http://${WEB}/after`), /^laptop \/after/);
    } finally {
      session.child.kill('SIGINT');
      await session.exited;
    }
  });
});
