import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { ENV_FORMATS, type EnvFormat, isEnvFormat } from '../../../cli/session/env-formats/formats.ts';

const DOLLAR = '$';
const POWERSHELL = `${DOLLAR}{env:V} = `;

test.each<[EnvFormat, string, string]>([
  ['dotenv', 'a b', "V='a b'\n"],
  ['sh', "it's $5", "export V='it'\\''s $5'\n"],
  ['sh', '', "export V=''\n"],
  ['fish', "it's \\n $5", "set -gx V 'it\\'s \\\\n $5'\n"],
  ['powershell', 'plain $x `y "z"', `${POWERSHELL}'plain $x \`y "z"'\n`],
  ['powershell', "it's", `${POWERSHELL}'it''s'\n`],
  ['powershell', 'it’s ‘so’ ‚ ‛', `${POWERSHELL}'it’’s ‘‘so’’ ‚‚ ‛‛'\n`],
  ['powershell', 'a\r\n$b `c "d" “e”„', `${POWERSHELL}"a\`r\`n\`$b \`\`c \`"d\`" \`“e\`”\`„"\n`],
  ['powershell', '', `${POWERSHELL}''\n`],
  ['docker', ' "a" $b #c ', 'V= "a" $b #c \n'],
  ['json', 'a"\n', '{\n  "V": "a\\"\\n"\n}\n'],
  ['vscode', 'a"\n', '{\n  "env": {\n    "V": "a\\"\\n"\n  }\n}\n'],
])('%s writes %j', (format, value, text) => {
  assert.deepEqual(ENV_FORMATS[format]({ V: value }), { text, leftOut: [] });
});

test.each<[EnvFormat, string, string, string]>([
  ['dotenv', 'a.b', 'x', 'is no name that a shell takes'],
  ['sh', 'a-b', 'x', 'is no name that a shell takes'],
  ['sh', 'UID', '1', 'is read-only in bash'],
  ['fish', '1a', 'x', 'is no name that a shell takes'],
  ['fish', 'version', '1', 'is read-only in fish'],
  ['powershell', 'a}b', 'x', 'is no name that PowerShell takes'],
  ['docker', 'V', 'a\nb', 'holds a line break'],
  ['docker', 'V', 'a\r', 'ends in a carriage return'],
  ['docker', 'V', 'x'.repeat(70_000), 'is longer than 65535 bytes'],
  ['docker', '#V', 'x', 'is no name that an env file takes'],
  ['vscode', 'V', `a ${DOLLAR}{env:HOME} b`, 'holds a reference that VS Code would replace'],
])('%s leaves out %s=%j and says why', (format, name, value, why) => {
  const { text, leftOut } = ENV_FORMATS[format]({ [name]: value, KEPT: '1' });
  assert.deepEqual(leftOut, [{ name, why }]);
  assert.match(text, /KEPT/);
  assert.ok(!text.includes(name === 'V' ? 'V=' : name));
});

test('every variable is in the text or named as left out, and no value is in what is said about it', () => {
  const name = fc.string({ unit: fc.constantFrom('A', 'b', '_', '.', '-', '1'), minLength: 1, maxLength: 8 });
  const value = fc.string({
    unit: fc.constantFrom('x', "'", '"', '$', '{', '}', '\n', '\r', '\\', '’', 'ä'),
    minLength: 3,
  });
  fc.assert(
    fc.property(fc.dictionary(name, value), (variables) => {
      for (const format of Object.values(ENV_FORMATS)) {
        const { text, leftOut } = format(variables);
        const missing = Object.keys(variables).filter((key) => !text.includes(key));
        assert.ok(missing.every((key) => leftOut.some((left) => left.name === key)));
        for (const { why } of leftOut) assert.match(why, /^(is|holds|ends) [a-z0-9A-Z -]+$/);
      }
    }),
    { numRuns: 200 },
  );
});

test('each PowerShell variable is one line, as a pipe to Invoke-Expression needs', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', '\n', '\r', '"', '`', '$') }), (value) => {
      const { text } = ENV_FORMATS.powershell({ V: value });
      assert.equal(text.split(/[\r\n]/).length, 2);
    }),
  );
});

test('names are in order, whatever the order they came in', () => {
  const variables = { B: '2', A: '1', __proto__x: '3' };
  for (const format of Object.values(ENV_FORMATS)) {
    const { text } = format(variables);
    assert.ok(text.indexOf('A') < text.indexOf('B'));
  }
});

test('only formats are formats', () => {
  assert.deepEqual(['sh', 'toString', 'SH', ''].map(isEnvFormat), [true, false, false, false]);
});
