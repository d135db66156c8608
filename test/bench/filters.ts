import { createServer } from 'node:http';
import type { TestNamespace } from '../support/cluster.ts';
import { KEY_FIELD, openManySessions } from '../support/many-sessions.ts';
import { APP_PORT } from '../support/workloads.ts';
import { load } from './load.ts';
import type { BenchSize } from './main.ts';
import { startSession } from './session.ts';
import { compare, median, type Row } from './stats.ts';

/** The workload of these measurements: one pod, so that all intercepts are on one agent. */
export const FILTERED = 'filtered';
/** Filtered intercepts on one port, in the end. */
const MANY = 250;
const CONNECTIONS = 32;
/** Few, so that p99 tells of the mirror and not of a full machine. */
const QUIET_CONNECTIONS = 2;

/** What filters, and mirrors whose laptop does not read, cost: requests a second, and the slowest of a hundred. */
export async function measureFilters(namespace: TestNamespace, size: BenchSize): Promise<Row[]> {
  const caller = await namespace.caller();
  const process_ = await startProcess();
  const args = [FILTERED, '--port', String(process_.port)];
  const measured: Record<string, number[]> = {};
  const note = (name: string, value: number): void => {
    measured[name] = [...(measured[name] ?? []), value];
  };
  const rate = async (fields: readonly string[] = []): Promise<number> =>
    (await load(caller, `http://${FILTERED}/`, CONNECTIONS, size.loadSeconds, fields)).rate;
  const quietP99 = async (): Promise<number> =>
    (await load(caller, `http://${FILTERED}/`, QUIET_CONNECTIONS, size.loadSeconds)).p99;
  const own = [`${KEY_FIELD}: own`];

  /** With a session of these options, which leaves the agent. */
  const during = async (options: readonly string[], work: () => Promise<void>): Promise<void> => {
    const run = startSession(namespace, [...args, ...options, '--keep-agent']);
    try {
      await run.until('ready', 120_000);
      await work();
    } finally {
      await run.interrupt();
    }
  };

  try {
    // In turns: a machine that has other work for a while has it for all of them.
    for (let i = 0; i < size.repeats; i++) {
      await during([], async () => note('unfiltered', await rate()));
      await during(['--header', own[0] ?? ''], async () => {
        note('own1', await rate(own));
        note('app1', await rate());
        await using _ = await openManySessions(namespace, FILTERED, {
          count: MANY - 1,
          prefix: 'many',
          appPort: APP_PORT,
        });
        note('own250', await rate(own));
        note('app250', await rate());
      });
      note('mirrorless99', await quietP99());
      await during(['--mirror'], async () => {
        process_.stall();
        note('mirror99', await quietP99());
        process_.goOn();
      });
    }
  } finally {
    process_.close();
    await startSession(namespace, ['leave', FILTERED, '--everyone']).exited;
  }
  const value = (name: string): number => median(measured[name] ?? []);
  return [
    compare(
      'requests/s to the laptop, filtered beside unfiltered',
      value('own1'),
      value('unfiltered'),
      '/s',
      undefined,
    ),
    compare(`requests/s to the laptop, ${MANY} filtered intercepts beside 1`, value('own250'), value('own1'), '/s', {
      atLeast: 0.8,
    }),
    compare(`requests/s to the app, ${MANY} filtered intercepts beside 1`, value('app250'), value('app1'), '/s', {
      atLeast: 0.8,
    }),
    compare(
      'request p99 with a mirror that does not read, beside none',
      value('mirror99'),
      value('mirrorless99'),
      'ms',
      {
        atMost: 1.1,
      },
    ),
  ];
}

interface Process {
  readonly port: number;
  /** Takes connections and reads nothing any more. */
  stall(): void;
  goOn(): void;
  close(): void;
}

async function startProcess(): Promise<Process> {
  let stalled = false;
  const server = createServer((_request, response) => response.end('hello\n'));
  server.on('connection', (socket) => {
    if (stalled) socket.pause();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    stall: () => {
      stalled = true;
    },
    goOn: () => {
      stalled = false;
      server.closeAllConnections();
    },
    close: () => server.close(),
  };
}
