import { codeConfigMap, credentialsSecret } from './agent-objects.ts';
import { readInstall, readRetarget, recordSummary } from './annotation.ts';
import { changeWords } from './change-words.ts';
import type { KubeObject } from './client-types.ts';
import { unifiedDiff } from './line-diff.ts';
import { INTERCEPT_ANNOTATION } from './names.ts';
import { workloadText } from './objects.ts';
import type { OwnPod } from './own-pod.ts';
import type { InstallPlan, ServicePlan } from './plan.ts';
import { portAlias } from './plan-hold.ts';
import { yamlLines } from './yaml-text.ts';

const REDACTED = 'redacted: made at install';
/** kubectl apply's own copy of the manifest: long, and not changed by us. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/**
 * The text of --dry-run: for every object a line that says in words what changes, and a unified diff. Elided: the agent's code,
 * the content of our own annotation; redacted: secret values. Pure.
 */
export function planDiff(plan: InstallPlan): string {
  const { workload, record } = plan;
  if (plan.action === 'reuse')
    return [
      `# ${textOf(workload.before)}: no change, the agent is there already\n`,
      ...plan.services.map((service) => serviceDiff(service, '')),
    ].join('');
  const services = plan.services.map((service) =>
    serviceDiff(service, record.hold === undefined ? 'after the rollout ' : 'when all pods are up '),
  );
  if (plan.action === 'extend') {
    const others = changeWords(
      workload.before,
      record.changes.filter(({ ours }) => ours === undefined),
    );
    const words = `renews container kube-intercept-agent of install ${record.installId}, for what it does not serve yet`;
    return [changedDiff(workload, others === '' ? words : `${words}; ${others}`), ...services].join('');
  }
  const owner = workload.before;
  const configMap = codeConfigMap(owner, record, `elided: the agent's code, SHA-256 ${record.codeHash}…`);
  const secret = credentialsSecret(owner, record, { key: '', tlsKey: '', tlsCert: '' });
  const redacted = { ...secret, data: { key: REDACTED, 'tls.key': REDACTED, 'tls.crt': REDACTED } };
  const before = readInstall(workload.before);
  const left = 'record' in before ? `; takes back what install ${before.record.installId} has left` : '';
  return [
    createdDiff(configMap, "is created: the agent's code"),
    createdDiff(redacted, "is created: the agent's key and certificate"),
    changedDiff(workload, `${changeWords(workload.before, record.changes)}${left}${holdWords(plan)}`),
    ...services,
  ].join('');
}

/** What is so until the old pods have gone only. */
function holdWords({ workload, record }: InstallPlan): string {
  if (record.hold === undefined) return '';
  const aliases = [...new Set(record.routes.map(portAlias))].join(', ');
  const words = changeWords(workload.before, record.hold);
  return `; until callers have left the old pods: ${words}; points every Service of it to ${aliases}`;
}

/** As planDiff(), for a pod of a session's own. Pure. */
export function ownPodDiff({ pod, record }: OwnPod): string {
  const configMap = codeConfigMap(pod, record, `elided: the agent's code, SHA-256 ${record.codeHash}…`);
  const secret = credentialsSecret(pod, record, { key: '', tlsKey: '', tlsCert: '' });
  const redacted = { ...secret, data: { key: REDACTED, 'tls.key': REDACTED, 'tls.crt': REDACTED } };
  const { name } = pod.metadata;
  return [
    createdDiff(withElided(pod), "is created: an agent of the session's own, deleted at its end"),
    createdDiff(configMap, `is created: the agent's code; goes with pod/${name}`),
    createdDiff(redacted, `is created: the agent's key and certificate; goes with pod/${name}`),
  ].join('');
}

function withElided(pod: OwnPod['pod']): KubeObject {
  return { ...pod, metadata: { ...pod.metadata, ...(shown(pod) as Pick<KubeObject, 'metadata'>).metadata } };
}

function serviceDiff({ before, after, passedPorts }: ServicePlan, when: string): string {
  const aside = 'not asked for: the agent passes it on to the app';
  const asides = new Map(passedPorts.map((port) => [port, aside]));
  const changes = readRetarget(after)?.changes ?? [];
  return changedDiff({ before, after }, `${when}${changeWords(before, changes, asides)}`);
}

function createdDiff(object: KubeObject, words: string): string {
  return `# ${textOf(object)}: ${words}\n${unifiedDiff('/dev/null', nameOf(object), [], yamlLines(object))}`;
}

function changedDiff({ before, after }: { before: KubeObject; after: KubeObject }, words: string): string {
  const diff = unifiedDiff(nameOf(before), nameOf(after), yamlLines(shown(before)), yamlLines(shown(after)));
  return `# ${textOf(before)}: ${diff === '' ? 'no change' : words}\n${diff}`;
}

/** What the server and kubectl set is not ours to change, and would only hide what is. */
function shown(object: KubeObject): object {
  const { managedFields: _, annotations, ...metadata } = object.metadata;
  const { status: _status, ...rest } = object;
  const short = Object.entries(annotations ?? {})
    .filter(([name]) => name !== LAST_APPLIED)
    .map(([name, value]) => [name, name === INTERCEPT_ANNOTATION ? elided(value) : value]);
  return {
    ...rest,
    metadata: { ...metadata, ...(short.length === 0 ? {} : { annotations: Object.fromEntries(short) }) },
  };
}

/** Of our own annotation: whose it is, and how much it records. */
function elided(text: string): string {
  const found = recordSummary(text);
  if (found === undefined) return `elided: ${text.length} characters that this version cannot read`;
  const { installId, changes } = found;
  return `elided: install ${installId}, records ${changes} changes with what was before`;
}

function textOf({ kind = '', metadata }: KubeObject): string {
  return workloadText({ kind, name: metadata.name });
}

function nameOf(object: KubeObject): string {
  const { namespace } = object.metadata;
  return `${namespace === undefined ? '' : `${namespace}/`}${textOf(object)}`;
}
