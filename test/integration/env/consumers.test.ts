import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { misreadAsDotenv } from '../../../cli/session/env-formats/dotenv.ts';
import { ENV_FORMATS, type EnvFormat } from '../../../cli/session/env-formats/formats.ts';

// Each format is read by the program it is for. Those that are not on this machine (fish, docker) have no test here: the
// exact texts are in test/unit/env-formats.

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-intercept-test-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Values that went wrong somewhere once. */
const HARD: Readonly<Record<string, string>> = {
  EMPTY: '',
  SPACES: '  two  ',
  QUOTES: `'single' "double" \`back\``,
  DOLLAR: `$HOME $${'{HOME}'} $(id) $$`,
  BACKSLASH: 'C:\\new\\table\\',
  HASH: 'a # b',
  UNICODE: 'käse 日本 🧀 ‘typographic’',
  LINES: '-----BEGIN-----\nMII/=\n-----END-----\n',
  CARRIAGE: 'a\r\nb\r',
  JSON: '{"a":"b\\n"}',
  EQUALS: 'a=b=c',
  EXCLAMATION: 'wow! !! !x',
  TILDE: '~/x:~',
  GLOB: '* ? [a]',
};

const onPath = (program: string): boolean => {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', program]);
    return true;
  } catch {
    return false; // not installed
  }
};
const present = (...programs: readonly string[]): string[] => programs.filter(onPath);

/** The variables as a program started with them sees them: NUL-separated. */
const PRINT = `const names = process.argv.slice(1); process.stdout.write(names.map((n) => process.env[n] ?? 'unset').join('\\0'))`;
const clean = { PATH: process.env.PATH, HOME: tmpdir() };

function readBack(names: readonly string[], stdout: string): Record<string, string | undefined> {
  const values = stdout.split('\0');
  return Object.fromEntries(names.map((name, index) => [name, values[index]]));
}

/** How each shell takes the format. */
const SHELL_SCRIPTS: Record<string, { readonly format: EnvFormat; readonly script: (file: string) => string }> = {
  sh: { format: 'sh', script: (file) => `eval "$(cat ${file})"; exec "$@"` },
  bash: { format: 'sh', script: (file) => `eval "$(cat ${file})"; exec "$@"` },
  dash: { format: 'sh', script: (file) => `. ${file}; exec "$@"` },
  fish: { format: 'fish', script: (file) => `cat ${file} | source; exec $argv` },
};

async function throughShell(shell: string, variables: Readonly<Record<string, string>>): Promise<unknown> {
  const how = SHELL_SCRIPTS[shell];
  assert.ok(how !== undefined);
  const { text, leftOut } = ENV_FORMATS[how.format](variables);
  assert.deepEqual(leftOut, []);
  const file = join(folder, 'env');
  await writeFile(file, text);
  const names = Object.keys(variables);
  const command = [process.execPath, '-e', PRINT, ...names];
  const argv = shell === 'fish' ? ['-c', how.script(file), ...command] : ['-c', how.script(file), shell, ...command];
  const { stdout } = await promisify(execFile)(shell, argv, { env: clean });
  return readBack(names, stdout);
}

test.each(present('sh', 'bash', 'dash', 'fish'))('%s gives a program every hard value', async (shell) => {
  expect(await throughShell(shell, HARD)).toEqual(HARD);
});

test.each(present('sh', 'fish'))('%s gives a program any values', async (shell) => {
  const unit = fc.oneof(
    fc.constantFrom("'", '"', '$', '`', '\\', '\n', '\r', '#', ' ', '=', '!', '~', '(', '{', 'ä', '*', ';', '\t'),
    fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 1 }),
  );
  const anyValues = fc.array(fc.string({ unit }), { minLength: 10, maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(anyValues, async (values) => {
      const variables = Object.fromEntries(values.map((value, index) => [`V${index}`, value]));
      expect(await throughShell(shell, variables)).toEqual(variables);
    }),
    { numRuns: 8 },
  );
});

test.each(present('bash'))('%s does not stumble over the names that it keeps to itself', async (shell) => {
  const { text, leftOut } = ENV_FORMATS.sh({ UID: '7', EUID: '7', PPID: '7', AFTER: 'there' });
  assert.deepEqual(
    leftOut.map(({ name }) => name),
    ['EUID', 'PPID', 'UID'],
  );
  const script = `set -eu; eval "$0"; printf %s "$AFTER"`;
  assert.equal(execFileSync(shell, ['--posix', '-c', script, text], { encoding: 'utf8' }), 'there');
});

test.each(present('fish'))('%s sets every name that is not left out', async (shell) => {
  const names = ['version', 'status', 'hostname', 'history', 'umask', 'argv', 'UID', 'EUID', 'PWD', 'LANG', 'my_PATH'];
  const { text, leftOut } = ENV_FORMATS.fish(Object.fromEntries(names.map((name) => [name, '/x'])));
  const { stderr } = await promisify(execFile)(shell, ['-c', text], { env: clean });
  assert.equal(stderr, '');
  assert.ok(leftOut.length < names.length);
});

test('node --env-file reads the hard values, but for those that are named as misread', async () => {
  const misread = misreadAsDotenv(HARD);
  assert.deepEqual(misread, ['BACKSLASH', 'CARRIAGE', 'QUOTES']);
  const readable = Object.fromEntries(Object.entries(HARD).filter(([name]) => !misread.includes(name)));
  const { text } = ENV_FORMATS.dotenv(readable);
  const file = join(folder, '.env');
  await writeFile(file, text);
  const names = Object.keys(readable);
  const argv = [`--env-file=${file}`, '-e', PRINT, ...names];
  const { stdout } = await promisify(execFile)(process.execPath, argv, { env: clean });
  assert.deepEqual(readBack(names, stdout), readable);
});

test('JSON.parse gives every value back, of json and of vscode what VS Code leaves alone', () => {
  assert.deepEqual(JSON.parse(ENV_FORMATS.json(HARD).text), HARD);
  const { text, leftOut } = ENV_FORMATS.vscode(HARD);
  const { DOLLAR: _, ...kept } = HARD;
  assert.deepEqual(JSON.parse(text), { env: kept });
  assert.deepEqual(
    leftOut.map(({ name }) => name),
    ['DOLLAR'],
  );
});

/** What the docker client asks its daemon to create a container with; the daemon here is a few lines. */
async function throughDocker(file: string): Promise<readonly string[]> {
  const socket = join(folder, 'docker.sock');
  let created: { Env?: string[] } = {};
  const daemon = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      response.setHeader('Api-Version', '1.43').setHeader('Content-Type', 'application/json');
      if (request.url?.includes('/containers/create') === true) {
        created = JSON.parse(Buffer.concat(chunks).toString());
        response.statusCode = 201;
        response.end('{"Id":"abc","Warnings":[]}');
      } else response.end('{}');
    });
  });
  daemon.listen(socket);
  await once(daemon, 'listening');
  try {
    const env = { ...clean, DOCKER_HOST: `unix://${socket}`, DOCKER_CONFIG: folder };
    await promisify(execFile)('docker', ['create', '--env-file', file, 'image'], { env, timeout: 20_000 });
  } finally {
    daemon.closeAllConnections();
    daemon.close();
  }
  return created.Env ?? [];
}

test.each(present('docker'))('%s --env-file takes every value that is not left out, exactly', async () => {
  const { text, leftOut } = ENV_FORMATS.docker(HARD);
  assert.deepEqual(
    leftOut.map(({ name }) => name),
    ['CARRIAGE', 'LINES'],
  );
  const file = join(folder, 'env');
  await writeFile(file, text);
  const { CARRIAGE: _, LINES: __, ...kept } = HARD;
  assert.deepEqual(
    [...(await throughDocker(file))].sort(),
    Object.entries(kept)
      .map(([name, value]) => `${name}=${value}`)
      .sort(),
  );
});
