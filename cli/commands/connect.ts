import { InterceptorError } from '../../src/errors.ts';
import { requireRoot } from '../network/system/require-root.ts';
import { undoLeftovers } from '../network/system/undo.ts';
import { type RunOptions, runInside } from './run.ts';

/** `intercept connect`: the whole laptop, or what uses its proxy, stands inside. @returns the exit code */
export async function connect(options: RunOptions): Promise<number> {
  if (options.command !== undefined)
    throw new InterceptorError('USAGE_BAD_OPTION', 'connect takes no command after --', {
      hint: `one command alone: intercept run -- ${options.command.join(' ')}`,
    });
  const network = options.network ?? 'system';
  if (network !== 'system') return await runInside(undefined, { ...options, network });
  requireRoot();
  await undoLeftovers(); // of a system mode that was killed, also where this one is refused later
  return await runInside(undefined, { ...options, network });
}
