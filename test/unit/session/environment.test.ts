import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { test } from 'vitest';
import { parseEnviron } from '../../../cli/commands/env.ts';
import { commandEnvironment, formatDotenv, parseEnvOption, selectVariables } from '../../../cli/session/environment.ts';
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
  const env = commandEnvironment(
    { A: 'laptop', B: 'laptop', PATH: '/bin', C: undefined },
    { A: 'pod', B: 'pod', PATH: '/pod' },
    { B: 'option' },
  );
  assert.deepEqual(env, { A: 'pod', B: 'option', PATH: '/bin' });
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

test('a shell that reads the dotenv file gets every printable value back', () => {
  const values = fc.array(fc.string({ unit: 'grapheme-ascii' }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(values, (list) => {
      const variables = Object.fromEntries(list.map((value, index) => [`V${index}`, value]));
      const names = Object.keys(variables);
      const script = `set -a\n${formatDotenv(variables)}printf '%s\\0' ${names.map((name) => `"$${name}"`).join(' ')}`;
      const out = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1);
      assert.deepEqual(out, list);
    }),
    { numRuns: 30 },
  );
});

test('line breaks are written as dotenv readers expect them', () => {
  assert.equal(formatDotenv({ KEY: 'a\nb"c' }), 'KEY="a\\nb\\"c"\n');
});

test('the environment of a process is read from its NUL-separated form', () => {
  assert.deepEqual(parseEnviron('A=1\0B=x=y\0\0=broken\0'), { A: '1', B: 'x=y' });
});
