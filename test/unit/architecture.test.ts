import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;

interface Import {
  readonly file: string;
  readonly folder: string;
  readonly target: string;
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

/** Imports of our own files, as paths from the root, and of packages, as their names. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const specifiers = [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].flatMap((match) => match[1] ?? []);
  return specifiers.map((specifier) => {
    const target = specifier.startsWith('.') ? relative(root, join(root, dirname(file), specifier)) : specifier;
    return { file, folder: dirname(file), target };
  });
}

const imports = ['src', 'agent', 'cli'].flatMap(sourceFiles).flatMap(importsOf);
/** The package of a specifier: its first part, or two where it is scoped. */
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
const show = (found: Import[]): string[] => found.map(({ file, target }) => `${file} imports ${target}`);

test('src never imports agent or cli, and they never import each other', () => {
  const wrong = imports.filter(({ file, target }) => {
    const [from] = file.split('/');
    const [to] = target.split('/');
    if (from === 'src') return to === 'agent' || to === 'cli';
    return (from === 'agent' && to === 'cli') || (from === 'cli' && to === 'agent');
  });
  assert.deepEqual(show(wrong), []);
});

test('nothing that ships imports test', () => {
  assert.deepEqual(show(imports.filter(({ target }) => target.startsWith('test/'))), []);
});

test('inside src imports run protocol, then mux, then net', () => {
  const rank: Record<string, number> = { 'src/protocol': 0, 'src/mux': 1, 'src/net': 2 };
  const rankOf = (path: string): number | undefined =>
    Object.entries(rank).find(([folder]) => path.startsWith(`${folder}/`))?.[1];
  const wrong = imports.filter(({ file, target }) => {
    const from = rankOf(file);
    const to = rankOf(target);
    return from !== undefined && to !== undefined && to > from;
  });
  assert.deepEqual(show(wrong), []);
});

test('the small shared files of src import nothing of ours but each other', () => {
  const wrong = imports.filter(
    ({ folder, target }) => folder === 'src' && target.startsWith('src/') && dirname(target) !== 'src',
  );
  assert.deepEqual(show(wrong), []);
});

test('each package is imported where STYLE allows it and nowhere else', () => {
  const allowed: Record<string, RegExp> = {
    ws: /^src\/net\//,
    undici: /^cli\/kube\//,
    '@kubernetes/client-node': /^cli\/kube\/k8s\.ts$/,
    'js-yaml': /^cli\/kube\/kubeconfig/,
    'node-forge': /^cli\/kube\/credentials\.ts$/,
    'http-proxy': /^cli\/session\//,
    commander: /^cli\/(program|common-options)\.ts$/,
    re2js: /^src\/http\/filters\/regex\.ts$/,
    'dns-packet': /^(src\/dns|agent|cli)\//,
  };
  const wrong = imports.filter(({ file, target }) => {
    if (target.startsWith('node:') || /^(src|agent|cli)\//.test(target)) return false;
    const where = allowed[packageOf(target)];
    return where === undefined || !where.test(file);
  });
  assert.deepEqual(show(wrong), []);
});

test('sockets are opened in src only below src/net', () => {
  const wrong = imports.filter(
    ({ file, target }) =>
      file.startsWith('src/') &&
      !file.startsWith('src/net/') &&
      ['node:net', 'node:tls', 'node:http', 'node:https', 'node:dgram'].includes(target),
  );
  assert.deepEqual(show(wrong), []);
});
