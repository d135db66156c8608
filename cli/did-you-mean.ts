import { InterceptorError } from '../src/errors.ts';
import { editDistance } from './kube/near-names.ts';

/**
 * Adds the command that a first word may have been meant for: what is no command is taken for a target, which is then not found,
 * or does not go with the options of the command.
 * @param thrown what has come of it
 * @param commands all that there are
 * @returns what was thrown, or the same error with that in its hint
 */
export function withMeantCommand(thrown: unknown, word: string | undefined, commands: readonly string[]): unknown {
  if (!(thrown instanceof InterceptorError) || word === undefined) return thrown;
  const { code, message, hint } = thrown;
  const isNotFound = code === 'TARGET_NOT_FOUND' && message.includes(`"${word}"`);
  const meant = isNotFound || code === 'USAGE_BAD_OPTION' ? nearest(word, commands) : undefined;
  if (meant === undefined) return thrown;
  const question = `did you mean: intercept ${meant}?`;
  return new InterceptorError(code, message, {
    hint: hint === undefined ? question : `${question} ${hint}`,
    cause: thrown,
  });
}

function nearest(word: string, commands: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  const near = commands
    .map((name) => ({ name, distance: editDistance(word, name) }))
    .sort((a, b) => a.distance - b.distance)
    .find(({ distance }) => distance <= limit);
  return near?.distance === 0 ? undefined : near?.name;
}
