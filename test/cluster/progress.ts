/** A failure the person at the keyboard can act on; main.ts prints it without a stack. */
export class ClusterError extends Error {
  readonly hint: string;
  readonly exitCode: number;
  constructor(message: string, hint: string, exitCode = 1) {
    super(message);
    this.name = 'ClusterError';
    this.hint = hint;
    this.exitCode = exitCode;
  }
}

/** A step that takes longer than this is announced, so that minutes of silence do not look like a hang. */
const ANNOUNCE_AFTER_MS = 5000;

/** Runs one step and prints one line for it, with the seconds it took, on stderr. */
export async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const announcement = setTimeout(() => note(`… ${name}`), ANNOUNCE_AFTER_MS);
  try {
    const result = await work();
    report(`✓ ${name}`, startedAt);
    return result;
  } catch (cause) {
    report(`✗ ${name}`, startedAt);
    throw cause;
  } finally {
    clearTimeout(announcement);
  }
}

/** Prints a remark between steps. */
export function note(text: string): void {
  process.stderr.write(`  ${text}\n`);
}

function report(text: string, startedAt: number): void {
  process.stderr.write(`${text.padEnd(60)} ${((performance.now() - startedAt) / 1000).toFixed(1).padStart(7)} s\n`);
}
