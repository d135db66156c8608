// Runs in the caller pod: requests of several kinds, mixed on fresh and on kept connections, to one Service whose servers answer as
// APP_CODE does. `<plan as JSON>`; ends after `count` requests, or at SIGINT. Says a MixedReport as JSON on stdout.
import { writeFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';

/** Kinds of requests, told apart by their fields and path. */
export interface MixedPlan {
  readonly url: string;
  readonly kinds: Readonly<Record<string, MixedKind>>;
  /** Requests in all; absent: until SIGINT. */
  readonly count?: number;
  readonly atOnce: number;
  /** Between one request of a worker and its next. */
  readonly pauseMs: number;
  readonly seed: number;
  readonly pidFile: string;
  /** Written once every kind has been answered. */
  readonly begunFile: string;
}

export interface MixedKind {
  readonly fields: Readonly<Record<string, string>>;
  /** What the target begins with; default `/`. */
  readonly path?: string;
}

export interface MixedReport {
  readonly requests: number;
  readonly kept: number;
  /** By kind, then by who answered: the first word of the answer. */
  readonly by: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Pods and laptops that answered. */
  readonly hosts: readonly string[];
  /** Requests without an answer, or with that to another; the first hundred. */
  readonly failures: readonly string[];
}

const DEADLINE_MS = 20_000;
const MAX_BODY_BYTES = 20_000;
const plan: MixedPlan = JSON.parse(process.argv[2] ?? '');
const kinds = Object.entries(plan.kinds);
const keeping = new Agent({ keepAlive: true, maxSockets: plan.atOnce });
const by: Record<string, Record<string, number>> = {};
const hosts = new Set<string>();
const failures: string[] = [];
let [requests, kept] = [0, 0];
let [ended, told] = [false, false];
let state = plan.seed;

/** 0 … n-1 (mulberry32). */
function random(n: number): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
}

/** Sends one request and reads its answer. @returns what is wrong with it */
async function ask(kind: MixedKind, id: number, fresh: boolean): Promise<readonly [who: string, host: string]> {
  const path = `${kind.path ?? '/'}${id}`;
  const [method, chunked] = [['GET', 'POST', 'PUT'][random(3)] ?? 'GET', random(2) === 0];
  const body = Buffer.alloc(method === 'GET' ? 0 : random(MAX_BODY_BYTES), id % 256);
  const length = method === 'GET' || chunked ? {} : { 'Content-Length': body.length };
  const sent = request(plan.url, {
    method,
    path,
    agent: fresh ? false : keeping,
    headers: { ...kind.fields, ...length },
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve).once('error', reject);
    if (body.length > 1) {
      sent.write(body.subarray(0, body.length >> 1));
      sent.end(body.subarray(body.length >> 1));
    } else sent.end(body);
  });
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  const [who = '', host = '', ...rest] = text.trim().split(' ');
  if (response.statusCode !== 200 || rest.join(' ') !== `${method} ${path} ${body.length}`)
    throw new Error(`${method} ${path} ${body.length} was answered ${response.statusCode} ${text.slice(0, 200)}`);
  return [who, host];
}

async function work(): Promise<void> {
  while (!ended && requests < (plan.count ?? Number.POSITIVE_INFINITY)) {
    const id = requests++;
    const [name, kind] = kinds[random(kinds.length)] ?? ['', { fields: {} }];
    const fresh = random(2) === 0;
    if (!fresh) kept += 1;
    try {
      const [who, host] = await ask(kind, id, fresh);
      by[name] ??= {};
      const answers = by[name];
      answers[who] = (answers[who] ?? 0) + 1;
      hosts.add(host);
      if (!told && Object.keys(by).length === kinds.length) {
        told = true;
        writeFileSync(plan.begunFile, '');
      }
    } catch (error) {
      const text = error instanceof Error ? `${error.message}` : String(error);
      if (failures.length < 100)
        failures.push(`${new Date().toISOString()} ${name} ${fresh ? 'fresh' : 'kept'}: ${text}`);
    }
    if (plan.pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, plan.pauseMs));
  }
}

process.on('SIGINT', () => {
  ended = true;
});
writeFileSync(plan.pidFile, String(process.pid));
await Promise.all(Array.from({ length: plan.atOnce }, work));
keeping.destroy();
const report: MixedReport = { requests, kept, by, hosts: [...hosts].sort(), failures };
console.log(JSON.stringify(report));
