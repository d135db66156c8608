import { InterceptorError } from '../../src/errors.ts';
import { type RunOptions, run } from './run.ts';

/** Tells a prompt where its shell stands: `web`, or `pod` in a pod of its own. */
export const CONTEXT_VARIABLE = 'INTERCEPT_CONTEXT';

/** `intercept shell [target]`: a shell that stands inside. @returns the shell's exit code */
export async function shell(targetText: string | undefined, options: RunOptions): Promise<number> {
  if (options.command !== undefined)
    throw new InterceptorError('USAGE_BAD_OPTION', 'shell takes no command after --', {
      hint: `intercept run ${targetText === undefined ? '' : `${targetText} `}-- ${options.command.join(' ')}`,
    });
  const file = process.env.SHELL || (process.platform === 'win32' ? (process.env.COMSPEC ?? 'cmd.exe') : '/bin/sh');
  const env = [`${CONTEXT_VARIABLE}=${targetText ?? 'pod'}`, ...(options.env ?? [])];
  return await run(targetText, { ...options, env, command: [file] });
}
