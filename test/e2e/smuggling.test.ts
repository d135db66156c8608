import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { storeProgram } from '../support/bundle.ts';
import { HTTP_CORPUS } from '../support/http-corpus.ts';
import { type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { laptopProgram, programWorkload } from '../support/program-workload.ts';
import type { Smuggled } from '../support/programs/smuggler.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';

const cluster = await clusterOrUndefined();

const TARGET = 'strict';
const AT_LEAST = 60;
/** Fields that the agent adds to requests for the laptop. */
const ADDED = /x-intercept-by: [^\r\n]*\r\n/g;

interface Pod {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly containerID: string;
      readonly restartCount: number;
    }[];
  };
}

describe.skipIf(cluster === undefined)('a filtered port', () => {
  let scene: Scene;
  let run: InterceptRun;

  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'smuggling');
    const { container, podSpec } = await programWorkload(scene, 'http-recorder', ['8080']);
    const probe = { httpGet: { path: '/healthz', port: 8081 }, periodSeconds: 1 };
    await scene.deploy({
      name: TARGET,
      replicas: 1,
      container: {
        ...container,
        ports: ['http', 'records'].map((name, place) => ({ name, containerPort: 8080 + place })),
        readinessProbe: probe,
        livenessProbe: probe,
      },
      podSpec: { ...podSpec, terminationGracePeriodSeconds: 2 },
      service: { ports: ['http', 'records'].map((name, place) => ({ name, port: 80 + place, targetPort: name })) },
    });
    await storeProgram(scene.caller, 'smuggler');
    const process = ['node', await laptopProgram(scene.laptop, 'http-recorder'), '3000'];
    const options = ['--port', '3000:http', '--port', '3001:records', '--header', 'x-user: dev', '--env', 'WHO=laptop'];
    run = await startIntercept(scene.laptop, [TARGET, ...options, '--', ...process], { namespace: scene.namespace });
    await run.until('ready', 120_000);
  });
  afterAll(async () => {
    run?.child.kill('SIGTERM');
    await run?.exited;
    await scene?.[Symbol.asyncDispose]();
  });

  /** Name, id and restarts of the agent in the only pod that has one. */
  async function agent(): Promise<unknown> {
    const pods = await scene.namespace.livePods<Pod>(`${TARGET}-`);
    return pods.flatMap(({ metadata, status }) => {
      const found = status.containerStatuses?.find(({ name }) => name === 'kube-intercept-agent');
      return found === undefined ? [] : [{ pod: metadata.name, id: found.containerID, restarts: found.restartCount }];
    });
  }

  test(`refuses what readers of HTTP disagree about, and sends all else to one side alone, byte for byte (${HTTP_CORPUS.length} requests)`, async () => {
    assert.ok(HTTP_CORPUS.length >= AT_LEAST);
    const before = await agent();
    const result = await scene.caller.exec(['node', '/tmp/smuggler.mjs', TARGET], { timeoutMs: 120_000 });
    assert.equal(result.code, 0, `${result.stderr}${result.stdout.slice(-2000)}\n${run.transcript}`);
    const all: Smuggled[] = JSON.parse(result.stdout);
    assert.ok(all.length > HTTP_CORPUS.length, 'few cases could be sent with the key');
    const wrong = all.flatMap((sent) => {
      const text = whatIsWrong(sent);
      return text === undefined ? [] : [`${sent.name}${sent.keyed ? ', keyed' : ''}: ${text}`];
    });
    assert.deepEqual(wrong, []);
    assert.deepEqual(await agent(), before);
    assert.match(JSON.stringify(before), /^\[\{"pod":"[^"]+","id":"[^"]+","restarts":0\}\]$/);
  });
});

/** What differs from what the route decided; undefined: nothing. */
function whatIsWrong({ keyed, requests, refused, sent, answers, end, app, laptop }: Smuggled): string | undefined {
  const shown = (bytes: string): string => JSON.stringify(bytes.slice(0, 300));
  if (app.who !== 'app' || laptop.who !== 'laptop') return `${app.who} and ${laptop.who} told what they got`;
  // In what has several requests only the first has the key.
  const bytes = { first: keyed ? laptop.bytes : app.bytes, other: keyed ? app.bytes : laptop.bytes };
  const read = keyed ? laptop.requests : app.requests;
  const received = bytes.first.replace(ADDED, '');
  if (requests <= 1 && bytes.other !== '') return `the other side got ${shown(bytes.other)}`;
  const parsed = app.requests.length + laptop.requests.length;
  // node:http, which stands for a server here, knows no methods in lower case.
  const isKnown = !/^[a-z]/.test(sent);
  if (isKnown && parsed !== requests)
    return `a server read ${parsed} requests, not ${requests}: ${JSON.stringify(read)}`;
  const statuses = answers.join();
  if (refused) {
    if (end === 'late' || end === 'left') return `the connection stayed open after ${statuses}`;
    if (end === 'ended' && ![400, 431].includes(answers.at(-1) ?? 0)) return `answered ${statuses}`;
    if (requests === 0 && received !== '') return `got ${shown(received)} of what was refused`;
    if (received.length >= sent.length) return `got all of what was refused: ${shown(received)}`;
    return undefined;
  }
  if (end !== 'left' && end !== 'ended') return `the connection was ${end} after ${statuses}`;
  if (answers.length !== requests || (isKnown && answers.some((status) => status >= 300)))
    return `answered ${statuses}`;
  const whole = sent.replace(/^\r\n/, '').replace('hello\r\nGET', 'helloGET'); // empty lines between requests
  if (requests === 1 && received !== whole) return `got ${shown(received)} of ${shown(whole)}`;
  if (requests > 1 && received.length + bytes.other.length !== whole.length)
    return `got ${shown(received + bytes.other)}`;
  return undefined;
}
