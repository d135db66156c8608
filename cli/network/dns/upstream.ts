/** Somebody who answers DNS questions. */
export interface Upstream {
  /**
   * Asks a question as it stands; its id is the upstream's to choose.
   * @returns the answer, under any id; its own copy of the bytes
   * @throws Error when there is none: nobody can be reached, none in time, the signal's reason
   */
  ask(message: Buffer, signal: AbortSignal): Promise<Buffer>;
}
