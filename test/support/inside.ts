// Commands that run inside a session, as what comes after `--` does.
import { chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleProgram } from './bundle.ts';
import { type InterceptRun, startIntercept } from './intercept-run.ts';
import type { LaptopResult } from './laptop.ts';
import type { Scene } from './scene.ts';

const START_TIMEOUT_MS = 120_000;
const TIMEOUT_MS = 60_000;

/** A session whose command runs other commands. */
export class Inside {
  readonly session: InterceptRun;
  #lastId = 0;

  private constructor(session: InterceptRun) {
    this.session = session;
  }

  /**
   * Starts `intercept <args> -- …` on the scene's laptop.
   * @param args for example run web --network namespace
   */
  static async start(
    scene: Scene,
    args: readonly string[],
    options: { env?: Readonly<Record<string, string>> } = {},
  ): Promise<Inside> {
    const { laptop, namespace } = scene;
    const shell = join(laptop.home, 'inside-shell.mjs');
    await writeFile(shell, await bundleProgram('inside-shell'));
    await chown(shell, laptop.uid, laptop.uid);
    const session = await startIntercept(laptop, [...args, '--', process.execPath, shell], { namespace, ...options });
    const inside = new Inside(session);
    try {
      await session.untilOutput('{"id":0}', START_TIMEOUT_MS);
    } catch (cause) {
      session.child.kill('SIGTERM');
      throw cause;
    }
    return inside;
  }

  /** Runs a command inside to its end, killing it after `timeoutMs`, 60 s by default. */
  async run(
    command: readonly string[],
    { timeoutMs = TIMEOUT_MS, input = '' }: { timeoutMs?: number; input?: string } = {},
  ): Promise<LaptopResult> {
    this.#lastId += 1;
    const id = this.#lastId;
    this.session.child.stdin?.write(`${JSON.stringify({ id, command, timeoutMs, input })}\n`);
    const answer = new RegExp(`^\\{"id":${id},.*\\}(?=\n)`, 'm');
    return JSON.parse(await this.session.untilOutputMatch(answer, command.join(' '), timeoutMs + 10_000));
  }

  /** What a command prints. @throws with what it said on stderr, and what the session said, when its exit code is not 0 */
  async read(command: readonly string[], options?: { timeoutMs?: number; input?: string }): Promise<string> {
    const result = await this.run(command, options);
    if (result.code === 0) return result.stdout;
    throw new Error(
      `${command.join(' ')}: ${result.code ?? result.signal}\n${result.stdout}${result.stderr}\n${this.session.transcript}`,
    );
  }

  /** Ends the session as Ctrl-C does. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.session.child.stdin?.end();
    this.session.child.kill('SIGINT');
    await this.session.exited;
  }
}
