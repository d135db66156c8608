import { InterceptorError } from '../../src/errors.ts';
import { redact } from '../../src/redact.ts';
import { clearPassingLine } from './passing-line.ts';

export interface PrintErrorOptions {
  readonly json: boolean;
  readonly debug: boolean;
  /** Where the event goes with --json. */
  readonly jsonTo: { write(text: string): unknown };
}

/**
 * Tells the user what failed and what to do.
 * @returns the exit code
 */
export function printError(thrown: unknown, options: PrintErrorOptions): number {
  const error = asInterceptorError(thrown);
  clearPassingLine();
  if (options.json) {
    const hint = error.hint === undefined ? {} : { hint: redact(error.hint) };
    const event = {
      event: 'error',
      code: error.code,
      message: redact(error.message),
      ...hint,
      exitCode: error.exitCode,
    };
    options.jsonTo.write(`${JSON.stringify(event)}\n`);
  } else {
    const hint = error.hint === undefined ? '' : `hint: ${error.hint}\n`;
    process.stderr.write(redact(`error: ${error.message}\n${hint}code: ${error.code}\n`));
  }
  if (options.debug) {
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
      process.stderr.write(redact(`${cause.stack ?? cause.message}\n`));
  }
  return error.exitCode;
}

/** Anything thrown as an error with a code; what we did not foresee is INTERNAL. */
export function asInterceptorError(thrown: unknown): InterceptorError {
  if (thrown instanceof InterceptorError) return thrown;
  return new InterceptorError('INTERNAL', thrown instanceof Error ? thrown.message : String(thrown), {
    hint: 'this is a bug of kube-intercept: run again with --debug and report it',
    cause: thrown,
  });
}
