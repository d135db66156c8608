import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'vitest';
import type { Change } from '../../../../cli/network/system/change.ts';
import { Journal } from '../../../../cli/network/system/journal.ts';
import { type JournalRecord, journalPath, ownMark, readJournal } from '../../../../cli/network/system/journal-file.ts';
import { undoLeftovers } from '../../../../cli/network/system/undo.ts';

let root: string;
let folder: string;
let resolvConf: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'journal-'));
  folder = join(root, 'run');
  resolvConf = join(root, 'resolv.conf');
});
afterEach(async () => rm(root, { recursive: true }));

const open = async (title = 'connect -n shop'): Promise<Journal> => await Journal.open(folder, title, resolvConf);
const file = (name: string): string => join(root, name);
const writing = (name: string): Change => ({
  what: name,
  apply: [{ kind: 'write', path: file(name), text: name }],
  undo: [{ kind: 'remove', path: file(name) }],
});

/** What a killed session leaves: its journal, and a holder that is gone. */
async function leave(undo: JournalRecord['undo']): Promise<void> {
  const pid = spawnSync('true').pid;
  const record: JournalRecord = { id: 'dead', holder: { pid, start: '1' }, title: 'dead', startedAtMs: 0, undo };
  await mkdir(folder, { recursive: true });
  await writeFile(journalPath(folder), JSON.stringify(record));
}

describe('a journal that cannot be read', () => {
  const HOLDER = '{"pid":1,"start":"1"}';
  const GARBAGE: readonly string[] = [
    '',
    'null',
    '[]',
    '\0\0\0\0',
    '{"id":"a","holder":{"pid":',
    '{"id":"a","undo":[]}',
    `{"holder":${HOLDER},"undo":[]}`,
    '{"id":"a","holder":{"pid":"1"},"undo":[]}',
    `{"id":"a","holder":${HOLDER},"undo":{}}`,
    `{"id":"a","holder":${HOLDER},"undo":[null]}`,
    `{"id":"a","holder":${HOLDER},"undo":[{"what":"x"}]}`,
    `{"id":"a","holder":${HOLDER},"undo":[{"what":"x","actions":[null]}]}`,
  ];

  test.each(GARBAGE)('is none: %j', async (text) => {
    await mkdir(folder);
    await writeFile(journalPath(folder), text);
    assert.equal(await readJournal(journalPath(folder)), undefined);
  });

  test('does not lock the laptop for ever', async () => {
    await mkdir(folder);
    await writeFile(journalPath(folder), '{"id":"a","hol');
    const journal = await open();
    assert.equal((await readJournal(journalPath(folder)))?.id, journal.id);
    await journal.close();
  });
});

describe('a session’s journal', () => {
  test('has the undo of a change before the change is made, and undoes from the end', async () => {
    const journal = await open();
    await journal.make(writing('first'));
    await journal.make({ ...writing('second'), undo: [{ kind: 'run', argv: ['mv', file('first'), file('moved')] }] });
    const written = await readJournal(journalPath(folder));
    assert.deepEqual(written?.holder, await ownMark());
    assert.deepEqual(
      written?.undo.map(({ what }) => what),
      ['first', 'second'],
    );
    assert.deepEqual(await journal.close(), { what: ['second', 'first'], failures: [] });
    assert.equal(await readFile(file('moved'), 'utf8'), 'first'); // else `first` had been removed before
    assert.equal(existsSync(folder), false);
    assert.deepEqual(await journal.close(), { what: [], failures: [] });
  });

  test('a change that fails half-way is undone at once and told, and the others stay', async () => {
    const journal = await open();
    await journal.make(writing('first'));
    const { what, apply, undo } = writing('half');
    const failing: Change = { what, apply: [...apply, { kind: 'run', argv: ['false'] }], undo };
    await assert.rejects(journal.make(failing), /^Error: half: false: ended with 1$/);
    assert.deepEqual([existsSync(file('first')), existsSync(file('half'))], [true, false]);
    assert.deepEqual(await journal.close(), { what: ['first'], failures: [] });
  });

  test('one change may be taken back before the end', async () => {
    const journal = await open();
    await journal.make(writing('first'));
    await journal.make(writing('second'));
    await journal.takeBack('first');
    assert.deepEqual([existsSync(file('first')), existsSync(file('second'))], [false, true]);
    assert.deepEqual(await journal.close(), { what: ['second'], failures: [] });
  });

  test('one that cannot be undone is told, and the others are undone', async () => {
    const journal = await open();
    await journal.make(writing('first'));
    await journal.make({ what: 'stuck', apply: [], undo: [{ kind: 'run', argv: ['false'] }] });
    assert.deepEqual(await journal.close(), { what: ['stuck', 'first'], failures: ['stuck: false: ended with 1'] });
    assert.equal(existsSync(file('first')), false);
  });

  test('keeps a second session out, which is told who holds the laptop', async () => {
    const journal = await open();
    await assert.rejects(open('connect -n other'), (error: Error & { code: string }) => {
      assert.equal(error.code, 'LAPTOP_IN_USE');
      assert.match(error.message, new RegExp(`"connect -n shop" \\(process ${process.pid}\\)`));
      return true;
    });
    await journal.close();
    await (await open('connect -n other')).close();
  });
});

describe('what a killed session left', () => {
  test('is undone once, by the next session or by anybody', async () => {
    await writeFile(file('left'), '');
    const undo = [{ what: 'left', actions: writing('left').undo }];
    await leave(undo);
    assert.deepEqual(await undoLeftovers({ folder, resolvConf }), { what: ['left'], failures: [] });
    assert.deepEqual([existsSync(file('left')), existsSync(folder)], [false, false]);
    assert.deepEqual(await undoLeftovers({ folder, resolvConf }), { what: [], failures: [] });
    await writeFile(file('left'), '');
    await leave(undo);
    const journal = await open();
    assert.equal(existsSync(file('left')), false);
    await journal.close();
  });

  test('is undone, too, when the one that had begun to undo it was killed', async () => {
    await leave([{ what: 'left', actions: writing('left').undo }]);
    await writeFile(file('left'), '');
    const { pid } = spawnSync('true');
    await writeFile(join(folder, `undoing.${pid}.1.json`), await readFile(journalPath(folder)));
    await rm(journalPath(folder));
    assert.deepEqual(await undoLeftovers({ folder, resolvConf }), { what: ['left'], failures: [] });
    assert.equal(existsSync(file('left')), false);
  });

  test('is nothing while the session runs, nor another’s for a guardian', async () => {
    const journal = await open();
    await journal.make(writing('mine'));
    assert.deepEqual(await undoLeftovers({ folder, resolvConf }), { what: [], failures: [] });
    await journal.close();
    await leave([{ what: 'left', actions: [] }]);
    assert.deepEqual(await undoLeftovers({ folder, resolvConf, onlyId: journal.id }), { what: [], failures: [] });
    assert.equal(existsSync(journalPath(folder)), true);
  });

  test('an action that this version does not know is passed over', async () => {
    await leave([{ what: 'of tomorrow', actions: [JSON.parse('{"kind":"of-tomorrow"}')] }]);
    assert.deepEqual(await undoLeftovers({ folder, resolvConf }), { what: ['of tomorrow'], failures: [] });
  });
});
