#!/usr/bin/env -S node --
// "--": Node 20 to 26 take an --env-file anywhere behind the script for their own, and end when there is no such file.
import { ERRORS } from '../src/errors.ts';
import { redact } from '../src/redact.ts';
import { VERSION } from '../src/version.ts';

// Node's own deprecation notices are for us, not for the people who use this command.
process.noDeprecation = true;

// Node would print the error with all of its fields, and a library's may hold a request and its headers. The guardian restores.
process.once('uncaughtException', (thrown) => {
  const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  process.stderr.write(`error: ${redact(text)}\nhint: this is a bug of kube-intercept: report it\ncode: INTERNAL\n`);
  process.exit(ERRORS.INTERNAL.exitCode);
});

// Whoever read us has gone (`| head`, a closed terminal): nobody is told any more, and what is under way is brought to its end.
for (const out of [process.stdout, process.stderr])
  out.on('error', (error: NodeJS.ErrnoException) => {
    const isOther = error.code !== 'EPIPE' && error.code !== 'EIO'; // ENOSPC: half a file must not look like a whole one
    if (isOther && out.listenerCount('error') === 1) throw error; // a session has a listener of its own, and restores first
  });

// The answer to --version needs nothing loaded.
if (process.argv.length === 3 && (process.argv[2] === '--version' || process.argv[2] === '-V')) {
  process.stdout.write(`${VERSION}\n`);
} else {
  const { runProgram } = await import('./program.ts');
  process.exitCode = await runProgram(process.argv);
}
