import { InterceptorError } from '../../src/errors.ts';
import { type RunOptions, runInside } from './run.ts';

/** `intercept connect`: the whole laptop, or what uses its proxy, stands inside. @returns the exit code */
export async function connect(options: RunOptions): Promise<number> {
  if (options.command !== undefined)
    throw new InterceptorError('USAGE_BAD_OPTION', 'connect takes no command after --', {
      hint: `one command alone: intercept run -- ${options.command.join(' ')}`,
    });
  return await runInside(undefined, options);
}
