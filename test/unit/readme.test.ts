import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'vitest';
import { generateReadme, README } from '../support/readme.ts';

test('README shows the help, the error codes and the excluded variables as they are', async () => {
  const readme = await readFile(README, 'utf8');
  assert.equal(generateReadme(readme), readme, 'run: npx tsx test/support/readme.ts');
});

test('every file README points to exists', async () => {
  const readme = await readFile(README, 'utf8');
  const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].flatMap((match) => match[1] ?? []);
  assert.ok(links.length > 5);
  for (const link of links) await readFile(new URL(`../../${link}`, import.meta.url));
});
