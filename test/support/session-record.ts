import { join } from 'node:path';
import { processStart, type SessionRecord } from '../../cli/session/state-files.ts';

/** What a session of the process `pid` would have written of itself, its socket in `folder`; `fields` where a test needs others. */
export async function sessionRecord(
  folder: string,
  pid: number,
  fields: Partial<SessionRecord> = {},
): Promise<SessionRecord> {
  return {
    sessionId: 'abc',
    pid,
    processStart: await processStart(pid),
    startedAtMs: 1,
    context: 'test',
    kubeconfig: undefined,
    server: 'https://x',
    namespace: 'shop',
    target: 'web',
    workloadKind: 'Deployment',
    workloadName: 'web',
    service: 'web',
    services: [],
    ports: [],
    filter: undefined,
    mirror: false,
    direct: undefined,
    socket: join(folder, 'abc.sock'),
    envFile: undefined,
    ...fields,
  };
}
