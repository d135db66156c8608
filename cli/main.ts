#!/usr/bin/env -S node --
// "--": Node 20 to 26 take an --env-file anywhere behind the script for their own, and end when there is no such file.
import { VERSION } from '../src/version.ts';

// Node's own deprecation notices are for us, not for the people who use this command.
process.noDeprecation = true;

// The answer to --version needs nothing loaded.
if (process.argv.length === 3 && (process.argv[2] === '--version' || process.argv[2] === '-V')) {
  process.stdout.write(`${VERSION}\n`);
} else {
  const { runProgram } = await import('./program.ts');
  process.exitCode = await runProgram(process.argv);
}
