import type { Report } from '../ui/events.ts';
import type { Command, CommandEnd } from './command.ts';
import type { Leave } from './leaving.ts';

/** Whoever has typed Ctrl-C believes by then that it was not heard. */
const TELL_AFTER_MS = 2_000;

export interface EndCommandOptions {
  /** Aborted: the command and all it has started are ended at once. */
  readonly forced: AbortSignal;
  readonly report: Report;
  readonly tellAfterMs?: number;
}

/** Ends a command as it was asked to, and waits for it; of one that takes its time it says how not to wait. */
export async function endCommand(command: Command, leave: Leave, options: EndCommandOptions): Promise<CommandEnd> {
  const { forced, report, tellAfterMs = TELL_AFTER_MS } = options;
  // A Ctrl-C on a terminal has reached the command too: it is in the same process group.
  if (leave.signal !== 'SIGINT' || process.stdin.isTTY !== true) command.signal(leave.signal ?? 'SIGTERM');
  const again = leave.signal === 'SIGINT' ? 'Ctrl-C again' : 'Ctrl-C';
  const tell = (): void =>
    report({ event: 'waiting', for: `the command (pid ${command.pid}) to end; ${again} ends it at once` });
  const timer = setTimeout(tell, tellAfterMs);
  const force = (): void => {
    clearTimeout(timer);
    void command.killTree();
  };
  if (forced.aborted) force();
  else forced.addEventListener('abort', force, { once: true });
  try {
    return await command.ended;
  } finally {
    clearTimeout(timer);
    forced.removeEventListener('abort', force);
  }
}
