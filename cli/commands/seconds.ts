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
  const wrong = (what: string): InterceptorError =>
    new InterceptorError('USAGE_BAD_OPTION', `${option} "${text}" is ${what}`, {
      hint: `for example ${option} ${Math.min(60, most)}${least === undefined && most === DAY_SECONDS ? '' : `; at most ${most}`}`,
    });
  if (text.trim() === '' || Number.isNaN(seconds)) throw wrong('not a number of seconds');
  if (least === undefined ? seconds <= 0 : seconds < least)
    throw wrong(least === undefined ? 'not more than 0 seconds' : `less than ${least} seconds`);
  if (seconds > most) throw wrong(`more than ${most} seconds`);
  return seconds;
}
