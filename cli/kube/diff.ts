import { codeConfigMap, credentialsSecret } from './agent-objects.ts';
import type { KubeObject } from './client-types.ts';
import { unifiedDiff } from './line-diff.ts';
import { workloadText } from './objects.ts';
import type { InstallPlan } from './plan.ts';
import { yamlLines } from './yaml-text.ts';

const REDACTED = 'redacted: made at install';

/** The text of --dry-run: one unified diff per object; code elided, secret values redacted. Pure. */
export function planDiff(plan: InstallPlan): string {
  const { workload, service, record } = plan;
  if (plan.action === 'reuse')
    return `# the agent is there already: no change of the workload\n${service === undefined ? '' : changedDiff(service.before, service.after)}`;
  const owner = workload.before;
  const configMap = codeConfigMap(owner, record, `elided: the agent's code, SHA-256 ${record.codeHash}…`);
  const secret = credentialsSecret(owner, record, { key: '', tlsKey: '', tlsCert: '' });
  const redacted = { ...secret, data: { key: REDACTED, 'tls.key': REDACTED, 'tls.crt': REDACTED } };
  return [
    createdDiff(configMap),
    createdDiff(redacted),
    changedDiff(workload.before, workload.after),
    service === undefined ? '' : `# after the rollout\n${changedDiff(service.before, service.after)}`,
  ].join('');
}

function createdDiff(object: KubeObject): string {
  return unifiedDiff('/dev/null', nameOf(object), [], yamlLines(object));
}

function changedDiff(before: KubeObject, after: KubeObject): string {
  return unifiedDiff(nameOf(before), nameOf(after), yamlLines(shown(before)), yamlLines(shown(after)));
}

/** What the server sets is not ours to change, and would only hide what is. */
function shown(object: KubeObject): object {
  const { managedFields: _, ...metadata } = object.metadata;
  const { status: _status, ...rest } = object;
  return { ...rest, metadata };
}

function nameOf(object: KubeObject): string {
  const { name, namespace } = object.metadata;
  return `${namespace === undefined ? '' : `${namespace}/`}${workloadText({ kind: object.kind ?? '', name })}`;
}
