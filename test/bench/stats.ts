/** The p-th percentile (0 to 100) of a sample, by the nearest rank; NaN for none. */
export function percentile(sample: readonly number[], p: number): number {
  const sorted = [...sample].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] ?? Number.NaN;
}

export const median = (sample: readonly number[]): number => percentile(sample, 50);

/** One line of the report: what was measured beside what, and whether the target is met. */
export interface Row {
  readonly what: string;
  readonly measured: string;
  readonly baseline: string;
  readonly ratio: string;
  readonly target: string;
  readonly met: boolean | undefined;
}

/** A comparison by ratio, with a target for it. */
export function compare(
  what: string,
  measured: number,
  baseline: number,
  unit: string,
  target: { readonly atMost: number } | { readonly atLeast: number } | undefined,
): Row {
  const ratio = measured / baseline;
  const show = (value: number): string => `${value >= 100 ? value.toFixed(0) : value.toPrecision(3)} ${unit}`;
  const goal = target === undefined ? '' : 'atMost' in target ? `≤ ${target.atMost}` : `≥ ${target.atLeast}`;
  const met = target === undefined ? undefined : 'atMost' in target ? ratio <= target.atMost : ratio >= target.atLeast;
  return { what, measured: show(measured), baseline: show(baseline), ratio: ratio.toFixed(2), target: goal, met };
}

export function formatRows(rows: readonly Row[]): string {
  const header: Row = {
    what: '',
    measured: 'measured',
    baseline: 'baseline',
    ratio: 'ratio',
    target: 'target',
    met: undefined,
  };
  const cells = [header, ...rows].map((row) => [
    row.what,
    row.measured,
    row.baseline,
    row.ratio,
    row.target,
    row.met === undefined ? '' : row.met ? 'met' : 'missed',
  ]);
  const widths = [0, 1, 2, 3, 4, 5].map((column) => Math.max(...cells.map((line) => (line[column] ?? '').length)));
  return cells
    .map(
      (line) =>
        `${line
          .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
