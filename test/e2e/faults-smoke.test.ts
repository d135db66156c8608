// The most telling cells of the fault matrix (test/faults), by the same code; the whole of it is `npm run test:faults`.
import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type CellResult, runCell } from '../faults/cell.ts';
import { faultNamed, seededRandom } from '../faults/faults.ts';
import { QUICK_SIZE } from '../faults/load.ts';
import { notesOf } from '../faults/report.ts';
import { Setting } from '../faults/setting.ts';
import { clusterOrUndefined } from '../support/scene.ts';

const cluster = await clusterOrUndefined();
const REPEAT_MS = 8_000;

let setting: Setting;

describe.skipIf(cluster === undefined)('under requests, the targets of the fault matrix are met', () => {
  beforeAll(async () => {
    if (cluster !== undefined) setting = await Setting.open(cluster);
  });
  afterAll(async () => setting?.[Symbol.asyncDispose]());

  async function cell(faultName: string): Promise<CellResult> {
    const seed = Date.now() % 1_000_000;
    const fault = faultNamed(faultName);
    const size = { ...QUICK_SIZE, requestsPerSecond: 50 };
    const result = await runCell(setting, {
      fault,
      load: 'http',
      size,
      repeatMs: REPEAT_MS,
      random: seededRandom(seed),
    });
    console.log(`seed ${seed}\n${notesOf([result])}`);
    assert.deepEqual(result.missed, [], `${notesOf([result])}\n${result.transcript}`);
    return result;
  }

  test('when the carrier is reset at a random byte of every two seconds: no request fails', async () => {
    await cell('carrier-reset');
  });

  test('when the session is killed with kill -9: the app answers within 5 s, and everything is restored', async () => {
    await cell('session-kill');
  });

  test('when a colleague puts the Service back: nobody is left without an answer', async () => {
    const { figures } = await cell('service-edit');
    assert.equal(figures?.failedRequests, 0);
  });

  test.skipIf(cluster?.own !== true)(
    'when an agent is killed with kill -9: its pod comes back to the laptop',
    async () => {
      await cell('agent-kill');
    },
  );
});
