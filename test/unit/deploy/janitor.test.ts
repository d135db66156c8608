import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { describe, test } from 'vitest';

const root = new URL('../../../', import.meta.url).pathname;
const text = readFileSync(join(root, 'deploy/janitor/janitor.yaml'), 'utf8');

interface Manifest {
  kind: string;
  metadata: { name: string; labels: Record<string, string> };
  rules?: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
  spec?: {
    replicas: number;
    template: {
      spec: {
        serviceAccountName: string;
        securityContext: Record<string, unknown>;
        containers: { securityContext: Record<string, unknown>; resources: Record<string, unknown> }[];
      };
    };
  };
}

const manifests = loadAll(text.replaceAll('$IMAGE', 'node').replaceAll('$CODE_HASH', 'hash')) as Manifest[];
const find = (kind: string): Manifest => {
  const found = manifests.find((manifest) => manifest.kind === kind);
  assert.ok(found, kind);
  return found;
};

describe('the manifest of the janitor', () => {
  test('has one account with one Role in the namespace it is applied to, and nothing that nobody but an admin may make', () => {
    assert.deepEqual(
      manifests.map(({ kind }) => kind),
      ['ServiceAccount', 'Role', 'RoleBinding', 'Deployment'],
    );
    assert.ok(manifests.every(({ metadata }) => !('namespace' in metadata)));
  });

  test('names for every rule the files that need it, and has no wildcard and no right to make anything but a tunnel', () => {
    const [, role = ''] = text.split(/^rules:\n/m);
    const rules = find('Role').rules ?? [];
    const comments = role.split(/^---$/m)[0]?.split(/^ {2}- apiGroups/m) ?? [];
    for (const [index, { apiGroups, resources, verbs }] of rules.entries()) {
      assert.ok(![...apiGroups, ...resources, ...verbs].includes('*'));
      assert.ok(!verbs.includes('create') || resources.every((resource) => resource === 'pods/portforward'));
      // a rule without a comment of its own stands below the one it shares it with
      const shared = comments.slice(0, index + 1).findLast((comment) => comment.includes('#')) ?? '';
      const files = [...shared.matchAll(/\bcli\/[\w/-]+\.ts\b/g)].map(([file]) => file);
      const isExplained = files.length > 0 || shared.includes('The same for');
      assert.ok(isExplained, `${resources.join()}: ${shared}`);
      for (const file of files) assert.ok(existsSync(join(root, file)), file);
    }
  });

  test('passes the PodSecurity level restricted, and is one pod with limits', () => {
    const { replicas, template } = find('Deployment').spec ?? assert.fail('no spec');
    assert.equal(replicas, 1);
    const { securityContext, containers, serviceAccountName } = template.spec;
    assert.equal(serviceAccountName, find('ServiceAccount').metadata.name);
    assert.deepEqual(
      [securityContext.runAsNonRoot, securityContext.seccompProfile],
      [true, { type: 'RuntimeDefault' }],
    );
    for (const container of containers) {
      assert.deepEqual(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      assert.ok('limits' in container.resources && 'requests' in container.resources);
    }
  });

  test('carries no label by which what sessions make is found and deleted', () => {
    for (const { metadata } of manifests) assert.equal(metadata.labels['app.kubernetes.io/managed-by'], undefined);
  });
});
