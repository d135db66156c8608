export interface Out {
  write(text: string): unknown;
  /** Of a terminal. */
  readonly columns?: number | undefined;
}

const DEFAULT_COLUMNS = 80; // a terminal that does not tell has 0 or nothing

interface Shown {
  readonly out: Out;
  readonly width: number;
}

/** The line that the cursor stands behind; one for the process, as its terminal is. */
let shown: Shown | undefined;
let clearsAtExit = false;

/**
 * Shows a line that the next one overwrites, on one row of the terminal: what does not fit is cut, else the rows above
 * could not be erased.
 * @param sign one column wide, perhaps with colours around it
 */
export function showPassingLine(out: Out, sign: string, text: string): void {
  clearPassingLine();
  const room = columnsOf(out) - 1 - 2; // the last column would wrap; the sign and a space
  const letters = [...oneLine(text)];
  const fitting = letters.length <= room ? letters : [...letters.slice(0, Math.max(0, room - 1)), '…'];
  shown = { out, width: fitting.length + 2 };
  out.write(`${sign} ${fitting.join('')}`);
  if (clearsAtExit) return;
  clearsAtExit = true;
  process.once('exit', clearPassingLine); // the shell's prompt must not stand behind it
}

/** Erases the passing line, if there is one: whoever writes something else to the terminal calls this before. */
export function clearPassingLine(): void {
  if (shown === undefined) return;
  const { out, width } = shown;
  shown = undefined;
  // In a terminal made narrower meanwhile it has wrapped: left there whole rather than erased in part.
  out.write(width < columnsOf(out) ? '\r\x1b[2K' : '\n');
}

function columnsOf(out: Out): number {
  return out.columns === undefined || out.columns <= 0 ? DEFAULT_COLUMNS : out.columns;
}

/** Without line ends and other control characters: reasons come from the cluster. */
function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
  return text.replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ');
}
