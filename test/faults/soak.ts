// Hours in minutes: mixed load with a cut every 20 s, and attach and leave over and over. What grows is told by its slope.
import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type InterceptRun, runIntercept } from '../support/intercept-run.ts';
import { laptopState } from '../support/laptop-state.ts';
import { residentBytes } from '../support/processes.ts';
import type { CallerLine } from '../support/programs/fault-lines.ts';
import type { Scene } from '../support/scene.ts';
import { startSession } from './cell.ts';
import { figuresOf } from './figures.ts';
import { clusterLeftovers, laptopLeftovers, objectsOf } from './leftovers.ts';
import { Load } from './load.ts';
import { agentProcesses } from './node.ts';
import type { FaultOptions } from './options.ts';
import { type Place, type Setting, WORKLOAD } from './setting.ts';

const MIB = 1024 * 1024;
const CUT_EVERY_MS = 20_000;
const SAMPLE_EVERY_MS = 10_000;
/** What a process has loaded and compiled by then is none of the matter. */
const WARM_UP_SHARE = 0.2;
const MIXED = { requestsPerSecond: 100, webSockets: 20, transferBytes: 64 * MIB, transferBytesPerSecond: 8 * MIB };
/** A cut is to be over sooner. */
const UNUSUAL_MS = 5_000;
const MARK = 'FAULTS_MARK=soak';
const READY_MS = 120_000;
const CYCLES_OF_ONE_AGENT = 10;

interface Sample {
  readonly atMs: number;
  readonly what: string;
  readonly rssMib: number;
  readonly fds: number;
}

/** Runs what the options ask for. @returns whether no byte was wrong and nothing was left */
export async function runSoak(setting: Setting, options: FaultOptions): Promise<boolean> {
  const place = await setting.place();
  const { scene } = place;
  await scene.laptop.kubeconfig(scene.namespace);
  const [objects, laptop] = [await objectsOf(scene), await laptopState(scene.laptop, MARK)];
  const isLoadMet = options.soakMinutes > 0 ? await soakUnderLoad(setting, place, options.soakMinutes) : true;
  const areCyclesMet = options.cycles > 0 ? await runCycles(place, options.cycles) : true;
  const left = [...(await clusterLeftovers(scene, objects)), ...(await laptopLeftovers(scene, MARK, laptop))];
  console.log(left.length === 0 ? 'objects and laptop are as they were' : `left:\n${left.join('\n')}`);
  return isLoadMet && areCyclesMet && left.length === 0;
}

async function soakUnderLoad(setting: Setting, place: Place, minutes: number): Promise<boolean> {
  const run = await startSession(place, { mark: 'soak' });
  const durationMs = minutes * 60_000;
  const samples: Sample[] = [];
  await run.until('ready', READY_MS);
  const load = await Load.start(setting.caller, place.url, 'mixed', MIXED, { maxMs: durationMs + 600_000 });
  await load.begun('laptop');
  const injectedAtMs = Date.now();
  const cuts: number[] = [];
  for (let nextCutMs = CUT_EVERY_MS; Date.now() < injectedAtMs + durationMs; ) {
    await sleep(SAMPLE_EVERY_MS);
    samples.push(...(await sample(place.scene, run)));
    await load.read();
    if (Date.now() - injectedAtMs < nextCutMs) continue;
    nextCutMs += CUT_EVERY_MS;
    cuts.push(Date.now());
    place.scene.laptop.relay.cut();
  }
  const times = { injectedAtMs, lastAtMs: Date.now(), healedAtMs: Date.now() };
  const lines = await load.stop();
  const figures = figuresOf(lines, times, 'laptop');
  const exitCode = await run.interrupt();
  console.log(JSON.stringify({ minutes, exitCode, ...figures }, null, 2));
  printUnusual(lines, cuts);
  printSlopes(samples);
  return figures.wrongBytes === 0 && exitCode === 0;
}

/** Every request that failed or took long, and when that was seen from the last cut before. */
function printUnusual(lines: readonly CallerLine[], cuts: readonly number[]): void {
  const requests = lines.filter((line) => line.line === 'request');
  for (const { kind, sentAtMs, tookMs, by, detail } of requests) {
    if (by !== 'failed' && tookMs < UNUSUAL_MS) continue;
    const cutAtMs = cuts.findLast((atMs) => atMs <= sentAtMs);
    const since = cutAtMs === undefined ? 'before any cut' : `${sentAtMs - cutAtMs} ms after a cut`;
    console.log(`${new Date(sentAtMs).toISOString()} ${kind}, ${since}: ${by} after ${tookMs} ms ${detail ?? ''}`);
  }
}

/** Attaches and leaves again; the agent stays for the next, until every tenth time it is taken out. */
async function runCycles(place: Place, cycles: number): Promise<boolean> {
  const samples: Sample[] = [];
  const startedAtMs = Date.now();
  let wrong = 0;
  for (let cycle = 1; cycle <= cycles; cycle++) {
    const run = await startSession(place, { mark: 'soak', args: ['--keep-agent'] });
    await run.until('ready', READY_MS);
    const { by, failures } = await place.scene.call(WORKLOAD, 5);
    const measured = await sample(place.scene, run);
    // An agent lives for ten cycles: of several with the same age the slope is one of their life.
    samples.push(...measured);
    let exitCode = await run.interrupt();
    if (cycle % CYCLES_OF_ONE_AGENT === 0 || cycle === cycles) exitCode ||= await takeOut(place);
    if (exitCode === 0 && by.laptop === 5 && failures.length === 0) continue;
    wrong++;
    console.log(`cycle ${cycle}: exit code ${exitCode}, ${JSON.stringify({ by, failures })}\n${run.transcript}`);
  }
  const seconds = Math.round((Date.now() - startedAtMs) / 1000);
  console.log(`${cycles} cycles in ${seconds} s, ${wrong} of them not as they should be`);
  printSlopes(samples);
  return wrong === 0;
}

/** @returns the exit code of `intercept leave` */
async function takeOut({ scene }: Place): Promise<number | null> {
  const { code } = await runIntercept(scene.laptop, ['leave', WORKLOAD], { namespace: scene.namespace });
  return code;
}

async function sample(scene: Scene, run: InterceptRun): Promise<Sample[]> {
  const atMs = Date.now();
  const agents = scene.cluster.own ? await agentProcesses(scene, WORKLOAD) : [];
  const processes = [
    { what: 'session', pid: run.child.pid ?? 0 },
    ...agents.map(({ pod, pid }) => ({ what: pod, pid })),
  ];
  return await Promise.all(
    processes.map(async ({ what, pid }) => {
      const fds = await readdir(`/proc/${pid}/fd`).catch(() => []); // it has just ended
      return { atMs, what, rssMib: (await residentBytes(pid)) / MIB, fds: fds.length };
    }),
  );
}

/** First and last values, and what a straight line through those behind the warm-up says. */
function printSlopes(samples: readonly Sample[]): void {
  for (const what of new Set(samples.map((one) => one.what))) {
    const all = samples.filter((one) => one.what === what && one.rssMib > 0);
    const rest = all.slice(Math.floor(all.length * WARM_UP_SHARE));
    const [first, last] = [rest[0], rest.at(-1)];
    if (first === undefined || last === undefined) continue;
    const rss = slopePerHour(rest.map(({ atMs, rssMib }) => [atMs, rssMib]));
    const fds = slopePerHour(rest.map(({ atMs, fds: count }) => [atMs, count]));
    const most = Math.max(...all.map(({ rssMib }) => rssMib));
    console.log(
      `${what}: ${all.length} samples; RSS ${first.rssMib.toFixed(1)} → ${last.rssMib.toFixed(1)} MiB (most ${most.toFixed(1)}), ` +
        `${rss.toFixed(1)} MiB/h; fds ${first.fds} → ${last.fds}, ${fds.toFixed(1)}/h`,
    );
  }
}

/** The slope of the straight line that fits best (least squares). */
export function slopePerHour(points: readonly (readonly [atMs: number, value: number])[]): number {
  const meanAt = mean(points.map(([atMs]) => atMs));
  const meanValue = mean(points.map(([, value]) => value));
  const above = points.reduce((sum, [atMs, value]) => sum + (atMs - meanAt) * (value - meanValue), 0);
  const below = points.reduce((sum, [atMs]) => sum + (atMs - meanAt) ** 2, 0);
  return below === 0 ? 0 : (above / below) * 3_600_000;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
