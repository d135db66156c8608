import { auditLog } from '../cluster/daemons.ts';
import { tryRun } from '../cluster/exec.ts';
import { readLayout } from '../cluster/layout.ts';

/** A line of the API server's audit log (audit.k8s.io/v1 Event), as far as it is read here. */
interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
  };
  readonly annotations?: Readonly<Record<string, string>>;
}

/**
 * What a user asked for in its own namespace and had no right to, by the audit log of the tests' own cluster: a Role that
 * lacks a rule, even where the product could do without. What was allowed at another time is not counted: an API server that
 * has just started knows no Roles yet, and a namespace that goes loses them first. Nor are refusals elsewhere: the product
 * asks for the whole cluster first where that would be better, and then for the namespace.
 * @returns none on a cluster that keeps no such log
 */
export async function refusedRequests(namespace: string, user: string): Promise<string[]> {
  const file = auditLog(readLayout());
  // -h: no file names. The log is large, and few of its lines are about this user.
  const { stdout } = await tryRun(['sh', '-c', `grep -hF '"${user}"' '${file.replace(/\.log$/, '')}'*.log`]);
  const events = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line): AuditEvent => JSON.parse(line))
    .filter(({ user: { username }, objectRef }) => username === user && objectRef?.namespace === namespace);
  const decided = (decision: 'allow' | 'forbid'): AuditEvent[] =>
    events.filter(({ annotations }) => annotations?.['authorization.k8s.io/decision'] === decision);
  const allowed = new Set(decided('allow').map(ruleOf));
  return decided('forbid')
    .filter((event) => !allowed.has(ruleOf(event)))
    .map(({ verb, requestURI }) => `${verb} ${requestURI}`);
}

function ruleOf({ verb, objectRef = {} }: AuditEvent): string {
  return [verb, objectRef.apiGroup, objectRef.resource, objectRef.subresource].join(' ');
}
