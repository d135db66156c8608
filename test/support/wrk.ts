import { setTimeout as sleep } from 'node:timers/promises';
import type { Caller, ExecResult } from './cluster.ts';

/** What wrk counted: answers by their first word, and every kind of failure it knows. */
export interface WrkReport {
  readonly requests: number;
  readonly by: Readonly<Record<string, number>>;
  readonly errors: {
    readonly connect: number;
    readonly read: number;
    readonly write: number;
    readonly status: number;
    readonly timeout: number;
  };
  /** Microseconds; includes the pause before each request. */
  readonly maxLatencyUs: number;
}

/**
 * Pauses before each request: unbounded load on the one node would measure how a rollout starves, not what is lost. Every
 * 20th request ends its connection, as callers' pools do after a while: an open one stays with who answers it.
 */
const script = (pauseMs: number): string => `
local who = {}
function init() keeping = wrk.format() closing = wrk.format(nil, nil, { Connection = 'close' }) count = 0 end
function request()
  count = count + 1
  if count % 20 == 0 then return closing end
  return keeping
end
function delay() return ${pauseMs} end
function setup(thread) worker = thread end
function response(status, headers, body)
  local name = status .. ' ' .. (body:match('^%w+') or '')
  if status == 200 then name = body:match('^%w+') or 'empty' end
  who[name] = (who[name] or 0) + 1
  names = ''
  for k, v in pairs(who) do names = names .. string.format('%q:%d,', k, v) end
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('WRK {"requests":%d,"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d},"maxLatencyUs":%d,"by":{%s}}\\n',
    summary.requests, e.connect, e.read, e.write, e.status, e.timeout, latency.max, (worker:get('names') or ''):sub(1, -2)))
end
`;

const MAX_SECONDS = 200;

/** wrk at work; it goes on until somebody stops it. */
export class WrkRun {
  readonly #caller: Caller;
  readonly #result: Promise<ExecResult>;
  readonly #startedAt = performance.now();

  /** Starts wrk in the caller pod. */
  constructor(caller: Caller, url: string, options: { connections: number; pauseMs: number }) {
    const { connections, pauseMs } = options;
    const run = `cat > /tmp/wrk.lua && echo $$ > /tmp/wrk.pid && exec wrk -t1 -c${connections} -d${MAX_SECONDS}s --timeout 5s -s /tmp/wrk.lua ${url}`;
    this.#caller = caller;
    this.#result = caller.exec(['sh', '-c', run], { input: script(pauseMs), timeoutMs: (MAX_SECONDS + 30) * 1000 });
    this.#result.catch(() => {}); // told by stop()
  }

  /** Lets it run for `atLeastMs` from its start, then ends it. @throws when wrk could not run; failed requests are in the report */
  async stop(atLeastMs: number): Promise<WrkReport> {
    await sleep(Math.max(0, this.#startedAt + atLeastMs - performance.now())); // how long the load lasts, not a guess
    await this.#caller.exec(['sh', '-c', 'kill -INT $(cat /tmp/wrk.pid)']); // it may have ended by itself: its output tells
    const result = await this.#result;
    const json = /^WRK (.*)$/m.exec(result.stdout)?.[1];
    if (json === undefined) throw new Error(`wrk ended with ${result.code}:\n${result.stdout}\n${result.stderr}`);
    return JSON.parse(json);
  }
}
