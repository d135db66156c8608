import type { Caller } from './cluster.ts';

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

/** Pauses before each request: unbounded load on the one node would measure how a rollout starves, not what is lost. */
const script = (pauseMs: number): string => `
local who = {}
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

/** Runs wrk in the caller pod on kept connections. @throws when wrk cannot run; failed requests are in the report */
export async function runWrk(
  caller: Caller,
  url: string,
  options: { seconds: number; connections: number; pauseMs: number },
): Promise<WrkReport> {
  const { seconds, connections, pauseMs } = options;
  const run = `cat > /tmp/wrk.lua && exec wrk -t1 -c${connections} -d${seconds}s --timeout 5s -s /tmp/wrk.lua ${url}`;
  const result = await caller.exec(['sh', '-c', run], {
    input: script(pauseMs),
    timeoutMs: (seconds + 60) * 1000,
  });
  const json = /^WRK (.*)$/m.exec(result.stdout)?.[1];
  if (json === undefined) throw new Error(`wrk ended with ${result.code}:\n${result.stdout}\n${result.stderr}`);
  return JSON.parse(json);
}
