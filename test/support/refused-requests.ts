import { auditLog } from '../cluster/daemons.ts';
import { tryRun } from '../cluster/exec.ts';
import { readLayout } from '../cluster/layout.ts';

/** A line of the API server's audit log (audit.k8s.io/v1 Event), as far as it is read here. */
interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly namespace?: string };
}

/**
 * What a user asked for in its own namespace and had no right to, by the audit log of the tests' own cluster: a Role that
 * lacks a rule, even where the product could do without. Refusals elsewhere are not counted: it asks for the whole cluster
 * first where that would be better, and then for the namespace.
 * @returns none on a cluster that keeps no such log
 */
export async function refusedRequests(namespace: string, user: string): Promise<string[]> {
  const file = auditLog(readLayout());
  // -h: no file names. The log is large, and few of its lines are about refusals.
  const { stdout } = await tryRun(['sh', '-c', `grep -hF '"forbid"' '${file}' | grep -F '"${user}"'`]);
  const events = stdout.split('\n').filter((line) => line !== '');
  return events
    .map((line): AuditEvent => JSON.parse(line))
    .filter(({ user: { username }, objectRef }) => username === user && objectRef?.namespace === namespace)
    .map(({ verb, requestURI }) => `${verb} ${requestURI}`);
}
