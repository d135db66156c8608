import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { endRuns, type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { type Laptop, startLaptop } from '../support/laptop.ts';
import { callMixed, type MixedKind, MixedLoad, type MixedReport } from '../support/mixed-load.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();

const REQUESTS = 3_000;
const START_MS = 120_000;
const OBJECTS = ['deployment/web', 'service/web'];
/** Longer than the node needs to tell kube-proxy under load (zero-loss.test.ts). */
const DRAIN_MS = 3_000;

/** Every way to send a key, and who is to answer; a key that nobody has, and none, go to the app. */
const KINDS: Readonly<Record<string, MixedKind & { readonly who: string }>> = {
  'a in baggage': { who: 'a', fields: { baggage: 'trace=1;x=2, intercept=a;ttl=1' } },
  'a in tracestate': { who: 'a', fields: { tracestate: 'vendor=0,intercept=a' } },
  'a in a cookie': { who: 'a', fields: { Cookie: 'theme=dark; intercept=a' } },
  'b in baggage': { who: 'b', fields: { Baggage: 'intercept=b' } },
  'b in a cookie': { who: 'b', fields: { cookie: 'intercept=b; theme=dark' } },
  'c with its header': { who: 'c', fields: { baggage: 'intercept=c', 'X-Team': 'red' }, path: '/?a&team=' },
  'c without its header': { who: 'app', fields: { baggage: 'intercept=c' }, path: '/?team=' },
  'c with another header': { who: 'app', fields: { baggage: 'intercept=c', 'X-Team': 'redder' }, path: '/?team=' },
  'c without its query': { who: 'app', fields: { baggage: 'intercept=c', 'X-Team': 'red' }, path: '/team=' },
  'c for another host': {
    who: 'app',
    fields: { baggage: 'intercept=c', 'X-Team': 'red', Host: 'api' },
    path: '/?team=',
  },
  'the header alone': { who: 'app', fields: { 'x-team': 'red' } },
  'nobody in baggage': { who: 'app', fields: { baggage: 'intercept=ab, other=a' } },
  unkeyed: { who: 'app', fields: {} },
};
const FILTERS: Readonly<Record<string, readonly string[]>> = {
  a: ['--personal', 'a'],
  b: ['--personal', 'b'],
  c: ['--personal', 'c', '--header', 'x-team: red', '--query', 'team', '--host', 'web'],
};

/** Each kind was answered by whom it is meant for, now that those of `gone` are; and none failed. */
function assertAnswered(report: MixedReport, shown: string, gone: readonly string[] = []): void {
  assert.deepEqual(report.failures, [], shown);
  for (const [name, { who }] of Object.entries(KINDS)) {
    const counts = report.by[name] ?? {};
    assert.deepEqual(
      Object.keys(counts),
      [gone.includes(who) ? 'app' : who],
      `${name}: ${JSON.stringify(counts)}\n${shown}`,
    );
  }
}

describe.skipIf(cluster === undefined)('three developers with three keys on one Service of three replicas', () => {
  let scene: Scene;
  let before: unknown[];
  const laptops: Laptop[] = [];
  const runs = new Map<string, InterceptRun>();
  const transcripts = (): string => [...runs].map(([who, run]) => `-- ${who}\n${run.transcript}`).join('\n');

  async function start(laptop: Laptop, who: string): Promise<void> {
    const env = ['--env', `WHO=${who}`, '--env', 'PORT=3000', '--env', 'DRAIN_MS=500'];
    const args = ['web', '--port', '3000', ...(FILTERS[who] ?? []), ...env, '--', 'node', '-e', APP_CODE];
    const run = await startIntercept(laptop, args, { namespace: scene.namespace });
    runs.set(who, run);
    await run.until('ready', START_MS);
  }

  async function leave(who: string): Promise<void> {
    const run = runs.get(who);
    assert.equal(await run?.interrupt(), 0, run?.transcript);
  }

  beforeAll(async () => {
    if (cluster === undefined) return;
    const [opened, ...colleagues] = await Promise.all([
      Scene.open(cluster, 'sharing'),
      startLaptop(cluster, { user: 'games' }),
      startLaptop(cluster, { user: 'news' }),
    ]);
    scene = opened;
    laptops.push(scene.laptop, ...colleagues);
    await scene.deploy({ name: 'web', replicas: 3, env: [{ name: 'DRAIN_MS', value: String(DRAIN_MS) }] });
    before = await scene.snapshot(...OBJECTS);
    const [first, ...others] = Object.keys(FILTERS).map((who, index) => [laptops[index], who] as const);
    for (const [laptop, who] of first === undefined ? [] : [first, ...others]) {
      assert.ok(laptop !== undefined);
      await start(laptop, who);
    }
  });
  afterAll(async () => {
    await endRuns(runs.values());
    await Promise.all(laptops.slice(1).map((laptop) => laptop.dispose()));
    await scene?.[Symbol.asyncDispose]();
  });

  test('3,000 mixed requests on fresh and kept connections: each is answered by its own, none fails', async () => {
    const report = await callMixed(scene.caller, 'http://web/', KINDS, REQUESTS);
    console.log(`${report.requests} requests, ${report.kept} on kept connections, by ${JSON.stringify(report.by)}`);
    const shown = `${JSON.stringify(report)}\n${transcripts()}`;
    assert.equal(report.requests, REQUESTS);
    assert.ok(report.kept > REQUESTS / 3, shown);
    assertAnswered(report, shown);
    assert.equal(report.hosts.filter((host) => host.startsWith('web-')).length, 3, shown); // every replica routes
  });

  test('one leaves and nothing changes for the others; with the last the agent goes and the objects are as before', async () => {
    const load = await MixedLoad.start(scene.caller, 'http://web/', KINDS);
    let report: MixedReport;
    let afterFirst: MixedReport;
    try {
      await load.begun();
      await leave('c');
      afterFirst = await callMixed(scene.caller, 'http://web/', KINDS, 300);
      await leave('a');
    } finally {
      report = await load.stop();
    }
    assertAnswered(afterFirst, transcripts(), ['c']);
    const shown = `${JSON.stringify(report)}\n${transcripts()}`;
    assert.deepEqual(report.failures, [], shown);
    for (const [name, { who }] of Object.entries(KINDS)) {
      const answered = Object.keys(report.by[name] ?? {}).sort();
      assert.deepEqual(
        answered,
        who === 'c' || who === 'a' ? [...new Set([who, 'app'])].sort() : [who],
        `${name}\n${shown}`,
      );
    }
    for (const { event } of runs.get('b')?.events ?? []) assert.notEqual(event, 'disconnected', transcripts());
    assertAnswered(await callMixed(scene.caller, 'http://web/', KINDS, 300), transcripts(), ['a', 'c']);
    assert.match(await scene.leftovers(), /kube-intercept-web/); // b uses it

    const last = await MixedLoad.start(scene.caller, 'http://web/', KINDS);
    try {
      await last.begun();
      await leave('b');
    } finally {
      report = await last.stop();
    }
    assert.deepEqual(report.failures, [], `${JSON.stringify(report)}\n${transcripts()}`);
    assertAnswered(await callMixed(scene.caller, 'http://web/', KINDS, 300), transcripts(), ['a', 'b', 'c']);
    assert.deepEqual(await scene.snapshot(...OBJECTS), before, transcripts());
    assert.equal(await scene.leftovers(), '');
    const hasAgent = async (): Promise<boolean> =>
      JSON.stringify(await scene.namespace.livePods()).includes('kube-intercept-agent');
    await waitFor(async () => ((await hasAgent()) ? undefined : true), {
      timeoutMs: 30_000,
      onTimeout: () => new Error('a pod with an agent stays'),
    });
  });
});
