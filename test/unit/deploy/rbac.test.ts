import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'vitest';
import { readCommentedRules, readDeveloperRole } from '../../support/developer-role.ts';

const root = new URL('../../../', import.meta.url).pathname;
const rules = await readCommentedRules();
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
/** The files that a rule's comment names, as one text. */
const codeOf = (comment: string): string =>
  [...comment.matchAll(/\bcli\/[\w/-]+\.ts\b/g)].map(([file]) => read(file)).join('\n');

/** How a file asks the API server for each verb. */
const VERBS: Readonly<Record<string, RegExp>> = {
  get: /\.get[<(]|readOrUndefined[<(]|getOrUndefined[<(]|getWorkload\(|method: 'GET'|openWebSocket\(|WebSocket/,
  list: /\.list[<(]|listAll[<(]|watch[<(]/,
  watch: /watch[<(]/,
  patch: /\.patch[<(]|guardedPatch[<(]/,
  create: /\.create[<(]|openWebSocket\(/,
  delete: /\.delete[<(]/,
};

/** How a file names each resource that is not there in so many letters. */
const RESOURCES: Readonly<Record<string, RegExp>> = {
  deployments: /workloads?Path\(/,
  statefulsets: /workloads?Path\(/,
  daemonsets: /workloads?Path\(/,
  replicasets: /workloads?Path\(|ReplicaSet/,
  rollouts: /resource: 'rollouts'|Rollout/,
  'pods/proxy': /\/proxy\//,
  'pods/portforward': /portforward/,
  'pods/exec': /'exec'/,
  'pods/log': /\/log\b/,
  namespaces: /\/namespaces\//,
};

test('each rule of deploy/rbac.yaml names files that ask for each of its resources, with each of its verbs', () => {
  assert.ok(rules.length > 10);
  const missing: string[] = [];
  for (const { resources, verbs, comment } of rules) {
    const text = codeOf(comment);
    for (const resource of resources)
      if (!(RESOURCES[resource] ?? new RegExp(`\\b${resource}\\b`)).test(text)) missing.push(`${resource}: ${comment}`);
    for (const verb of verbs) if (!VERBS[verb]?.test(text)) missing.push(`${verb} ${resources}: ${comment}`);
  }
  assert.deepEqual(missing, []);
});

test('deploy/rbac.yaml has a rule for every resource that the code names, and no wildcard', async () => {
  const { kind, rules: all } = await readDeveloperRole();
  assert.equal(kind, 'Role');
  assert.ok(all.every((rule) => ![...rule.apiGroups, ...rule.resources, ...rule.verbs].includes('*')));
  const granted = new Set(all.flatMap(({ resources }) => resources));
  const files = readdirSync(join(root, 'cli'), { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'));
  const named = files.flatMap((file) =>
    [...read(join('cli', file)).matchAll(/corePath\('(\w+)'|\bresource: '(\w+)'(?:[^}\n]*subresource: '(\w+)')?/g)].map(
      ([, core, resource, sub]) => core ?? (sub === undefined ? (resource ?? '') : `${resource}/${sub}`),
    ),
  );
  assert.ok(new Set(named).size > 8);
  assert.deepEqual(
    [...new Set(named)].filter((resource) => !granted.has(resource)),
    [],
  );
});
