import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { installedCli, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { Transcript } from '../support/transcript.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();

/** As the app, and: /stdin tells what came on standard input, /exit/<n> ends with that code, signals are told on stdout. */
const PROCESS_CODE = `
const signals = (process.env.DEAF || '').split(',');
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => console.log('got ' + name));
${APP_CODE.replace(/process\.on\('SIG[\s\S]*$/, '')}
for (const name of ['SIGINT', 'SIGTERM']) if (!signals.includes(name)) process.on(name, () => server.close(() => process.exit(5)));
let input = '';
process.stdin.on('data', (chunk) => { input += chunk; }).on('end', () => { input += '(end)'; });
server.prependListener('request', (request, response) => {
  if (request.url === '/stdin') response.end(input);
  const exit = /^\\/exit\\/(\\d+)$/.exec(request.url);
  if (exit) response.end('bye', () => process.exit(Number(exit[1])));
});
console.log('started ' + process.pid);
`;

describe.skipIf(cluster === undefined)('the command after --', () => {
  let scene: Scene;
  let cli: string;
  beforeAll(async () => {
    if (cluster === undefined) return;
    cli = await installedCli();
    scene = await Scene.open(cluster, 'command', PROCESS_CODE);
    const env = [
      { name: 'GREETING', value: "it's from the pod" },
      { name: 'MODE', value: 'cluster' },
      { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'PYTHONPATH', value: '/app/lib' },
    ];
    await scene.deploy({ name: 'web', replicas: 1, env }, { name: 'deaf', replicas: 1 });
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  const command = (port: number, ...options: string[]): string[] => {
    const own = ['--env', 'WHO=laptop', '--env', `PORT=${port}`];
    return ['web', '--port', String(port), ...own, ...options, '--', 'node', scene.processFile];
  };

  test('gets the environment of the pod without what belongs to its image, stdin, and its exit code is ours', async () => {
    const before = await scene.snapshot('deployment/web', 'service/web');
    const envFile = join(scene.laptop.home, '.env');
    const run = await startIntercept(scene.laptop, command(3000, '--env', 'MODE=laptop', '--env-file', envFile), {
      namespace: scene.namespace,
    });
    try {
      run.child.stdin?.end('to the command');
      await run.until('ready', 120_000);

      assert.equal(run.events[0]?.event, 'found', run.transcript); // each was one JSON object on a line of its own
      assert.deepEqual(run.otherLines, []);
      assert.match(run.stdout, /^started \d+\n$/);
      assert.equal(await scene.get('http://web/stdin'), 'to the command(end)');

      const env = JSON.parse(await scene.get('http://web/env'));
      assert.equal(env.GREETING, "it's from the pod");
      assert.equal(env.MODE, 'laptop');
      assert.match(env.POD, /^web-/);
      assert.match(env.KUBERNETES_SERVICE_HOST, /^\d/);
      assert.equal(env.PYTHONPATH, undefined);
      assert.equal(env.HOME, scene.laptop.home);
      assert.deepEqual(
        Object.keys(env).filter((name) => /^KUBE_INTERCEPT/.test(name)),
        [],
      );

      assert.equal((await stat(envFile)).mode & 0o777, 0o600);
      const dotenv = await readFile(envFile, 'utf8');
      assert.match(dotenv, /^GREETING="it's from the pod"$/m);
      assert.match(dotenv, /^MODE=laptop$/m);
      const printed = await runIntercept(scene.laptop, ['env', 'web', '--json'], { namespace: scene.namespace });
      assert.deepEqual([JSON.parse(printed.stdout).MODE, printed.stderr], ['cluster', ''], printed.stderr);

      await scene.get('http://web/exit/7');
      assert.deepEqual(await run.exited, { code: 7, signal: null }, run.transcript);
      await assert.rejects(stat(envFile), { code: 'ENOENT' });
      assert.deepEqual(await scene.snapshot('deployment/web', 'service/web'), before);
    } finally {
      run.child.kill('SIGTERM');
      await run.exited;
    }
  });

  test('gets the SIGTERM that intercept got, once; with the agent kept, the next intercept is warm, and leave removes it', async () => {
    const before = await scene.snapshot('deployment/web', 'service/web');
    const cold = await startIntercept(scene.laptop, command(3001, '--keep-agent'), { namespace: scene.namespace });
    await cold.until('ready', 120_000);
    cold.child.kill('SIGTERM');
    assert.deepEqual(await cold.exited, { code: 5, signal: null }, cold.transcript);
    assert.equal(cold.stdout.match(/got SIGTERM/g)?.length, 1, cold.stdout);
    assert.ok(cold.events.some((event) => event.event === 'agent-kept'));
    assert.deepEqual((await scene.call('web')).by, { app: 20 });

    const warm = await startIntercept(scene.laptop, command(3001), { namespace: scene.namespace });
    const { elapsedMs } = await warm.until('ready');
    const names = warm.events.map((event) => event.event);
    assert.ok(names.includes('agent-present') && !names.includes('patched'), warm.transcript);
    assert.deepEqual((await scene.call('web')).by, { laptop: 20 });
    console.log(`warm intercept: ${elapsedMs} ms`);
    warm.child.kill('SIGTERM');
    assert.equal((await warm.exited).code, 5, warm.transcript);

    const left = await runIntercept(scene.laptop, ['leave', 'web'], { namespace: scene.namespace, timeoutMs: 120_000 });
    assert.equal(left.code, 0, left.stderr);
    assert.deepEqual(await scene.snapshot('deployment/web', 'service/web'), before);
    assert.equal(await scene.leftovers(), '');
  });

  test('gets Ctrl-C on a terminal once; a second one forces the end, and the cluster is restored all the same', async () => {
    const before = await scene.snapshot('deployment/deaf', 'service/deaf');
    const kubeconfig = await scene.laptop.kubeconfig(scene.namespace);
    const args = [
      'deaf',
      '--port',
      '3002',
      '--env',
      'PORT=3002',
      '--env',
      'WHO=laptop',
      '--env',
      'DEAF=SIGINT,SIGTERM',
    ];
    const child = scene.laptop.spawn([process.execPath, '--', cli, ...args, '--', 'node', scene.processFile], {
      tty: true,
      env: { KUBECONFIG: kubeconfig },
    });
    const terminal = new Transcript(child);
    try {
      await terminal.until(/✓.* ready in /, 120_000);
      child.stdin?.write('\x03');
      await terminal.until(/got SIGINT/);
      assert.deepEqual((await scene.call('deaf')).by, { app: 20 }, terminal.text); // the app has the traffic while the command ends
      assert.equal(terminal.text.match(/got SIG/g)?.length, 1, terminal.text);
      // Two within 300 ms are one, so as a person does: again until it ends.
      let ended = false;
      void terminal.exited.then(() => {
        ended = true;
      });
      child.stdin?.on('error', () => {}); // EPIPE: it has just ended
      const pressUntilEnded = async (): Promise<true | undefined> => {
        if (ended) return true;
        child.stdin?.write('\x03');
        return undefined;
      };
      await waitFor(pressUntilEnded, {
        timeoutMs: 30_000,
        intervalMs: 10, // also while the program ends
        onTimeout: () => new Error(`not ended; the terminal showed:\n${terminal.text}`),
      });
      assert.equal(await terminal.exited, 137, terminal.text); // the command's own end, by SIGKILL
      assert.match(terminal.text, /forced: the rest is restored in the background/);
    } finally {
      child.kill('SIGKILL');
    }
    await scene.untilRestored(['deployment/deaf', 'service/deaf'], before, () => terminal.text);
  });
});
