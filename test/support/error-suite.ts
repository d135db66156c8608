import assert from 'node:assert/strict';
import { afterAll, beforeAll, type TestContext, test as vitestTest } from 'vitest';
import type { ErrorCode } from '../../src/errors.ts';
import { useCluster } from './cluster.ts';
import { FailingBench, type FailOptions } from './failing-run.ts';
import type { TestKubeconfig } from './test-user.ts';

/** One command that must fail, and what it must say. */
export interface Case extends FailOptions {
  /** The sentence that names the test. */
  readonly name: string;
  readonly args: readonly string[];
  readonly code: ErrorCode;
  readonly message: RegExp;
  readonly hint: RegExp;
}

export interface ErrorSuite {
  /** Not run, with the reason, where there is no cluster. */
  readonly test: (name: string, body: (bench: FailingBench) => Promise<void>) => void;
  readonly cases: (rows: readonly Case[]) => void;
}

/**
 * A file of tests of errors, with a namespace `errors-…` and a laptop of its own.
 * @param setUp makes what the commands meet. @returns undoes what is not in the namespace
 */
export async function errorSuite(setUp: (bench: FailingBench) => Promise<() => Promise<unknown>>): Promise<ErrorSuite> {
  const found = await useCluster();
  let bench: FailingBench | undefined;
  let undo: (() => Promise<unknown>) | undefined;
  beforeAll(async () => {
    if ('notRun' in found) return;
    bench = await FailingBench.open(found, 'errors');
    undo = await setUp(bench);
  });
  afterAll(async () => {
    await undo?.();
    await bench?.[Symbol.asyncDispose]();
  });
  const test: ErrorSuite['test'] = (name, body) => {
    vitestTest(name, async (context: TestContext) => {
      if ('notRun' in found) return context.skip(found.notRun);
      assert.ok(bench !== undefined, 'the bench is open');
      await body(bench);
    });
  };
  const cases: ErrorSuite['cases'] = (rows) => {
    for (const { name, args, code, message, hint, ...options } of rows)
      test(name, async (bench) => {
        const failure = await bench.fail(args, options);
        assert.equal(failure.code, code, failure.run.transcript);
        assert.match(failure.message, message);
        assert.match(failure.hint, hint);
      });
  };
  return { test, cases };
}

/** A kubeconfig whose users have these credentials. */
export function withUser(config: TestKubeconfig, user: Record<string, unknown>): TestKubeconfig {
  return { ...config, users: config.users.map(({ name }) => ({ name, user })) };
}

/** A command that would begin a session. */
export const WITH_COMMAND = ['--', 'node', '-e', ''];
