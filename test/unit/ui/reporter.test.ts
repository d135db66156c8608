import assert from 'node:assert/strict';
import { onTestFinished, test, vi } from 'vitest';
import type { Background } from '../../../cli/ui/event-lines.ts';
import { clearPassingLine } from '../../../cli/ui/passing-line.ts';
import { createReporter, reporterForm } from '../../../cli/ui/reporter.ts';
import { formatAge, formatTable } from '../../../cli/ui/table.ts';

type Options = Parameters<typeof createReporter>[0];

function collect(
  form: Options['form'],
  extra: { background?: Background; columns?: number } = {},
): { report: ReturnType<typeof createReporter>; text: () => string; out: { columns?: number | undefined } } {
  let text = '';
  const out: Options['out'] & { columns?: number | undefined } = {
    columns: extra.columns,
    write: (chunk) => {
      text += chunk;
    },
  };
  const background = extra.background === undefined ? {} : { background: extra.background };
  return { report: createReporter({ form, out, colour: false, ...background }), text: () => text, out };
}

const PORTS = [
  {
    local: '127.0.0.1:3000',
    service: 'web',
    servicePort: 80,
    servicePortName: undefined,
    appPort: 8080,
    protocol: 'tcp',
  },
] as const;
const READY = {
  event: 'ready',
  namespace: 'shop',
  workload: 'deployment/web',
  service: 'web',
  ports: PORTS,
  pods: 2,
  elapsedMs: 6321,
} as const;
const ERASE = '\r\x1b[2K';

test('JSON lines hold each event as it is', () => {
  const { report, text } = collect('json');
  report({ event: 'rollout', ready: 1, wanted: 2 });
  assert.equal(text(), '{"event":"rollout","ready":1,"wanted":2}\n');
});

test('a plain line is never overwritten and never repeated', () => {
  const { report, text } = collect('plain');
  report({ event: 'rollout', ready: 1, wanted: 2 });
  report({ event: 'rollout', ready: 1, wanted: 2 });
  report({ event: 'rollout', ready: 2, wanted: 2 });
  assert.equal(text(), '… rolling out 1/2\n✓ rolled out 2/2\n');
});

test('on a terminal what passes is overwritten by what follows', () => {
  const { report, text } = collect('terminal');
  report({ event: 'rollout', ready: 1, wanted: 2 });
  report({ event: 'rollout', ready: 2, wanted: 2 });
  assert.equal(text(), '… rolling out 1/2\r\x1b[2K✓ rolled out 2/2\n');
});

test('a passing line longer than the terminal is cut to one row, whatever its width is by then', () => {
  const { report, text, out } = collect('terminal', { columns: 20 });
  report({ event: 'waiting', for: 'a pod that\npulls its image\x1b[31m' });
  assert.equal(text(), '… waiting for a po…');
  out.columns = 30;
  report({ event: 'waiting', for: 'another pod that pulls' });
  assert.equal(text(), `… waiting for a po…${ERASE}… waiting for another pod th…`);
  assert.equal([...'… waiting for another pod th…'].length, 29);
});

test('a passing line that a narrower terminal has wrapped is left whole', () => {
  const { report, text, out } = collect('terminal', { columns: 60 });
  report({ event: 'waiting', for: 'a pod that pulls its image' });
  out.columns = 20;
  report({ event: 'recovered', workload: 'deployment/web', namespace: 'shop' });
  assert.match(text(), /^… waiting for a pod that pulls its image\n✓ restored /);
});

test('a terminal that tells no width has 80 columns', () => {
  const { report, text } = collect('terminal', { columns: 0 });
  report({ event: 'waiting', for: 'x'.repeat(100) });
  assert.equal([...text()].length, 79);
  clearPassingLine();
});

test('what writes to the terminal by itself clears the passing line once', () => {
  const { report, text } = collect('terminal');
  report({ event: 'rollout', ready: 1, wanted: 2 });
  clearPassingLine();
  clearPassingLine();
  report({ event: 'rollout', ready: 2, wanted: 2 });
  assert.equal(text(), `… rolling out 1/2${ERASE}✓ rolled out 2/2\n`);
});

test('once the command runs only whole lines are written, and what passes only where it takes long', () => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const { report, text } = collect('terminal');
  report({ event: 'rollout', ready: 0, wanted: 2 });
  report({ event: 'command-started', pid: 7 });
  const before = `… rolling out 0/2${ERASE}✓ command started (pid 7)\n`;
  report({ event: 'rollout', ready: 1, wanted: 2 });
  vi.advanceTimersByTime(2_000);
  report({ event: 'rollout', ready: 1, wanted: 2, waitingFor: 'pod/web-2: Pulling' });
  assert.equal(text(), before);
  vi.advanceTimersByTime(1_000);
  const pulling = '… rolling out 1/2: pod/web-2: Pulling\n';
  assert.equal(text(), before + pulling);
  report({ event: 'rollout', ready: 1, wanted: 2 });
  report({ event: 'rollout', ready: 1, wanted: 2, waitingFor: 'pod/web-2: Pulling' });
  vi.advanceTimersByTime(10_000);
  assert.equal(text(), before + pulling);
  report({ event: 'waiting', for: 'the command to listen on 127.0.0.1:3000' });
  vi.advanceTimersByTime(2_000);
  report({ event: 'listening', address: '127.0.0.1:3000' });
  vi.advanceTimersByTime(10_000);
  assert.equal(text(), `${before}${pulling}✓ process listens on 127.0.0.1:3000\n`);
});

test('a wait that may be long is told at once in a line of its own, also beside the output of a command', () => {
  const { report, text } = collect('terminal');
  report({ event: 'command-started', pid: 7 });
  report({ event: 'waiting', for: "the app's pods to end: web-1 (grace period 30 s)", seconds: 30 });
  report({ event: 'listening', address: '127.0.0.1:3000' });
  assert.equal(
    text(),
    "✓ command started (pid 7)\n… waiting for the app's pods to end: web-1 (grace period 30 s)\n" +
      '✓ process listens on 127.0.0.1:3000\n',
  );
});

test('why a session ends stays to be read, unless it was Ctrl-C', () => {
  const { report, text } = collect('terminal');
  report({ event: 'leaving', reason: 'the command exited with code 7' });
  report({ event: 'restored', workload: 'deployment/web' });
  assert.equal(text(), '… leaving: the command exited with code 7\n✓ restored deployment/web\n');
  const typed = collect('terminal');
  typed.report({ event: 'leaving', reason: 'Ctrl-C' });
  typed.report({ event: 'restored', workload: 'deployment/web' });
  assert.equal(typed.text(), `… leaving: Ctrl-C${ERASE}✓ restored deployment/web\n`);
});

test('the ready line says how to end the session: here, or in the background', () => {
  const here = collect('plain');
  here.report(READY);
  assert.equal(here.text(), '✓ ready in 6.3 s: service/web :80 → 127.0.0.1:3000 (Ctrl-C ends it)\n');
  const there = collect('plain', { background: { pid: 41, target: 'deploy/web' } });
  there.report(READY);
  assert.match(there.text(), /\(in the background \(pid 41\); intercept leave deploy\/web ends it\)\n$/);
  const waits = collect('plain', { background: { pid: 41, target: 'web' } });
  waits.report({ event: 'not-listening', address: '127.0.0.1:3000', answers: 'app' });
  assert.equal(
    waits.text(),
    '✓ in the background (pid 41): the app answers until something listens on 127.0.0.1:3000; intercept leave web ends it\n',
  );
});

test('a process that is away is told at once, and for how long callers wait', () => {
  const { report, text } = collect('terminal');
  report({ event: 'command-started', pid: 7 });
  report({ event: 'held', address: '127.0.0.1:3000', seconds: 10 });
  report({ event: 'listening', address: '127.0.0.1:3000' });
  assert.equal(
    text(),
    '✓ command started (pid 7)\n! nothing listens on 127.0.0.1:3000: callers wait up to 10 s\n✓ process listens on 127.0.0.1:3000\n',
  );
});

test('of a restore that had begun nobody is said to be gone', () => {
  const { report, text } = collect('plain');
  report({ event: 'recovered', workload: 'deployment/web', namespace: 'shop', unfinished: true });
  assert.equal(text(), '✓ restored deployment/web, which somebody had begun to restore\n');
});

test('who answers while nothing listens is said as it is at that time', () => {
  const address = '127.0.0.1:3000';
  const { report, text } = collect('plain');
  const found = {
    event: 'found',
    namespace: 'shop',
    workload: 'deployment/web',
    service: 'web',
    ports: PORTS,
    pods: 1,
  } as const;
  report({ ...found, fallback: 'refuse' });
  report({ event: 'not-listening', address, answers: 'app' });
  report({ event: 'not-listening', address, answers: 'nobody' });
  assert.deepEqual(text().trimEnd().split('\n').slice(1), [
    '! nothing listens on 127.0.0.1:3000: the app answers until something does',
    '! nothing listens on 127.0.0.1:3000: nobody answers until something does',
  ]);
  const copies = collect('plain');
  copies.report({ ...found, mirror: true });
  copies.report({ event: 'not-listening', address, answers: 'app' });
  assert.match(copies.text(), /nothing listens on 127\.0\.0\.1:3000: no copies come until something does\n$/);
});

test('a pod that is connected once the session is ready is named', () => {
  const { report, text } = collect('plain');
  report({ event: 'connected', pod: 'web-1', connected: 1, wanted: 1, carrier: 'proxy' });
  report(READY);
  report({ event: 'connected', pod: 'web-2', connected: 2, wanted: 2, carrier: 'proxy' });
  assert.match(text(), /^✓ connected 1\/1 \(proxy\)\n.*\n✓ connected to pod\/web-2: 2\/2 \(proxy\)\n$/);
});

test('an agent that stays by --keep-agent can be removed with the command that is shown', () => {
  const { report, text } = collect('plain');
  report({ event: 'agent-kept', namespace: 'shop', workload: 'deployment/web', reason: '--keep-agent' });
  assert.match(text(), /; the app answers; intercept leave deployment\/web -n shop removes it\n$/);
});

test('of an agent that somebody else uses nobody says who answers', () => {
  const { report, text } = collect('plain');
  report({ event: 'agent-kept', namespace: 'shop', workload: 'deployment/web', reason: 'ann@laptop uses it' });
  assert.equal(text(), '✓ agent stays in deployment/web (ann@laptop uses it)\n');
});

test('a session without traffic is only called inside when a way in is open', () => {
  const ready = { ...READY, service: undefined, ports: [], workload: 'pod/dev' };
  const said = (files: boolean, mode?: 'none' | 'namespace'): string => {
    const { report, text } = collect('plain');
    if (mode !== undefined) report({ event: 'network', mode });
    report({ ...ready, files });
    return text().split('\n').at(-2) ?? '';
  };
  assert.match(said(true, 'namespace'), /: inside as pod\/dev \(Ctrl-C ends it\)$/);
  assert.match(said(true), /: on the laptop's own network, with the environment and files of pod\/dev \(/);
  assert.match(said(false, 'none'), /: on the laptop's own network, with the environment of pod\/dev \(/);
});

test('what a session that is leaving waits for is a whole line at once', () => {
  const { report, text } = collect('terminal');
  report({ event: 'command-started', pid: 7 });
  report({ event: 'leaving', reason: 'Ctrl-C' });
  report({ event: 'waiting', for: 'the command (pid 7) to end' });
  assert.match(text(), /… waiting for the command \(pid 7\) to end\n$/);
});

test('the form follows --json and the terminal', () => {
  assert.equal(reporterForm(true, { isTTY: true }), 'json');
  assert.equal(reporterForm(false, { isTTY: true }), 'terminal');
  assert.equal(reporterForm(false, {}), 'plain');
});

test('a table pads its columns and leaves no space at the line’s end', () => {
  assert.equal(formatTable(['a', 'bb'], [['xxx', 'y']]), 'A    BB\nxxx  y\n');
});

test('ages show their largest unit', () => {
  assert.deepEqual([5e3, 180e3, 3 * 3600e3, 5 * 86_400e3, -1].map(formatAge), ['5s', '3m', '3h', '5d', '0s']);
});

test('who answers at a pod to which there is no way is told as it is', () => {
  const FOUND = { event: 'found', namespace: 'shop', workload: 'deployment/web', pods: 2, service: 'web' } as const;
  const lost = (extra: { fallback?: 'refuse'; mirror?: boolean }, listened: boolean): string => {
    const { report, text } = collect('plain');
    report({ ...FOUND, ports: PORTS, ...extra });
    if (listened) report({ event: 'listening', address: '127.0.0.1:3000' });
    report({ event: 'reconnecting', pod: 'web-1', reason: 'cut' });
    report({ event: 'disconnected', pod: 'web-1', reason: 'cut' });
    return text();
  };
  assert.match(lost({}, true), /\(new callers have the app\)[\s\S]*the app answers there, dialling/);
  assert.match(
    lost({ fallback: 'refuse' }, true),
    /\(nobody answers new callers\)[\s\S]*nobody answers there for up to 30 s, then the app, dialling/,
  );
  assert.match(lost({ fallback: 'refuse' }, false), /\(new callers have the app\)/); // until it has listened once
  assert.match(lost({ mirror: true }, true), /\(no copies come from there\)[\s\S]*no copies come from there, dialling/);
});
