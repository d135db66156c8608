import assert from 'node:assert/strict';
import { chown, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { installPostgres } from '../cluster/packages.ts';
import { bundleProgram, storeProgram } from '../support/bundle.ts';
import { type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { keystreamDigest } from '../support/programs/keystream.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';

const cluster = await clusterOrUndefined();

const MIB = 1024 * 1024;
const ECHOES = 64;
const ECHO_BYTES = 16 * MIB;
const RESETS = 20;
/** Agent and session hold at most a window (16 MiB) for each of the two slow connections, and a process has its ups and downs. */
const MAX_GROWTH_BYTES = 64 * MIB;
const GIB = 1024 * MIB;
const TARGET = 'bytes';
const FIRST_LOCAL_PORT = 3000;
const PORT_NAMES = ['bytes', 'greet', 'websocket', 'http2', 'postgres'];
/** The app on each port of the pod: tells who it is, and that is all. */
const APP_CODE = `for (const port of [8080, 8081, 8082, 8083, 8084])
  require('node:net').createServer((socket) => { socket.on('error', () => {}); socket.end('app\\n'); }).listen(port);`;

let scene: Scene;
let postgresPrograms: string;

async function deploy(): Promise<void> {
  const probe = { tcpSocket: { port: 8080 }, periodSeconds: 1 };
  const ports = PORT_NAMES.map((name, place) => ({ name, containerPort: 8080 + place }));
  const servicePorts = PORT_NAMES.map((name, place) => ({ name, port: 80 + place, targetPort: name }));
  await scene.deploy({
    name: TARGET,
    replicas: 1,
    code: APP_CODE,
    container: { ports, readinessProbe: probe, livenessProbe: probe },
    service: { ports: servicePorts },
    podSpec: { terminationGracePeriodSeconds: 1 },
  });
}

/** Runs byte-caller in the caller pod. */
async function call<Answer>(verb: string, name: string, argument = '', timeoutMs = 120_000): Promise<Answer> {
  const command = ['node', '/tmp/byte-caller.mjs', verb, TARGET, name, argument];
  const result = await scene.caller.exec(command, { timeoutMs });
  assert.equal(result.code, 0, `${verb} ${name}: ${result.stderr || `not within ${timeoutMs} ms`}`);
  return JSON.parse(result.stdout);
}

interface Digested {
  readonly bytes: number;
  readonly sha256: string;
}

interface Report extends Partial<Digested> {
  readonly name: string;
  readonly stalled?: number;
  readonly ended?: string;
  readonly code?: number;
  readonly reason?: string;
}

function reports(run: InterceptRun): Report[] {
  const lines = run.stdout.split('\n').slice(0, -1);
  return lines.filter((line) => line.startsWith('{"name":')).map((line) => JSON.parse(line));
}

/** What the process said about `name` that has the field. */
async function reported(run: InterceptRun, name: string, field: keyof Report): Promise<Report> {
  const find = () => reports(run).find((report) => report.name === name && report[field] !== undefined);
  return await waitFor(async () => find(), {
    timeoutMs: 60_000,
    onTimeout: () => new Error(`no ${field} of ${name} from the process:\n${run.stdout}\n${run.transcript}`),
  });
}

const digestOf = ({ bytes, sha256 }: Report): unknown => ({ bytes, sha256 });

/** Resident memory of the only agent, by its own /proc. */
async function agentBytes(run: InterceptRun): Promise<number> {
  const { pod } = await run.until('connected'); // the pod before it may still be going
  const status = await scene.namespace.kubectl([
    ...['exec', pod, '-c', 'kube-intercept-agent', '--'],
    ...['cat', '/proc/1/status'],
  ]);
  return residentBytes(status);
}

/** Resident memory of the session; the laptop's chain of programs execs into it. */
async function sessionBytes(run: InterceptRun): Promise<number> {
  return residentBytes(await readFile(`/proc/${run.child.pid}/status`, 'utf8'));
}

function residentBytes(status: string): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  assert.ok(kib !== undefined, status);
  return Number(kib) * 1024;
}

const inMib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;

for (const carrier of ['proxy', 'port-forward'])
  describe.skipIf(cluster === undefined)(`through an intercept over ${carrier}`, () => {
    let run: InterceptRun;
    beforeAll(async () => {
      if (cluster === undefined) return;
      if (scene === undefined) {
        [scene, postgresPrograms] = await Promise.all([Scene.open(cluster, 'bytes'), installPostgres()]);
        const processFile = join(scene.laptop.home, 'byte-process.mjs');
        await writeFile(processFile, await bundleProgram('byte-process'));
        await chown(processFile, scene.laptop.uid, scene.laptop.uid);
        await storeProgram(scene.caller, 'byte-caller');
        await deploy();
      }
      const ports = PORT_NAMES.flatMap((name, place) => ['--port', `${FIRST_LOCAL_PORT + place}:${name}`]);
      const process = ['node', join(scene.laptop.home, 'byte-process.mjs'), String(FIRST_LOCAL_PORT), postgresPrograms];
      const args = [TARGET, ...ports, '--tunnel', carrier, '--keep-agent', '--', ...process];
      run = await startIntercept(scene.laptop, args, { namespace: scene.namespace });
      await run.until('ready', 180_000);
      assert.equal((await run.until('connected')).carrier, carrier);
    });
    afterAll(async () => {
      if (run === undefined) return;
      run.child.kill('SIGTERM');
      await run.exited;
      if (carrier === 'port-forward') await scene[Symbol.asyncDispose]();
    });

    // First: after the echoes the processes have memory to spare, and growth would not show.
    test('who does not read holds the memory of agent and session flat, while others are answered', async () => {
      const before = { agent: await agentBytes(run), session: await sessionBytes(run) };
      const [down, up] = [`down-${carrier}`, `up-${carrier}`];
      const readBytes = 64 * MIB;
      const download = call<{ received: Digested; expected: Digested }>('download', down, `${GIB}x${readBytes}`);
      const upload = call<{ sent: Digested }>('upload', up, String(GIB));
      await Promise.all([download, upload, assertFlat()]);

      async function assertFlat(): Promise<void> {
        try {
          const stalled = [await reported(run, down, 'stalled'), await reported(run, up, 'stalled')];
          const answers = await call<string[]>('who', 'who', '20');
          assert.deepEqual(
            answers,
            Array.from({ length: 20 }, () => 'laptop'),
          );
          const held = { agent: await agentBytes(run), session: await sessionBytes(run) };
          const growth = { agent: held.agent - before.agent, session: held.session - before.session };
          const shown = [
            ...stalled.map(({ name, stalled: bytes }) => `${name} stuck after ${inMib(bytes ?? 0)}`),
            `agent ${inMib(before.agent)} → ${inMib(held.agent)}, session ${inMib(before.session)} → ${inMib(held.session)}`,
          ].join('; ');
          console.log(`${carrier}: ${shown}`);
          for (const bytes of Object.values(growth)) assert.ok(bytes <= MAX_GROWTH_BYTES, shown);
          for (const { stalled: bytes = 0 } of stalled) assert.ok(bytes <= MAX_GROWTH_BYTES, shown);
        } finally {
          run.child.stdin?.write(`go ${down}\ngo ${up}\n`);
        }
      }

      const { received, expected } = await download;
      assert.deepEqual(received, expected);
      assert.deepEqual(expected, keystreamDigest(down, readBytes));
      const { sent } = await upload;
      assert.ok(sent.bytes < 128 * MIB, `nobody read, and ${inMib(sent.bytes)} were taken`);
      assert.deepEqual(digestOf(await reported(run, up, 'sha256')), sent);
    });

    test('64 echoes of 16 MiB at once come back byte for byte', async () => {
      const startedAt = performance.now();
      const echoes = await call<{ name: string; sent: Digested; received: Digested }[]>(
        ...(['echo', `echo-${carrier}`, `${ECHOES}x${ECHO_BYTES}`, 200_000] as const),
      );
      const seconds = (performance.now() - startedAt) / 1000;
      console.log(`${carrier}: ${(ECHOES * ECHO_BYTES) / MIB} MiB there and back in ${seconds.toFixed(1)} s`);
      assert.equal(echoes.length, ECHOES);
      assert.equal(new Set(echoes.map(({ sent }) => sent.sha256)).size, ECHOES); // none is like another
      for (const { name, sent, received } of echoes) {
        assert.equal(sent.bytes, ECHO_BYTES);
        assert.deepEqual(received, sent, name);
        assert.deepEqual(digestOf(await reported(run, name, 'sha256')), sent, name);
      }
    });

    test('a request that has ended gets its answer afterwards, and an answer that has ended its request', async () => {
      for (const verb of ['late', 'early']) {
        const name = `${verb}-${carrier}`;
        const seen = await call<{ sent: Digested; received: Digested; expected: Digested }>(verb, name);
        assert.deepEqual(seen.received, seen.expected, verb);
        assert.deepEqual(digestOf(await reported(run, name, 'sha256')), seen.sent, verb);
      }
    });

    test('a process that speaks first is heard by a caller that waits', async () => {
      const heard = await call('greet', 'greet');
      assert.deepEqual(heard, ['220 laptop at your service\r', '250 hello']);
    });

    test.skipIf(cluster?.toolsImage === undefined)(
      'psql works against the PostgreSQL on the laptop, and copies a table there and back unchanged',
      async () => {
        const psql = `psql -X -q -At -v ON_ERROR_STOP=1 -h ${TARGET} -p 84 -U tester postgres`;
        const rows = 'select i, md5(i::text), repeat(i::text, 10) from generate_series(1, 100000) i';
        const script = [
          `${psql} -c 'show cluster_name'`,
          `${psql} -c 'copy (${rows}) to stdout' > /tmp/rows`,
          `${psql} -c 'drop table if exists copied' -c 'create table copied (i int, hash text, digits text)' 2>&1`,
          `${psql} -c '\\copy copied from /tmp/rows'`,
          `${psql} -c 'select count(*) from ((${rows}) except select * from copied) missing'`,
          `${psql} -c 'copy (select * from copied order by i) to stdout' | cmp - /tmp/rows && echo same`,
          'wc -c < /tmp/rows',
        ];
        const result = await scene.caller.exec(['sh', '-ec', script.join('\n')], { timeoutMs: 120_000 });
        assert.equal(result.code, 0, result.stderr + run.transcript);
        const lines = result.stdout
          .trim()
          .split('\n')
          .filter((line) => !line.startsWith('NOTICE'));
        assert.deepEqual(lines.slice(0, 3), ['laptop', '0', 'same'], result.stdout);
        assert.ok(Number(lines[3]) > 8_000_000, result.stdout);
      },
    );

    test('a reset by the caller is a reset at the process', async () => {
      const name = `hold-${carrier}`;
      await call('hold', name, String(RESETS));
      for (let index = 0; index < RESETS; index++) {
        const { ended } = await reported(run, `${name}-${index}`, 'ended');
        assert.equal(ended, 'ECONNRESET', `connection ${index}`);
      }
    });

    test('a reset by the process is a reset at the caller, right behind bytes too, and never an end', async () => {
      for (const when of ['idle', 'data']) {
        const ended = await call<string[]>('cut', `cut-${carrier}`, `${when}x${RESETS}`);
        assert.deepEqual(
          ended,
          Array.from({ length: RESETS }, () => 'ECONNRESET'),
          when,
        );
      }
    });

    test('a WebSocket passes with its extensions, pings and close code', async () => {
      const name = `ws-${carrier}`;
      const seen = await call('websocket', name);
      const answers = [true, true, true];
      assert.deepEqual(seen, { extensions: 'permessage-deflate', answers, pong: 'are you there', code: 4321 });
      const { code, reason } = await reported(run, `websocket /${name}`, 'code');
      assert.deepEqual([code, reason], [4321, 'enough']);
    });

    test('HTTP/2 in clear text passes with trailers, calls at once and answers before the end of the request', async () => {
      const seen = await call<{ calls: unknown[]; turns: string[] }>('http2', `h2-${carrier}`);
      assert.deepEqual(seen.turns, ['one', 'two', 'three']);
      const calls = Array.from({ length: 20 }, (_, index) => ({ path: `/call/${index}`, status: '0', isSame: true }));
      assert.deepEqual(seen.calls, calls);
    });
  });
