// What the lines of a load mean: pure functions.
import type { CallerLine } from '../support/programs/fault-lines.ts';
import { SLOW_MS } from './load.ts';

type RequestLine = Extract<CallerLine, { line: 'request' }>;

export interface Figures {
  readonly requests: number;
  readonly failedRequests: number;
  readonly lostWebSockets: number;
  readonly failedTransfers: number;
  readonly wrongBytes: number;
  /** ms from the injection to the first good answer after which all are good and take less than a second; 0: none was not. */
  readonly recoveryMs: number | undefined;
  /** ms from the injection to the first answer of the app; undefined: none came. */
  readonly appAfterMs: number | undefined;
  /** ms from the injection to the first answer by whom it is to be, after which all are by them. */
  readonly settledMs: number | undefined;
  readonly slowestMs: number;
  /** Answers since the injection, by who gave them. */
  readonly by: Readonly<Record<string, number>>;
  /** Why requests, WebSockets and transfers failed, and how often. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** When things happened, in ms since the epoch. */
export interface FaultTimes {
  readonly injectedAtMs: number;
  /** The last injection of several, from which recovery counts. */
  readonly lastAtMs: number;
  /** When the fault was over, from which it counts until the right one answers: SIGCONT, the daemon started again. */
  readonly healedAtMs: number;
}

/** @param settledBy who answers in the end; undefined: anyone may */
export function figuresOf(lines: readonly CallerLine[], times: FaultTimes, settledBy: string | undefined): Figures {
  const { injectedAtMs, lastAtMs, healedAtMs } = times;
  const requests = lines.filter((line) => line.line === 'request').sort((a, b) => a.sentAtMs - b.sentAtMs);
  // Those that were under way felt it, too.
  const since = requests.filter((line) => endOf(line) >= injectedAtMs);
  const failed = since.filter(({ by }) => by === 'failed');
  const lost = lines.filter(
    (line) => line.line === 'lost' && line.atMs >= injectedAtMs && !line.detail.startsWith('not opened'),
  );
  const transfers = lines.filter((line) => line.line === 'transfer' && line.by === 'failed');
  const byApp = since.filter(({ by }) => by === 'app').map(endOf);
  const wrong = lines.filter((line) => line.line === 'wrong');
  const all = lines.filter((line) => 'detail' in line && line.detail !== undefined);
  return {
    requests: since.length,
    failedRequests: failed.length,
    lostWebSockets: lost.length,
    failedTransfers: transfers.length,
    wrongBytes: wrong.reduce((sum, line) => sum + line.bytes, 0),
    recoveryMs: firstOfGoodMs(since, lastAtMs, ({ by, tookMs }) => by !== 'failed' && tookMs <= SLOW_MS),
    appAfterMs: byApp.length === 0 ? undefined : Math.max(0, Math.min(...byApp) - injectedAtMs),
    settledMs: firstOfGoodMs(
      since.filter(({ kind }) => kind !== 'kept'), // such a connection stays with who answers it
      healedAtMs,
      ({ by }) => by === (settledBy ?? by) && by !== 'failed',
    ),
    slowestMs: since.reduce((most, { tookMs }) => Math.max(most, tookMs), 0),
    by: countBy(since.map(({ by }) => by)),
    reasons: countBy(all.map((line) => ('detail' in line ? `${line.line}: ${line.detail}` : ''))),
  };
}

function endOf({ sentAtMs, tookMs }: RequestLine): number {
  return sentAtMs + tookMs;
}

/** @returns ms from `fromMs` to the end of the first request behind the last that is not good */
function firstOfGoodMs(
  requests: readonly RequestLine[],
  fromMs: number,
  isGood: (request: RequestLine) => boolean,
): number | undefined {
  const lastBad = requests.findLastIndex((request) => !isGood(request) && endOf(request) >= fromMs);
  if (lastBad < 0) return 0;
  const first = requests.slice(lastBad + 1).find(isGood) ?? requests[lastBad];
  return first === undefined ? undefined : Math.max(0, endOf(first) - fromMs);
}

function countBy(values: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
