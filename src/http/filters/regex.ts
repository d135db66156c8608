import { RE2JS } from 're2js';
import { errorText, InterceptorError } from '../../errors.ts';

/** What is typed on a command line; longer ones are refused. */
export const MAX_REGEX_LENGTH = 256;
/**
 * Matching costs at most the program's instructions times the text's characters, about 8 ns each (measured): 64 KiB of
 * the worst text take 0.1 s, ordinary ones under 1 ms. `a{500}` has 500 instructions.
 */
export const MAX_REGEX_PROGRAM = 200;
/**
 * What the automaton that re2js builds while it matches may take. Its own 8 MiB per pattern cost half a second to fill for
 * a text made for it; beyond this it is the slower, but steady, machine.
 */
const AUTOMATON_BYTES = 64 * 1024;

export interface Regex {
  readonly pattern: string;
  /** Whether it is found anywhere in the text. Linear time: RE2's syntax has neither backreferences nor lookaround. */
  test(text: string): boolean;
}

/** @throws InterceptorError USAGE_BAD_OPTION naming what is wrong with the pattern */
export function compileRegex(pattern: string): Regex {
  if (pattern.length > MAX_REGEX_LENGTH)
    throw bad(pattern, `it is longer than ${MAX_REGEX_LENGTH} characters`, 'use a shorter one');
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(pattern);
  } catch (cause) {
    throw bad(pattern, errorText(cause).replace('error parsing regexp: ', ''), hintFor(pattern), cause);
  }
  if (compiled.programSize() > MAX_REGEX_PROGRAM)
    throw bad(pattern, 'it costs too much to match', 'repeat less in {…}, or list fewer alternatives');
  const { dfa } = compiled.re2();
  dfa.maxMem = AUTOMATON_BYTES;
  dfa.stateBudget = AUTOMATON_BYTES;
  dfa.memBudget = AUTOMATON_BYTES;
  return { pattern, test: (text) => compiled.test(text) };
}

function hintFor(pattern: string): string {
  if (/\(\?<?[=!]/.test(pattern)) return 'regular expressions are RE2’s, which has no lookahead and no lookbehind';
  if (/\\[1-9]/.test(pattern)) return 'regular expressions are RE2’s, which has no backreferences';
  return 'regular expressions are RE2’s: https://github.com/google/re2/wiki/Syntax';
}

function bad(pattern: string, why: string, hint: string, cause?: unknown): InterceptorError {
  const shown = pattern.length > MAX_REGEX_LENGTH ? `${pattern.slice(0, 40)}…` : pattern;
  return new InterceptorError('USAGE_BAD_OPTION', `regular expression "${shown}": ${why}`, { hint, cause });
}
