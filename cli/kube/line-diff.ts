/** Lines around a change that are shown. */
const CONTEXT_LINES = 3;

/**
 * A unified diff (as `diff -u`) of two texts of lines.
 * @returns the hunks with `---` and `+++` before them; empty when the texts are equal
 */
export function unifiedDiff(
  beforeName: string,
  afterName: string,
  before: readonly string[],
  after: readonly string[],
): string {
  const edits = lineEdits(before, after);
  const changed = edits.flatMap(({ sign }, index) => (sign === ' ' ? [] : [index]));
  if (changed.length === 0) return '';
  const out = [`--- ${beforeName}`, `+++ ${afterName}`];
  let from = 0;
  while (from < changed.length) {
    let to = from;
    while (to + 1 < changed.length && (changed[to + 1] ?? 0) - (changed[to] ?? 0) <= 2 * CONTEXT_LINES) to++;
    const first = Math.max(0, (changed[from] ?? 0) - CONTEXT_LINES);
    const hunk = edits.slice(first, (changed[to] ?? 0) + CONTEXT_LINES + 1);
    const skipped = edits.slice(0, first);
    const range = (other: string): string => {
      const start = skipped.filter(({ sign }) => sign !== other).length;
      const count = hunk.filter(({ sign }) => sign !== other).length;
      return `${count === 0 ? start : start + 1},${count}`;
    };
    out.push(`@@ -${range('+')} +${range('-')} @@`, ...hunk.map(({ sign, line }) => `${sign}${line}`));
    from = to + 1;
  }
  return `${out.join('\n')}\n`;
}

interface Edit {
  readonly sign: ' ' | '-' | '+';
  readonly line: string;
}

/** Longest common subsequence by the plain table, after common head and tail: objects have hundreds of lines, not thousands. */
function lineEdits(before: readonly string[], after: readonly string[]): Edit[] {
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const a = before.slice(head, before.length - tail);
  const b = after.slice(head, after.length - tail);
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  const at = (row: number, column: number): number => longest[row * width + column] ?? 0;
  for (let row = a.length - 1; row >= 0; row--)
    for (let column = b.length - 1; column >= 0; column--)
      longest[row * width + column] =
        a[row] === b[column] ? at(row + 1, column + 1) + 1 : Math.max(at(row + 1, column), at(row, column + 1));
  const edits: Edit[] = before.slice(0, head).map((line): Edit => ({ sign: ' ', line }));
  let row = 0;
  let column = 0;
  while (row < a.length || column < b.length) {
    if (row < a.length && column < b.length && a[row] === b[column]) {
      edits.push({ sign: ' ', line: a[row] ?? '' });
      row++;
      column++;
    } else if (row < a.length && (column === b.length || at(row + 1, column) >= at(row, column + 1)))
      edits.push({ sign: '-', line: a[row++] ?? '' });
    else edits.push({ sign: '+', line: b[column++] ?? '' });
  }
  edits.push(...before.slice(before.length - tail).map((line): Edit => ({ sign: ' ', line })));
  return edits;
}
