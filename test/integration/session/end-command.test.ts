import assert from 'node:assert/strict';
import { test } from 'vitest';
import { Command } from '../../../cli/session/command.ts';
import { endCommand } from '../../../cli/session/end-command.ts';
import type { SessionEvent } from '../../../cli/ui/events.ts';

const env = { PATH: process.env.PATH ?? '' };
const byCtrlC = { reason: 'Ctrl-C', exitCode: 130, signal: 'SIGINT' } as const;

test('of a command that ignores Ctrl-C it is told what is waited for, and another Ctrl-C ends it', async () => {
  const command = await Command.start(['sh', '-c', 'trap "" INT; while :; do sleep 0.05; done'], env);
  const forcing = new AbortController();
  const told: SessionEvent[] = [];
  const report = (event: SessionEvent): void => {
    told.push(event);
    forcing.abort(new Error('a second Ctrl-C'));
  };
  const { signal: forced } = forcing;
  // Before sh has set its trap a signal would end it: as a terminal does it, the command has had the signal already.
  const leave = { ...byCtrlC, signal: 'SIGURG' } as const;
  const end = await endCommand(command, leave, { forced, report, tellAfterMs: 20 });
  assert.equal(end.text, 'ended by SIGKILL');
  assert.deepEqual(told, [
    { event: 'waiting', for: `the command (pid ${command.pid}) to end; Ctrl-C ends it at once` },
  ]);
});

test('of a command that ends at once nothing is told', async () => {
  const command = await Command.start(['sleep', '60'], env);
  const told: SessionEvent[] = [];
  const { signal: forced } = new AbortController();
  const end = await endCommand(command, byCtrlC, { forced, report: (event) => void told.push(event) });
  assert.deepEqual([end.text, told], ['ended by SIGINT', []]);
});
