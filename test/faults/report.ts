// The matrix as a table: on the terminal, and in test-results/ as Markdown and JSON.
import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { CellResult } from './cell.ts';

const FOLDER = 'test-results';
const HEADS = [
  'fault',
  'load',
  'asked',
  'failed',
  'recovery',
  'app after',
  'settled',
  'slowest',
  'wrong',
  'left',
  'met',
];

/** What was measured where. */
export function describeRun(seed: number, mode: string): string {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  const [cpu] = cpus();
  return `commit ${commit}, Node ${process.version}, ${cpus().length} × ${cpu?.model.trim() ?? 'unknown CPU'}, seed ${seed}, ${mode}`;
}

/** A row of the table, as texts. */
export function rowOf({ fault, load, figures, leftovers, missed }: CellResult): string[] {
  const met = missed.length === 0 ? 'yes' : 'NO';
  if (figures === undefined) return [fault, load, ...Array(7).fill('-'), '-', met];
  const { requests, recoveryMs, appAfterMs, settledMs, slowestMs, wrongBytes } = figures;
  const times = [recoveryMs, appAfterMs, settledMs, slowestMs].map((ms) => (ms === undefined ? '-' : `${ms} ms`));
  return [fault, load, `${requests}`, failedText(figures), ...times, `${wrongBytes}`, `${leftovers.length}`, met];
}

/** The table in columns of equal width, which is Markdown as well. */
export function tableOf(results: readonly CellResult[]): string {
  const rows = [HEADS, ...results.map(rowOf)];
  const widths = HEADS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => `| ${row.map((text, column) => text.padEnd(widths[column] ?? 0)).join(' | ')} |`);
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  return lines.join('\n');
}

/** What the table has no room for: why requests failed, what is left, what was missed. */
export function notesOf(results: readonly CellResult[]): string {
  const texts = results.map(({ fault, load, figures, leftovers, notes, missed, seconds }) => {
    const reasons = Object.entries(figures?.reasons ?? {}).map(([reason, count]) => `${count} × ${reason}`);
    const by = Object.entries(figures?.by ?? {}).map(([who, count]) => `${who} ${count}`);
    const parts = [
      ...missed.map((text) => `MISSED ${text}`),
      `answered: ${by.join(', ')}`,
      ...notes,
      ...reasons,
      ...leftovers,
    ];
    return `- ${fault} × ${load} (${seconds} s): ${parts.join('; ')}`;
  });
  return texts.join('\n');
}

/** Writes what was measured so far: a run that is ended early has its results. */
export async function writeResults(about: string, results: readonly CellResult[]): Promise<string> {
  await mkdir(FOLDER, { recursive: true });
  const file = join(FOLDER, 'faults.md');
  await writeFile(file, `${about}\n\n${tableOf(results)}\n\n${notesOf(results)}\n`);
  await writeFile(join(FOLDER, 'faults.json'), `${JSON.stringify({ about, results }, null, 2)}\n`);
  return file;
}

function failedText(figures: NonNullable<CellResult['figures']>): string {
  const { failedRequests, lostWebSockets, failedTransfers } = figures;
  const parts = [
    ...(lostWebSockets > 0 ? [`${lostWebSockets} WebSockets`] : []),
    ...(failedTransfers > 0 ? [`${failedTransfers} transfers`] : []),
  ];
  return [`${failedRequests}`, ...parts].join(' + ');
}
