// A list in Redis, and a worker that consumes it: what nobody can intercept by a Service.
import { waitFor } from '../cluster/exec.ts';
import type { TestCluster, TestNamespace } from './cluster.ts';

export const QUEUE_HOST = 'queue';
const JOBS = 'jobs';
const DONE = 'done';

/**
 * Takes jobs from the list one by one and notes `<WHO> <job>` in another list; a job that was taken is always noted. The same
 * text runs as app and as process. SIGTERM and SIGINT end it behind the job it has.
 */
export const WORKER_CODE = `
const who = process.env.WHO || 'app';
let rest = '', ended = false;
const waiting = [];
const redis = require('node:net').connect(6379, process.env.QUEUE_HOST || '${QUEUE_HOST}');
redis.setEncoding('utf8');
redis.on('error', (error) => { console.error(error.message); process.exit(1); });
redis.on('close', () => process.exit(ended ? 0 : 1));
const ask = (...words) => new Promise((resolve) => {
  waiting.push(resolve);
  redis.write('*' + words.length + '\\r\\n' + words.map((word) => '$' + Buffer.byteLength(word) + '\\r\\n' + word + '\\r\\n').join(''));
});
redis.on('data', (text) => {
  rest += text;
  for (;;) {
    const [whole, answer] = /^(?:[:+][^\\r]*|\\*-1|\\*2\\r\\n\\$\\d+\\r\\n[^\\r]*\\r\\n\\$\\d+\\r\\n([^\\r]*))\\r\\n/.exec(rest) ?? [];
    if (whole === undefined) return;
    rest = rest.slice(whole.length);
    waiting.shift()(answer);
  }
});
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => { ended = true; });
(async () => {
  while (!ended) {
    const job = await ask('BLPOP', '${JOBS}', '1');
    if (job !== undefined) await ask('RPUSH', '${DONE}', who + ' ' + job);
  }
  redis.end();
})();
`;

/** The list as a test sees it. */
export interface Queue {
  /** Adds so many jobs, named `<prefix>-0`, … */
  add(prefix: string, count: number): Promise<void>;
  /** Who did each of the jobs named so, once all `count` are done: `{ app: 3, laptop: 2 }`. @throws when they are not in time */
  doneBy(prefix: string, count: number, timeoutMs?: number): Promise<Readonly<Record<string, number>>>;
}

/** Starts Redis in the namespace, as pod and Service QUEUE_HOST; the cluster must have the tools image. */
export async function startQueue(cluster: TestCluster, namespace: TestNamespace): Promise<Queue> {
  if (cluster.toolsImage === undefined)
    throw new Error('Redis is in the tools image, which this cluster does not have');
  const labels = { app: QUEUE_HOST };
  const container = {
    name: 'redis',
    image: cluster.toolsImage,
    imagePullPolicy: 'IfNotPresent',
    command: ['redis-server', '--protected-mode', 'no', '--save', '', '--appendonly', 'no', '--dir', '/tmp'],
    readinessProbe: { tcpSocket: { port: 6379 }, periodSeconds: 1 },
  };
  await namespace.apply([
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: QUEUE_HOST },
      spec: { selector: labels, ports: [{ port: 6379 }] },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: QUEUE_HOST, labels },
      spec: { containers: [container], terminationGracePeriodSeconds: 0 },
    },
  ]);
  await namespace.kubectl(['wait', '--for=condition=Ready', `pod/${QUEUE_HOST}`, '--timeout=60s'], {
    timeoutMs: 65_000,
  });
  const redis = (...words: readonly string[]): Promise<string> =>
    namespace.kubectl(['exec', QUEUE_HOST, '--', 'redis-cli', '--raw', ...words]);
  return {
    add: async (prefix, count) => {
      await redis('RPUSH', JOBS, ...Array.from({ length: count }, (_, index) => `${prefix}-${index}`));
    },
    doneBy: async (prefix, count, timeoutMs = 30_000) => {
      let lines: string[] = [];
      const all = async (): Promise<true | undefined> => {
        const done = (await redis('LRANGE', DONE, '0', '-1')).split('\n');
        lines = done.filter((line) => line.split(' ')[1]?.startsWith(`${prefix}-`));
        return lines.length >= count ? true : undefined;
      };
      const onTimeout = (): Error => new Error(`${lines.length} of ${count} jobs "${prefix}" are done`);
      await waitFor(all, { timeoutMs, intervalMs: 300, onTimeout });
      const by: Record<string, number> = {};
      for (const line of lines) {
        const [who = ''] = line.split(' ');
        by[who] = (by[who] ?? 0) + 1;
      }
      return by;
    },
  };
}
