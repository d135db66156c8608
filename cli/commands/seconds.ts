import { InterceptorError } from '../../src/errors.ts';

const DAY_SECONDS = 86_400;

/**
 * Reads a number of seconds, with decimals if need be.
 * @param limits by default more than 0 and at most a day
 * @throws InterceptorError USAGE_BAD_OPTION
 */
export function parseSeconds(option: string, text: string, limits: { least?: number; most?: number } = {}): number {
  const { least, most = DAY_SECONDS } = limits;
  const seconds = Number(text);
  const low = least === undefined ? seconds <= 0 : seconds < least;
  if (text.trim() === '' || !Number.isFinite(seconds) || low || seconds > most)
    throw new InterceptorError('USAGE_BAD_OPTION', `${option} "${text}" is not a number of seconds`, {
      hint: `for example ${option} ${Math.min(60, most)}${least === undefined && most === DAY_SECONDS ? '' : `; at most ${most}`}`,
    });
  return seconds;
}
