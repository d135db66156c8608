import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';

const cluster = await clusterOrUndefined();

const KEY = ['-H', 'x-user: a'];
const HOLD_SECONDS = 6;
const MAX_HOPS = 8;
/** App and process: who they are, and the fields of the request. */
const CODE = `
const server = require('node:http').createServer((request, response) => {
  response.setHeader('x-mine', 'yes');
  response.end(JSON.stringify({ who: process.env.WHO || 'app', raw: request.rawHeaders }));
});
server.listen(Number(process.env.PORT || 8080));
process.on('SIGTERM', () => process.exit(0));
`;

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
  readonly who: string | undefined;
  /** Fields of the request as whoever answered saw them. */
  readonly by: readonly string[];
}

describe.skipIf(cluster === undefined)('a session whose process comes and goes', () => {
  let scene: Scene;
  let run: InterceptRun;
  let processFile: string;
  let child: ChildProcess | undefined;

  async function startSession(...options: string[]): Promise<void> {
    const args = ['web', '--port', '3000', '--header', 'x-user: a', '--keep-agent', ...options];
    run = await startIntercept(scene.laptop, args, { namespace: scene.namespace });
    await run.until('ready', 120_000);
  }

  function startProcess(): void {
    child = scene.laptop.spawn(['node', processFile], { env: { WHO: 'laptop', PORT: '3000' }, stdio: 'ignore' });
  }

  async function killProcess(): Promise<void> {
    const ended = child;
    child = undefined;
    if (ended === undefined) return;
    ended.kill('SIGKILL');
    await once(ended, 'exit');
  }

  /** The next event of this name. */
  async function untilNext(name: 'held' | 'listening' | 'not-listening'): Promise<void> {
    const { length } = run.events;
    await run.untilMatch((event) => event.event === name && run.events.indexOf(event) >= length, `event ${name}`);
  }

  async function curl(...args: readonly string[]): Promise<Answer> {
    const command = ['curl', '-sS', '-i', '-m', '60', ...args, 'http://web/fields'];
    const { code, stdout, stderr } = await scene.caller.exec(command, { timeoutMs: 70_000 });
    assert.equal(code, 0, `${stderr}\n${run.transcript}`);
    const [head = '', ...rest] = stdout.split('\r\n\r\n');
    const body = rest.join('\r\n\r\n');
    const status = Number(head.split(' ')[1]);
    const { who, raw }: { who?: string; raw: string[] } = status === 200 ? JSON.parse(body) : { raw: [] };
    const by = raw.filter((_, index) => index % 2 === 1 && raw[index - 1]?.toLowerCase() === 'x-intercept-by');
    return { status, head, body, who, by };
  }

  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'local-answers');
    processFile = join(scene.laptop.home, 'fields.cjs');
    await writeFile(processFile, CODE);
    await chown(processFile, scene.laptop.uid, scene.laptop.uid);
    await scene.deploy({ name: 'web', replicas: 1, code: CODE });
    startProcess();
    await startSession('--hold', String(HOLD_SECONDS), '--mark');
  });
  afterAll(async () => {
    child?.kill('SIGKILL');
    run?.child.kill('SIGINT');
    await run?.exited;
    await scene?.[Symbol.asyncDispose]();
  });

  test('tells process and caller by x-intercept-by that a request went through it, the app and its callers nothing', async () => {
    const mark = `${scene.laptop.user}@${hostname()}`;
    const own = await curl(...KEY);
    assert.deepEqual([own.who, own.by], ['laptop', [mark]], run.transcript);
    assert.match(own.head, new RegExp(`\r\nx-intercept-by: ${mark}`));
    assert.match(own.head, /\r\nx-mine: yes/);
    const other = await curl();
    assert.deepEqual([other.who, other.by], ['app', []]);
    assert.doesNotMatch(other.head, /x-intercept-by/i);
  });

  test(`answers 508 to a request that has been through ${MAX_HOPS} intercepts, and passes one with fewer on`, async () => {
    const hops = (count: number): string[] =>
      Array.from({ length: count }, () => ['-H', 'X-Intercept-By: me@there']).flat();
    const few = await curl(...KEY, ...hops(MAX_HOPS - 1));
    assert.deepEqual([few.who, few.by.length], ['laptop', MAX_HOPS]);
    const many = await curl(...KEY, ...hops(MAX_HOPS));
    assert.equal(many.status, 508, many.head);
    assert.equal((await curl(...hops(MAX_HOPS))).who, 'app'); // nobody took it
  });

  test('lets callers wait for a process that restarts, and gives them to the app when it stays away', async () => {
    const isHeld = untilNext('held');
    await killProcess();
    await isHeld;
    const waiting = curl(...KEY);
    const unkeyed = await curl();
    assert.equal(unkeyed.who, 'app'); // at once
    const isBackInTime = untilNext('listening');
    startProcess();
    assert.equal((await waiting).who, 'laptop', run.transcript);
    await isBackInTime;

    const isHeldAgain = untilNext('held');
    await killProcess();
    await isHeldAgain;
    const isGivenUp = untilNext('not-listening');
    assert.equal((await curl(...KEY)).who, 'app', run.transcript); // after HOLD_SECONDS
    await isGivenUp;
    assert.equal((await curl(...KEY)).who, 'app', run.transcript); // at once
    const isBack = untilNext('listening');
    startProcess();
    await isBack;
    assert.equal((await curl(...KEY)).who, 'laptop', run.transcript);
  });

  test('with --no-fallback answers 503 and says why while the process is away', async () => {
    await run.interrupt();
    await startSession('--no-fallback', '--hold', '0');
    assert.equal((await curl(...KEY)).who, 'laptop', run.transcript);
    const isGone = untilNext('not-listening');
    await killProcess();
    await isGone;
    const refused = await curl(...KEY);
    assert.equal(refused.status, 503, refused.head);
    assert.match(refused.head, /\r\nContent-Type: text\/(html|plain)/i);
    assert.match(refused.body, new RegExp(`${scene.laptop.user}@`), refused.body);
    console.log(`503: ${refused.body}`);
    assert.equal((await curl()).who, 'app');
    const isBack = untilNext('listening');
    startProcess();
    await isBack;
    assert.equal((await curl(...KEY)).who, 'laptop', run.transcript);
  });
});
