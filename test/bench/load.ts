import type { Caller } from '../support/cluster.ts';

/** wrk from the caller's pod over kept connections: milliseconds of the 50th and 99th percentile, and requests a second. */
export async function load(
  caller: Caller,
  url: string,
  connections: number,
  seconds: number,
  fields: readonly string[] = [],
): Promise<{ p50: number; p99: number; rate: number }> {
  const headers = fields.flatMap((field) => ['-H', field]);
  const command = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', ...headers, url];
  const { stdout, stderr } = await caller.exec(command, { timeoutMs: (seconds + 30) * 1000 });
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1];
  if (rate === undefined || /Non-2xx/.test(stdout)) throw new Error(`wrk ${url}: ${stdout}${stderr}`);
  const latency = (percent: number): number => {
    const [, value, unit] = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout) ?? [];
    return Number(value) * (unit === 'us' ? 0.001 : unit === 's' ? 1000 : 1);
  };
  return { p50: latency(50), p99: latency(99), rate: Number(rate) };
}
