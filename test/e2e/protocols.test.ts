import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { storeProgram } from '../support/bundle.ts';
import { type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { laptopProgram, programWorkload } from '../support/program-workload.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { makeCertificate } from '../support/test-certificates.ts';

const cluster = await clusterOrUndefined();
const hasTools = cluster?.toolsImage !== undefined;

const TARGET = 'proto';
const STREAMS = 100;
const ROUNDS = 5;
const MESSAGE_BYTES = 16 * 1024 * 1024;
const DEADLINE_MS = 3_000;
const LOAD_REQUESTS = 2_000;
const PORTS = ['grpc', 'http', 'tls', 'https'];
const SERVICE_PORTS = [80, 81, 443, 8443];
const KEY = ['-H', 'x-user: dev-1'];
/** Numbers of grpc.status. */
const [OK, CANCELLED, DEADLINE_EXCEEDED, FAILED_PRECONDITION] = [0, 1, 4, 9];

interface Ended {
  readonly code: number;
  readonly details: string;
  readonly who: string;
  readonly echo: string;
}
type Seen = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const whoAnswers = (keyed: boolean): string => (keyed ? 'laptop' : 'app');

describe.skipIf(cluster === undefined)('with a filter, requests of one connection go each its own way', () => {
  let scene: Scene;
  let run: InterceptRun;
  let certificate: string;
  let processFile: string;

  /** Runs protocol-caller in the caller pod. */
  async function call<Answer>(verb: string, argument = ''): Promise<Answer> {
    const command = ['node', '/tmp/protocol-caller.mjs', verb, TARGET, argument];
    const { code, stdout, stderr } = await scene.caller.exec(command, { timeoutMs: 90_000 });
    assert.equal(code, 0, `${verb} ended with ${code}: ${stderr}${stdout.slice(0, 2000)}\n${run.transcript}`);
    return JSON.parse(stdout);
  }

  async function curl(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await scene.caller.exec(['curl', '-sS', '-m', '20', ...args]);
    assert.equal(code, 0, `curl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  async function start(
    tlsFrom: string,
    mappings = PORTS.map((name, place) => `${3000 + place}:${name}`),
  ): Promise<void> {
    const ports = mappings.flatMap((mapping) => ['--port', mapping]);
    const options = ['--header', 'x-user: dev-1', '--tls-from', tlsFrom, '--env', 'WHO=laptop', '--keep-agent'];
    run = await startIntercept(scene.laptop, [TARGET, ...ports, ...options, '--', 'node', processFile, '3000'], {
      namespace: scene.namespace,
    });
    await run.until('ready', 120_000);
  }

  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'protocols');
    const { cert, key } = makeCertificate([TARGET]);
    certificate = cert;
    await scene.namespace.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'served' },
      type: 'kubernetes.io/tls',
      stringData: { 'tls.crt': cert, 'tls.key': key },
    });
    processFile = await laptopProgram(scene.laptop, 'protocol-server');
    await storeProgram(scene.caller, 'protocol-caller');
    const { container, podSpec } = await programWorkload(scene, 'protocol-server', ['8080']);
    const probe = { httpGet: { path: '/healthz', port: 8081 }, periodSeconds: 1 };
    const { volumes } = podSpec;
    const { volumeMounts } = container;
    await scene.deploy({
      name: TARGET,
      replicas: 1,
      container: {
        ...container,
        ports: PORTS.map((name, place) => ({ name, containerPort: 8080 + place })),
        env: [
          { name: 'WHO', value: 'app' },
          { name: 'TLS_CERT', value: '/served/tls.crt' },
          { name: 'TLS_KEY', value: '/served/tls.key' },
        ],
        volumeMounts: [...asList(volumeMounts), { name: 'served', mountPath: '/served', readOnly: true }],
        readinessProbe: probe,
        livenessProbe: probe,
      },
      podSpec: {
        terminationGracePeriodSeconds: 2,
        volumes: [...asList(volumes), { name: 'served', secret: { secretName: 'served' } }],
      },
      service: { ports: PORTS.map((name, place) => ({ name, port: SERVICE_PORTS[place], targetPort: name })) },
    });
    await start('served');
  });
  afterAll(async () => {
    run?.child.kill('SIGTERM');
    await run?.exited;
    await scene?.[Symbol.asyncDispose]();
  });

  test('100 gRPC streams at once on one connection: each is answered by whom its metadata asks for, trailers too', async () => {
    const streams = await call<{ keyed: boolean; answers: string[]; status: Ended }[]>('bidi', `${STREAMS}x${ROUNDS}`);
    assert.equal(streams.length, STREAMS);
    for (const [index, { keyed, answers, status }] of streams.entries()) {
      const who = whoAnswers(keyed);
      assert.deepEqual(
        answers,
        Array.from({ length: ROUNDS }, (_, round) => `${who} ${index}-${round}`),
        run.transcript,
      );
      assert.deepEqual(status, { code: OK, details: 'OK', who, echo: String(index) });
    }
  });

  test('every kind of gRPC call, a failed one with its details, and messages of 16 MiB arrive as sent', async () => {
    const kinds =
      await call<Record<'keyed' | 'unkeyed', { downloaded: unknown; uploaded: string; statuses: Ended[] }>>('kinds');
    for (const [name, { downloaded, uploaded, statuses }] of Object.entries(kinds)) {
      const who = whoAnswers(name === 'keyed');
      assert.deepEqual(downloaded, [500, `${who} 0`, `${who} 499`]);
      assert.equal(uploaded, `${who} 500`);
      assert.deepEqual(statuses, [
        { code: OK, details: 'OK', who, echo: 'download' },
        { code: OK, details: 'OK', who, echo: 'upload' },
        { code: FAILED_PRECONDITION, details: `${who} refuses: 100 % nö`, who, echo: 'unary' },
      ]);
    }
    const big = await call<(Ended & { same: boolean })[]>('big', String(MESSAGE_BYTES));
    assert.deepEqual(
      big.map(({ code, who, same }) => ({ code, who, same })),
      [true, false].map((keyed) => ({ code: OK, who: whoAnswers(keyed), same: true })),
      run.transcript,
    );
  });

  test('a cancelled gRPC call and a deadline arrive at whoever answers', async () => {
    const left = await call('leave', String(DEADLINE_MS));
    const ends = (code: number): unknown => [true, false].map((keyed) => ({ who: whoAnswers(keyed), code }));
    assert.deepEqual(left, { cancelled: ends(CANCELLED), late: ends(DEADLINE_EXCEEDED) });
    const seen = await untilSeen((all) =>
      [true, false].every((keyed) => {
        const { [`cancel-${keyed}`]: cancelled, [`deadline-${keyed}`]: late } = all[keyed ? 'keyed' : 'unkeyed'] ?? {};
        return cancelled?.cancelled === true && late?.cancelled === true;
      }),
    );
    for (const keyed of [true, false]) {
      const late = seen[keyed ? 'keyed' : 'unkeyed']?.[`deadline-${keyed}`];
      assert.ok(late?.hasDeadline === true && Number(late.leftMs) <= DEADLINE_MS, JSON.stringify(late));
      assert.equal(late.who, whoAnswers(keyed));
    }
  });

  test('a WebSocket is upgraded where its first request goes: text, binary, ping and close code pass', async () => {
    const sockets = await call('ws');
    const expected = (keyed: boolean): unknown => ({
      hello: `${whoAnswers(keyed)} http://page`,
      echoes: [true, true, true],
      code: 4001,
    });
    assert.deepEqual(sockets, [expected(true), expected(false)], run.transcript);
    const seen = await untilSeen(
      (all) => all.keyed?.['/ws-keyed']?.open === false && all.unkeyed?.['/ws-unkeyed']?.open === false,
    );
    const closed = { open: false, pinged: 'are you there', code: 4001, reason: 'enough' };
    assert.deepEqual(seen.keyed?.['/ws-keyed'], { who: 'laptop', ...closed });
    assert.deepEqual(seen.unkeyed?.['/ws-unkeyed'], { who: 'app', ...closed });
  });

  test('server-sent events flow, and when the caller leaves the connection to whoever sends them is closed', async () => {
    const events = await call('events');
    const expected = (keyed: boolean): unknown => ({
      type: 'text/event-stream',
      events: [0, 1, 2].map((count) => `data: ${whoAnswers(keyed)} ${count}`),
    });
    assert.deepEqual(events, [expected(true), expected(false)]);
    await untilSeen((all) =>
      [true, false].every((keyed) => all[keyed ? 'keyed' : 'unkeyed']?.[`/events-${keyed}`.slice(1)]?.closed === true),
    );
  });

  test.skipIf(!hasTools)(
    'curl speaks HTTP/2 by prior knowledge and by upgrade, h2load both on many connections',
    async () => {
      const url = `http://${TARGET}:81`;
      const version = ['-w', '%{http_version}'];
      // Who is asked to upgrade may stay with HTTP/1.1: for a process, which need not speak what the app does, the agent does.
      for (const [how, own] of [
        ['--http2-prior-knowledge', '2'],
        ['--http2', '1.1'],
      ] as const) {
        const inHttp = (number: string): string => (number === '2' ? '2.0' : number);
        assert.equal(await curl(how, ...version, `${url}/a?b=c`), 'app 2.0 GET /a?b=c 0\n2', how);
        assert.equal(
          await curl(how, ...version, ...KEY, `${url}/a?b=c`),
          `laptop ${inHttp(own)} GET /a?b=c 0\n${own}`,
          how,
        );
        const post = ['-d', 'x'.repeat(5_000)];
        assert.match(await curl(how, ...version, ...KEY, ...post, `${url}/p`), /^laptop [\d.]+ POST \/p 5000\n/, how);
      }
      assert.equal(await curl('--http1.1', ...version, ...KEY, `${url}/a`), 'laptop 1.1 GET /a 0\n1.1');

      for (const [path, key] of [
        ['/load-keyed', KEY],
        ['/load-unkeyed', []],
      ] as const) {
        const load = ['h2load', '-n', String(LOAD_REQUESTS), '-c', '8', '-m', '25', ...key, `${url}${path}`];
        const { stdout, stderr } = await scene.caller.exec(load);
        assert.match(stdout, new RegExp(`${LOAD_REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout`), stdout + stderr);
      }
      const seen = await call<Record<string, Seen>>('seen');
      assert.deepEqual(seen.keyed?.['/load-keyed'], { who: 'laptop', count: LOAD_REQUESTS });
      assert.deepEqual(seen.unkeyed?.['/load-unkeyed'], { who: 'app', count: LOAD_REQUESTS });
      assert.deepEqual([seen.keyed?.['/load-unkeyed'], seen.unkeyed?.['/load-keyed']], [undefined, undefined]);
    },
  );

  test.skipIf(!hasTools)(
    'with --tls-from an app with HTTP/1.1 only in TLS is left as it is: curl, which offers HTTP/2, is answered with and without the key',
    async () => {
      const url = `https://${TARGET}:8443/plain`;
      for (const [who, key] of [
        ['app', []],
        ['laptop', KEY],
      ] as const) {
        const told = await curl('-k', '-w', '%{http_code} %{http_version}', ...key, url);
        assert.equal(told, `${who} 1.1 GET /plain\n200 1.1`, run.transcript);
      }
      assert.match(await curl('-kv', '--stderr', '-', url), /offer(s|ing):? h2/, 'curl offers HTTP/2');
    },
  );

  test('with --tls-from a Secret or a path in the pod the agent ends TLS with that certificate, and both sides speak it again', async () => {
    const expected = {
      http1: ['laptop 1.1 GET /tls 0\n', 'app 1.1 GET /tls 0\n'],
      http2: ['laptop 2.0 GET /tls 0\n', 'app 2.0 GET /tls 0\n', 'laptop 2.0 GET /tls 0\n'],
    };
    assert.deepEqual(await call('tls', certificate), expected, run.transcript);
    assert.equal(await run.interrupt(), 0, run.transcript);
    await start('/served');
    assert.deepEqual(await call('tls', certificate), expected, run.transcript);
  });

  test.skipIf(!hasTools)(
    'with --tls-from a process with HTTP/1.1 only takes nothing of what callers ask an app in HTTP/2, which a warning says',
    async () => {
      assert.equal(await run.interrupt(), 0, run.transcript);
      await start('served', ['3003:tls']);
      const url = `https://${TARGET}/mixed`;
      const version = ['-k', '-w', '%{http_version}'];
      assert.equal(await curl(...version, ...KEY, url), 'app 2.0 GET /mixed 0\n2', run.transcript);
      assert.equal(await curl(...version, '--http1.1', ...KEY, url), 'laptop 1.1 GET /mixed\n1.1', run.transcript);
      const told = /the process does not speak HTTP\/2 in TLS, as callers of port 8082 of the app do: the app answers/;
      await run.untilMatch((event) => event.event === 'warning' && told.test(event.message), 'warning', 10_000);
    },
  );

  async function untilSeen(
    holds: (seen: Readonly<Record<string, Seen>>) => boolean,
  ): Promise<Readonly<Record<string, Seen>>> {
    let last: Readonly<Record<string, Seen>> = {};
    const look = async (): Promise<Readonly<Record<string, Seen>> | undefined> => {
      last = await call('seen');
      return holds(last) ? last : undefined;
    };
    const onTimeout = (): Error => new Error(`app and process saw: ${JSON.stringify(last)}\n${run.transcript}`);
    return await waitFor(look, { timeoutMs: 20_000, intervalMs: 300, onTimeout });
  }
});

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
