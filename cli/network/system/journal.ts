import { randomUUID } from 'node:crypto';
import { errorText, InterceptorError, systemErrorCode } from '../../../src/errors.ts';
import type { Change } from './change.ts';
import {
  claimJournal,
  type JournalRecord,
  ownMark,
  prepareFolder,
  removeJournal,
  writeJournal,
} from './journal-file.ts';
import { perform } from './perform.ts';
import { systemHolder, type Undone, undoLeftovers, undoRecord } from './undo.ts';

/** The changes of a running system mode: each is written down with its undo before it is made. */
export class Journal {
  readonly #folder: string;
  #record: JournalRecord;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(folder: string, record: JournalRecord) {
    this.#folder = folder;
    this.#record = record;
  }

  /**
   * Makes this process the holder of the laptop; what a killed one left is undone first.
   * @param title who we are, for the one that comes second
   * @throws InterceptorError LAPTOP_IN_USE
   */
  static async open(folder: string, title: string, resolvConf?: string): Promise<Journal> {
    const record = { id: randomUUID(), holder: await ownMark(), title, startedAtMs: Date.now(), undo: [] };
    await undoLeftovers({ folder, ...(resolvConf === undefined ? {} : { resolvConf }) });
    await prepareFolder(folder);
    try {
      await writeJournal(folder, record, true);
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
      throw inUse(await systemHolder(folder));
    }
    return new Journal(folder, record);
  }

  get id(): string {
    return this.#record.id;
  }

  /** Writes the undo down, then makes the change; one that fails half-way is undone at once. */
  async make(change: Change): Promise<void> {
    await this.#inTurn(async () => {
      await this.#write([...this.#record.undo, { what: change.what, actions: change.undo }]);
      try {
        for (const action of change.apply) await perform(action);
      } catch (error) {
        const last = this.#record.undo.slice(-1);
        await undoRecord({ ...this.#record, undo: last });
        await this.#write(this.#record.undo.slice(0, -1));
        throw new Error(`${change.what}: ${errorText(error)}`, { cause: error });
      }
    });
  }

  /** Takes one change back before the end. */
  async takeBack(what: string): Promise<void> {
    await this.#inTurn(async () => {
      const undo = this.#record.undo.filter((step) => step.what === what);
      await undoRecord({ ...this.#record, undo });
      await this.#write(this.#record.undo.filter((step) => step.what !== what));
    });
  }

  /** Undoes everything, last first, and gives the laptop free. */
  async close(): Promise<Undone> {
    return await this.#inTurn(async () => {
      const claimed = await claimJournal(this.#folder, this.#record.id, this.#record.holder);
      if (claimed === undefined) return { what: [], failures: [] }; // closed before, or undone by somebody else
      const undone = await undoRecord(this.#record);
      await removeJournal(claimed);
      return undone;
    });
  }

  async #write(undo: JournalRecord['undo']): Promise<void> {
    const record = { ...this.#record, undo };
    await writeJournal(this.#folder, record, false);
    this.#record = record;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {}); // the caller is told
    return done;
  }
}

function inUse(holder: JournalRecord | undefined): InterceptorError {
  const who = holder === undefined ? 'another process' : `"${holder.title}" (process ${holder.holder.pid})`;
  const since = holder === undefined ? '' : ` since ${new Date(holder.startedAtMs).toLocaleTimeString('en-GB')}`;
  return new InterceptorError('LAPTOP_IN_USE', `this laptop is connected already: ${who}${since}`, {
    hint: holder === undefined ? 'try again' : `end it first: sudo kill ${holder.holder.pid}, or Ctrl-C where it runs`,
  });
}
