import { redact } from '../../src/redact.ts';
import { type Background, describe, NOTHING_SEEN, type Seen } from './event-lines.ts';
import type { Report, SessionEvent } from './events.ts';
import { clearPassingLine, type Out, showPassingLine } from './passing-line.ts';

export interface ReporterOptions {
  readonly form: 'terminal' | 'plain' | 'json';
  readonly out: Out;
  /** For the terminal form: whether colours may be used (NO_COLOR, TERM=dumb). */
  readonly colour: boolean;
  /** With --detach: the session is another process, which goes on. */
  readonly background?: Background;
}

/** Chooses the form: JSON lines with --json, ticks on a terminal, plain lines otherwise. */
export function reporterForm(json: boolean, out: { isTTY?: boolean }): ReporterOptions['form'] {
  if (json) return 'json';
  return out.isTTY === true ? 'terminal' : 'plain';
}

/** Reasons and messages are often others' words. What is asked for with its values has them: a plan, the proxy's variables. */
function withoutSecrets(event: SessionEvent): SessionEvent {
  if (event.event === 'plan' || event.event === 'network') return event;
  return JSON.parse(JSON.stringify(event, (_, value: unknown) => (typeof value === 'string' ? redact(value) : value)));
}

/**
 * Makes the function every part of a session reports through. On a terminal what only passes is overwritten by what
 * follows, until the command has been started: from then on the cursor stands at the start of a line for its output, and
 * what is waited for is told as a whole line, when it takes long.
 */
export function createReporter(options: ReporterOptions): Report {
  const { out } = options;
  if (options.form === 'json') return (event) => void out.write(`${JSON.stringify(withoutSecrets(event))}\n`);
  const terminal = options.form === 'terminal';
  const paint = (code: number, text: string): string => (options.colour ? `\x1b[${code}m${text}\x1b[0m` : text);
  const seen: Mutable<Seen> = { ...NOTHING_SEEN, takesTraffic: false, background: options.background };
  const rare = rareLines((text) => void out.write(`${text}\n`));
  let shared = false; // with the command's output
  let last = '';
  return (event) => {
    const line = describe(withoutSecrets(event), seen);
    if (event.event === 'ready') seen.ready = true;
    if (event.event === 'network') seen.inside = event.mode !== 'none';
    if (event.event === 'leaving') seen.leaving = true;
    if (event.event === 'found') {
      seen.takesTraffic = event.ports.length > 0;
      seen.mirrors = event.mirror === true;
      seen.noFallback = event.fallback === 'refuse';
    }
    if (event.event === 'listening') seen.refuses = seen.noFallback;
    if (event.event === 'command-started') shared = true;
    if (line === undefined) return;
    const sign = terminal ? paint(line.colour, line.sign) : line.sign;
    const text = `${sign} ${line.text}`;
    if (text === last) return;
    last = text;
    if (terminal && line.passing) {
      if (shared) rare.set(text);
      else showPassingLine(out, sign, line.text);
    } else {
      rare.set(undefined);
      clearPassingLine();
      out.write(`${text}\n`);
    }
  };
}

const RARE_EVERY_MS = 3_000;

/** Writes what has been set last, at most every RARE_EVERY_MS and each text once; `undefined`: nothing any more. */
function rareLines(write: (text: string) => void): { set(text: string | undefined): void } {
  const said = new Set<string>();
  let next: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    timer = undefined;
    if (next === undefined || said.has(next)) return;
    said.add(next);
    write(next);
  };
  return {
    set: (text) => {
      next = text;
      if (text === undefined) {
        clearTimeout(timer);
        timer = undefined;
      } else timer ??= setTimeout(flush, RARE_EVERY_MS).unref();
    },
  };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
