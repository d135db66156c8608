import { isRecord } from '../../src/is-record.ts';
import { askSession } from '../session/control-socket.ts';
import { describeLeft, leftCommands } from '../session/left-commands.ts';
import { isAlive, readSessionRecords, type SessionRecord } from '../session/state-files.ts';
import {
  CLAIM_KEPT_MS,
  type NetworkStatus,
  type PodStatus,
  type PortStatus,
  type SessionStatus,
} from '../session/status.ts';
import { describePort, plural } from '../ui/event-lines.ts';
import { formatAge } from '../ui/table.ts';
import { shownFilter } from './filter-text.ts';

export interface StatusOptions {
  readonly json?: boolean;
}

const ASK_TIMEOUT_MS = 2_000;
const MAX_QUOTED_CHARS = 120;
const WHO_ANSWERS = {
  laptop: 'this laptop answers',
  held: 'callers wait for the process',
  app: 'the app answers',
} as const;

/** `intercept status`: the user's sessions on this laptop, each as it answers itself. @returns the exit code */
export async function status(options: StatusOptions): Promise<number> {
  const records = await readSessionRecords();
  const sessions = await Promise.all(
    records.map(async (record) => {
      const alive = await isAlive(record);
      const answer = alive ? await askSession(record.socket, { method: 'status' }, ASK_TIMEOUT_MS) : undefined;
      return { record, alive, answer: isRecord(answer) ? (answer as unknown as SessionStatus) : undefined };
    }),
  );
  if (options.json === true) {
    const items = sessions.map(({ record, alive, answer }) => ({
      sessionId: record.sessionId,
      pid: record.pid,
      state: answer?.state ?? (alive ? 'not answering' : 'gone'),
      namespace: record.namespace,
      context: record.context,
      workload: workloadOf(record),
      service: record.service ?? null,
      ports: answer?.ports ?? record.ports,
      filter: record.filter ?? null,
      mirror: record.mirror,
      pods: (answer?.pods ?? []).map(rounded),
      network: answer?.network ?? null,
      startedAt: new Date(record.startedAtMs).toISOString(),
    }));
    process.stdout.write(`${JSON.stringify(items, null, 2)}\n`);
    return 0;
  }
  if (sessions.length === 0) process.stdout.write('no sessions on this laptop\n');
  for (const { record, alive, answer } of sessions) process.stdout.write(describeSession(record, alive, answer));
  for (const left of await leftCommands())
    process.stdout.write(`${describeLeft(left)} still runs; the next intercept, run or leave on this laptop ends it\n`);
  return 0;
}

function describeSession(record: SessionRecord, alive: boolean, answer: SessionStatus | undefined): string {
  const age = formatAge(Date.now() - record.startedAtMs);
  const name = `${workloadOf(record)} in ${record.namespace}`;
  if (!alive) return `${name}: the session (pid ${record.pid}) is gone; "intercept leave ${record.target}" restores\n`;
  if (answer === undefined) return `${name}: the session (pid ${record.pid}) does not answer\n`;
  const lines = [`${name}: ${answer.state}, pid ${record.pid}, for ${age}`];
  if (answer.filter !== undefined) lines.push(`  only what has ${shownFilter(answer.filter)}`);
  for (const port of answer.ports) lines.push(`  ${describePortStatus(port, answer)}`);
  for (const pod of answer.pods) lines.push(`  pod/${pod.pod}: ${describePodStatus(pod)}`);
  if (answer.network !== undefined) lines.push(`  ${describeNetwork(answer.network)}`);
  if (answer.waitingFor !== undefined) lines.push(`  waiting for ${shortened(answer.waitingFor)}`);
  return `${lines.join('\n')}\n`;
}

/** The way to a pod, in its line of `intercept status`. */
export function describePodStatus({ state, carrier, roundTripMs, forMs = 0, reason }: PodStatus): string {
  const trip = roundTripMs === undefined ? '' : `, round trip ${roundTripMs.toFixed(1)} ms`;
  if (state === 'connected') return `connected by ${carrier}${trip}`;
  const open = state === 'reconnecting' ? 'what is open waits' : 'what was open is cut';
  return `${state} for ${formatAge(forMs)} (${shortened(reason ?? 'the way was lost')}); ${open}`;
}

/** Errors of the API server quote others', some hundred characters long; --json has them whole. */
function shortened(text: string): string {
  const letters = [...text.replace(/\s+/g, ' ').trim()];
  return letters.length <= MAX_QUOTED_CHARS ? letters.join('') : `${letters.slice(0, MAX_QUOTED_CHARS - 1).join('')}…`;
}

/** Its line of `intercept status`. */
export function describePortStatus(
  port: PortStatus,
  { mirror, filter, fallback, pods }: Pick<SessionStatus, 'mirror' | 'filter' | 'fallback' | 'pods'>,
): string {
  const isAway = pods.length > 0 && pods.every(({ state }) => state !== 'connected');
  const nobodyAnswers = fallback === 'refuse' && pods.some(({ state, forMs = 0 }) => mayBeClaimed(state, forMs));
  const who =
    mirror === true
      ? port.listening && !isAway
        ? 'copies come here'
        : 'no copies'
      : whoAnswers(port, isAway, nobodyAnswers);
  const silent = port.listening ? '' : ', nothing listens';
  const noun = filter === undefined ? 'connection' : 'request';
  const taken = port.taken === undefined ? '' : `, ${plural(port.taken, noun)} so far`;
  const dropped = port.dropped ? `, ${plural(port.dropped, 'copy', 'copies')} dropped` : '';
  return `${describePort(port)}: ${who}${silent}, ${port.openConnections} open${taken}${dropped}`;
}

/** A tunnel that waits is in time for its claim; behind one that is over the agent keeps it for a moment. */
function mayBeClaimed(state: PodStatus['state'], forMs: number): boolean {
  return state !== 'disconnected' || forMs < CLAIM_KEPT_MS;
}

function whoAnswers({ routedTo }: PortStatus, isAway: boolean, nobodyAnswers: boolean): string {
  if (!isAway || routedTo === 'app') return WHO_ANSWERS[routedTo];
  return `${nobodyAnswers ? 'nobody answers' : 'the app answers'} until a pod is back in reach`;
}

function describeNetwork({ mode, reason, proxy, system }: NetworkStatus): string {
  const at = proxy === undefined ? '' : ` at ${proxy}`;
  const where = system === undefined ? at : `: ${system}`;
  const why = reason === undefined ? '' : ` (${reason})`;
  return mode === 'none' ? `not inside the cluster${why}` : `inside the cluster by ${mode}${where}${why}`;
}

/** For people and scripts two decimals of a millisecond are plenty. */
function rounded(pod: PodStatus): PodStatus {
  const { roundTripMs } = pod;
  return roundTripMs === undefined ? pod : { ...pod, roundTripMs: Math.round(roundTripMs * 100) / 100 };
}

function workloadOf(record: SessionRecord): string {
  return `${record.workloadKind.toLowerCase()}/${record.workloadName}`;
}
