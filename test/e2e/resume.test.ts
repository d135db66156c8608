import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import type { SessionEvent } from '../../cli/ui/events.ts';
import { waitFor } from '../cluster/exec.ts';
import { endRuns, type InterceptRun, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';

const cluster = await clusterOrUndefined();
const PORT = 3000;
const TRANSFER_BYTES = 24 * 1024 * 1024;
/** Bytes between two cuts, both directions and all connections together. */
const CUT_BYTES = 4 * 1024 * 1024;

/** The bytes of both transfers, in chunks. */
const PATTERN_CODE = `
const { createHash } = require('node:crypto');
const CHUNK = 65536;
function* pattern(bytes) {
  for (let at = 0; at < bytes; at += CHUNK) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK, bytes - at));
    for (let i = 0; i < chunk.length; i++) chunk[i] = ((at + i) * 31 + ((at + i) >>> 9) * 17) & 255;
    yield chunk;
  }
}
const hashOf = (chunks) => { const hash = createHash('sha256'); for (const chunk of chunks) hash.update(chunk); return hash.digest('hex'); };
`;

/** On the laptop: who it is, bytes down, bytes up, an upgraded connection that echoes, and one connection into the cluster. */
const PROCESS_CODE = `${PATTERN_CODE}
const http = require('node:http'), net = require('node:net'), { Readable } = require('node:stream');
const outgoing = process.env.OUTGOING ? net.connect({ host: process.env.OUTGOING, port: 80 }) : undefined;
let heard = '', closed = 'no';
outgoing?.on('data', (chunk) => { heard += chunk; }).on('error', (error) => { closed = error.code; }).on('close', () => { if (closed === 'no') closed = 'closed'; });
const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://any');
  if (url.pathname === '/down') return Readable.from(pattern(Number(url.searchParams.get('bytes')))).pipe(response);
  if (url.pathname === '/up') {
    const hash = createHash('sha256');
    return request.on('data', (chunk) => hash.update(chunk)).on('end', () => response.end(hash.digest('hex')));
  }
  if (url.pathname === '/outgoing') {
    outgoing.write('HEAD /' + url.search + ' HTTP/1.1\\r\\nHost: echo\\r\\n\\r\\n');
    const poll = () => (heard.split('HTTP/1.1 200').length > Number(url.searchParams.get('n')) || closed !== 'no' ? response.end(closed) : setTimeout(poll, 20));
    return poll();
  }
  response.end('laptop ' + require('node:os').hostname() + '\\n');
});
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n');
  socket.on('data', (chunk) => socket.write(chunk)).on('error', () => {});
});
server.listen(${PORT}, '127.0.0.1');
`;

/** In the cluster: <service> <bytes>. Says what came of one transfer each way and of an upgraded connection around them. */
const CALLER_CODE = `${PATTERN_CODE}
const http = require('node:http'), { Readable } = require('node:stream');
const [host, bytes] = [process.argv[1], Number(process.argv[2])];
const upgraded = new Promise((resolve, reject) => http.get({ host, path: '/ws', headers: { connection: 'upgrade', upgrade: 'websocket' } })
  .on('upgrade', (_, socket) => resolve(socket)).on('error', reject));
const echo = (socket, text) => new Promise((resolve, reject) => { let got = ''; socket.on('error', reject).on('close', () => reject(new Error('closed')))
  .on('data', (chunk) => { got += chunk; if (got.endsWith(text)) resolve(got); }); socket.write(text); });
const down = () => new Promise((resolve, reject) => http.get({ host, path: '/down?bytes=' + bytes, agent: false }, (response) => {
  const hash = createHash('sha256'); let count = 0;
  response.on('data', (chunk) => { count += chunk.length; hash.update(chunk); }).on('error', reject).on('end', () => resolve({ count, hash: hash.digest('hex') }));
}).on('error', reject));
const up = () => new Promise((resolve, reject) => { const request = http.request({ host, path: '/up', method: 'POST', agent: false }, (response) => {
  let text = ''; response.on('data', (chunk) => { text += chunk; }).on('error', reject).on('end', () => resolve(text)); }).on('error', reject); Readable.from(pattern(bytes)).pipe(request); });
(async () => {
  const socket = await upgraded;
  await echo(socket, 'before.');
  console.log('began');
  const [got, sent] = await Promise.all([down(), up()]);
  await echo(socket, 'after.');
  const wanted = hashOf(pattern(bytes));
  console.log(JSON.stringify({ count: got.count, down: got.hash === wanted, up: sent === wanted }));
  process.exit(0);
})().catch((error) => { console.log(JSON.stringify({ error: String(error) })); process.exit(1); });
`;

let scene: Scene;
let runs: InterceptRun[] = [];
let processes: ChildProcess[] = [];
beforeAll(async () => {
  if (cluster === undefined) return;
  scene = await Scene.open(cluster, 'resume', PROCESS_CODE);
  await scene.deploy(
    { name: 'web', replicas: 1 },
    {
      name: 'echo',
      replicas: 1,
      container: { livenessProbe: undefined }, // a restart would end the connection that is to live
    },
  );
});
afterEach(async () => {
  for (const { child } of runs) child.kill('SIGCONT');
  await endRuns(runs);
  for (const child of processes) child.kill('SIGKILL');
  runs = [];
  processes = [];
});
afterAll(async () => scene?.[Symbol.asyncDispose]());

const count = (run: InterceptRun, name: SessionEvent['event']): number =>
  run.events.filter(({ event }) => event === name).length;
const untilCount = (run: InterceptRun, name: SessionEvent['event'], wanted: number): Promise<unknown> =>
  run.untilMatch(() => count(run, name) >= wanted, `${wanted} of ${name}`);

async function start(args: readonly string[]): Promise<InterceptRun> {
  const run = await startIntercept(scene.laptop, ['web', '--port', `${PORT}:80`, ...args], scene);
  runs.push(run);
  await run.until('ready', 120_000);
  return run;
}

/** A session that takes the traffic for a process of its own accord, whose end is nobody's. */
async function startBesideProcess(args: readonly string[] = []): Promise<InterceptRun> {
  processes.push(scene.laptop.spawn([process.execPath, scene.processFile]));
  return await start(args);
}

/** Waits until fresh callers are answered by `who`. @returns after how many milliseconds */
async function untilAnswers(who: 'app' | 'laptop', run: InterceptRun): Promise<number> {
  const fromMs = performance.now();
  await waitFor(async () => ((await scene.call('web', 1)).by[who] === 1 ? true : undefined), {
    timeoutMs: 60_000,
    intervalMs: 100,
    onTimeout: () => new Error(`not answered by the ${who}\n${run.transcript}`),
  });
  return Math.round(performance.now() - fromMs);
}

describe.skipIf(cluster === undefined)('a session whose way to the cluster is lost', () => {
  test('transfers each way, an upgraded connection and one out of the process live through cuts, byte for byte', async () => {
    const { laptop, caller } = scene;
    const run = await start(['--env', 'OUTGOING=echo', '--', process.execPath, scene.processFile]);
    assert.equal(await scene.get('http://web/outgoing?n=1'), 'no');
    const calling = caller.exec(['node', '-e', CALLER_CODE, 'web', String(TRANSFER_BYTES)], { timeoutMs: 120_000 });
    let over = false;
    const ended = calling.finally(() => {
      over = true;
    });
    const kinds = ['cut', 'reset'] as const;
    for (let cuts = 1; !over; cuts++) {
      laptop.relay.cutAfterBytes(CUT_BYTES, kinds[cuts % 2]);
      await Promise.race([ended, untilCount(run, 'reconnected', cuts)]);
    }
    laptop.relay.cutAfterBytes(0);
    const { stdout, stderr } = await calling;
    const said = stdout.trim().split('\n').at(-1) ?? '';
    assert.deepEqual(
      JSON.parse(said === '' ? 'null' : said),
      { count: TRANSFER_BYTES, down: true, up: true },
      `${stderr}\n${run.transcript}`,
    );
    assert.ok(count(run, 'reconnected') >= 5, run.transcript);
    assert.equal(await scene.get('http://web/outgoing?n=2'), 'no', run.transcript);
    assert.equal(count(run, 'disconnected'), 0, run.transcript);
    assert.equal(count(run, 'command-started'), 1);
  });

  test('a carrier that is half-dead is found by its silence and replaced; a request meanwhile gets its answer', async () => {
    const run = await startBesideProcess();
    assert.equal((await scene.call('web', 4)).by.laptop, 4);
    scene.laptop.relay.freeze();
    const calls = scene.call('web', 1);
    const fromMs = performance.now();
    const { reason } = await run.until('reconnecting');
    console.log(`half-dead carrier: found after ${Math.round(performance.now() - fromMs)} ms (${reason})`);
    assert.match(reason, /silent/);
    await run.until('reconnected');
    assert.deepEqual((await calls).failures, []);
    assert.equal((await scene.call('web', 4)).by.laptop, 4, run.transcript);
    assert.equal(count(run, 'disconnected'), 0, run.transcript);
  });

  test('while there is no way at all the app answers, and the status says so; the way back needs nobody', async () => {
    const run = await startBesideProcess();
    const { relay } = scene.laptop;
    /** Of the session, and of its pods. */
    const states = async (): Promise<string[]> => {
      const { stdout } = await runIntercept(scene.laptop, ['status', '--json'], { namespace: scene.namespace });
      return (JSON.parse(stdout) as { state: string; pods: { state: string }[] }[]).flatMap((session) => [
        session.state,
        ...session.pods.map(({ state }) => state),
      ]);
    };
    assert.deepEqual(await states(), ['ready', 'connected']);
    await relay.refuse(true);
    relay.reset();
    await run.until('reconnecting');
    await untilAnswers('app', run);
    assert.deepEqual(await states(), ['reconnecting', 'reconnecting'], run.transcript);
    await relay.refuse(false);
    await run.until('reconnected');
    await untilAnswers('laptop', run);
    assert.deepEqual(await states(), ['ready', 'connected'], run.transcript);
    assert.equal(count(run, 'connected'), 1, 'no new tunnel was needed');
  });
});

describe.skipIf(cluster === undefined)('a session that is gone, however it went', () => {
  test('frozen: the app answers long before the session is given up, and its thaw brings the route back', async () => {
    const run = await startBesideProcess(['--resume', '300']);
    assert.equal((await scene.call('web', 4)).by.laptop, 4);
    run.child.kill('SIGSTOP');
    console.log(`SIGSTOP: the app answers after ${await untilAnswers('app', run)} ms`);
    run.child.kill('SIGCONT');
    await run.until('reconnected');
    console.log(`SIGCONT: the laptop answers after ${await untilAnswers('laptop', run)} ms`);
    assert.equal(count(run, 'disconnected'), 0, run.transcript);
  });

  test('frozen, where nothing is to wait: it makes a new tunnel when it thaws, and has its route again', async () => {
    const run = await startBesideProcess(['--resume', '0']);
    run.child.kill('SIGSTOP');
    await untilAnswers('app', run);
    run.child.kill('SIGCONT');
    await untilCount(run, 'connected', 2);
    await untilAnswers('laptop', run);
    assert.equal(count(run, 'disconnected'), 1, run.transcript);
    assert.equal(count(run, 'reconnecting'), 0, run.transcript);
  });

  test('frozen for longer than what is open waits: it makes a new tunnel when it thaws, and knows why', async () => {
    const run = await startBesideProcess(['--resume', '5']);
    run.child.kill('SIGSTOP');
    await untilAnswers('app', run);
    await new Promise((resolve) => setTimeout(resolve, 10_000)); // nothing tells from outside that the agent waits no more
    run.child.kill('SIGCONT');
    const { reason } = await run.until('disconnected');
    assert.match(
      reason,
      /^the tunnel was away for \d{2,} s, and the agent waits for 5 s \(--resume\)$/,
      run.transcript,
    );
    await untilAnswers('laptop', run);
  });

  test('kill -9: the app answers at once, and what is asked then is not lost', async () => {
    const run = await startBesideProcess(['--resume', '300']);
    assert.equal((await scene.call('web', 4)).by.laptop, 4);
    run.child.kill('SIGKILL');
    const all = await scene.call('web', 40);
    assert.deepEqual(all.failures, [], run.transcript);
    console.log(
      `kill -9: the app answers after ${await untilAnswers('app', run)} ms, ${JSON.stringify(all.by)} right behind it`,
    );
  });
});
