import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { parseEnv } from 'node:util';
import fc from 'fast-check';
import { test } from 'vitest';
import { parseEnviron } from '../../../cli/commands/env.ts';
import { dotenvWarning, formatDotenv, misreadAsDotenv } from '../../../cli/session/env-formats/dotenv.ts';
import { commandEnvironment, parseEnvOption, selectVariables } from '../../../cli/session/environment.ts';
import { InterceptorError } from '../../../src/errors.ts';

test('what belongs to the container’s file system and runtime stays in the pod', () => {
  const pod = {
    PATH: '/app/bin',
    HOME: '/root',
    NODE_OPTIONS: '--require /app/x',
    LD_PRELOAD: 'x',
    LC_ALL: 'C',
    DB_URL: 'pg://db',
  };
  assert.deepEqual(selectVariables(pod), { DB_URL: 'pg://db' });
});

test('the pod’s variables win over the laptop’s, and --env wins over both', () => {
  const env = commandEnvironment({
    laptop: { A: 'laptop', B: 'laptop', PATH: '/bin', C: undefined },
    pod: { A: 'pod', B: 'pod', PATH: '/pod' },
    inside: {},
    mode: 'none',
    overrides: { B: 'option' },
  });
  assert.deepEqual(env, { A: 'pod', B: 'option', PATH: '/bin' });
});

test('inside, the laptop’s proxies are not the command’s; beside our own proxy the pod’s are not either', () => {
  const laptop = { HTTP_PROXY: 'http://laptop', no_proxy: '*', https_proxy: 'http://laptop' };
  const pod = { HTTPS_PROXY: 'http://pod', NO_PROXY: '.svc' };
  const inside = { http_proxy: 'http://ours' };
  const of = (mode: 'namespace' | 'proxy' | 'none'): Record<string, string> =>
    commandEnvironment({ laptop, pod, inside: mode === 'proxy' ? inside : {}, mode, overrides: {} });
  assert.deepEqual(of('none'), { ...laptop, ...pod });
  assert.deepEqual(of('namespace'), pod);
  assert.deepEqual(of('proxy'), inside);
});

test('options for Node that lead inside are added to the laptop’s and to --env’s', () => {
  const laptop = { NODE_OPTIONS: '--trace-warnings' };
  const inside = { NODE_OPTIONS: '--require ours' };
  const overrides = { NODE_OPTIONS: '--inspect' };
  const env = commandEnvironment({ laptop, pod: {}, inside, mode: 'proxy', overrides });
  assert.equal(env.NODE_OPTIONS, '--trace-warnings --require ours --inspect');
  const plain = commandEnvironment({ laptop, pod: {}, inside: {}, mode: 'none', overrides });
  assert.equal(plain.NODE_OPTIONS, '--inspect');
});

test('--env takes a value with equals signs, and an empty one', () => {
  assert.deepEqual(parseEnvOption('A=b=c'), ['A', 'b=c']);
  assert.deepEqual(parseEnvOption('A='), ['A', '']);
});

test.each(['A', '=x', '1A=x', 'A B=x'])('--env %j is refused', (text) => {
  assert.throws(
    () => parseEnvOption(text),
    (error) => error instanceof InterceptorError && error.code === 'USAGE_BAD_OPTION',
  );
});

test('a value of --env without a name is told as it was typed', () => {
  assert.throws(() => parseEnvOption('=x'), /--env "=x" is not KEY=VALUE/);
});

/** As `set -a; . file` in a POSIX shell. */
function readWithShell(dotenv: string, names: readonly string[]): Record<string, string | undefined> {
  const script = `set -a\n${dotenv}printf '%s\\0' ${names.map((name) => `"$${name}"`).join(' ')}`;
  const values = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0');
  return Object.fromEntries(names.map((name, index) => [name, values[index]]));
}

const named = (values: readonly string[]): Record<string, string> =>
  Object.fromEntries(values.map((value, index) => [`V${index}`, value]));
const listOf = (text: fc.Arbitrary<string>): fc.Arbitrary<string[]> => fc.array(text, { minLength: 1, maxLength: 20 });
const anyCharacter = fc.oneof(
  fc.constantFrom("'", '"', '$', '`', '\\', '\n', '\r', '#', ' ', '=', '!', '~', 'ä'),
  fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 1 }),
);

test('a shell that reads the dotenv file gets every value back', () => {
  fc.assert(
    fc.property(listOf(fc.string({ unit: anyCharacter })), (values) => {
      const variables = named(values);
      assert.deepEqual(readWithShell(formatDotenv(variables), Object.keys(variables)), variables);
    }),
    { numRuns: 30 },
  );
});

test('Node reads back every value that is not named as misread', () => {
  let common = 0;
  fc.assert(
    fc.property(listOf(fc.string({ unit: anyCharacter })), (values) => {
      const variables = named(values);
      const misread = misreadAsDotenv(variables);
      const kept = Object.fromEntries(Object.entries(variables).filter(([name]) => !misread.includes(name)));
      common += Object.keys(kept).length;
      assert.deepEqual({ ...parseEnv(formatDotenv(kept)) }, kept);
    }),
    { numRuns: 500 },
  );
  assert.ok(common > 1_000);
});

test('values that Node or npm’s dotenv would read wrongly are named in the warning, and never shown', () => {
  const variables = {
    JSON_QUOTE: `{"json":"it's $5"}`,
    BACKTICK: "it's `x`",
    ALL: `'"\``,
    CRLF: 'a\r\nb',
    LAST: 'C:\\dir x\\',
    PRICE: "it's 5$",
    PATHS: "it's in C:\\dir",
    PLAIN: '{"a":"$5"}',
    'no.name': '\r',
  };
  assert.deepEqual(misreadAsDotenv(variables), ['ALL', 'BACKTICK', 'CRLF', 'JSON_QUOTE', 'LAST']);
  assert.match(dotenvWarning(variables) ?? '', /^right for shells.*: ALL, BACKTICK, CRLF, JSON_QUOTE, LAST$/);
  assert.equal(dotenvWarning({ PLAIN: 'x' }), undefined);
});

test.each([
  ['a certificate', '-----BEGIN-----\nMII/=\n-----END-----\n'],
  ['JSON', '{"a":"b\\n$c`"}'],
  ['a template', '$HOME $X $(id)'],
  ['a sentence', "it's, on\ntwo lines"],
  ['a price', "it's 5$, or 6 $"],
  ['a path', "it's in C:\\dir\\sub"],
])('%s is the same for a shell and for Node', (_, value) => {
  const dotenv = formatDotenv({ VALUE: value, NEXT: '1' });
  assert.deepEqual(readWithShell(dotenv, ['VALUE', 'NEXT']), { VALUE: value, NEXT: '1' });
  assert.deepEqual({ ...parseEnv(dotenv) }, { VALUE: value, NEXT: '1' });
});

test('values are written bare, in single quotes, in double quotes, and with backslashes only if nothing else is left', () => {
  const dotenv = formatDotenv({ A: 'x.y/z', B: 'a\n"b" $c \\n', C: "it's", D: `it's "$5"`, E: '' });
  assert.equal(dotenv, `A=x.y/z\nB='a\n"b" $c \\n'\nC="it's"\nD="it's \\"\\$5\\""\nE=\n`);
});

test('the environment of a process is read from its NUL-separated form', () => {
  assert.deepEqual(parseEnviron('A=1\0B=x=y\0\0=broken\0'), { A: '1', B: 'x=y' });
});
