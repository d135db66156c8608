import { applyChanges, type Change, changeOf, type Json, ownChange, type PathStep } from './changes.ts';

/** An object being changed step by step, and the record of it. The object given is only read. */
export class ChangeList<T> {
  #object: T;
  readonly #changes: Change[] = [];

  constructor(object: T) {
    this.#object = object;
  }

  get object(): T {
    return this.#object;
  }

  get changes(): readonly Change[] {
    return this.#changes;
  }

  /** Brings a value of others to `now`; nothing is recorded where it is that already. */
  set(path: readonly PathStep[], now: Json | undefined): void {
    const change = changeOf(this.#object, path, now);
    if (change !== undefined) this.#add(change);
  }

  /** Adds (or replaces) a value of our own; `at`: the index of a list element, which is the last one without it. */
  own(path: readonly PathStep[], now: Json, at?: number): void {
    this.#add(ownChange(this.#object, path, now, at));
  }

  #add(change: Change): void {
    this.#changes.push(change);
    this.#object = applyChanges(this.#object, [change]);
  }
}
