// Started by files-full-disk.test.ts on a disk of 1 MiB: `full-disk.ts <folder> start|later`. Prints what it saw as JSON.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startFiles } from '../../../cli/session/files/files.ts';
import type { CopiedFiles } from '../../../cli/session/files/types.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { silentLog } from '../../../src/log.ts';
import { until } from '../../support/until.ts';
import { PodDouble, SourceDouble } from './pod-files.ts';

const [, , folder = '', scenario] = process.argv;
const TOO_BIG = 'x'.repeat(3 * 1024 ** 2);
const warnings: string[] = [];
let files: CopiedFiles | undefined;
const pod = new PodDouble('web-1', (name) => files?.changed(name));
pod.put('/etc/config/a', '1');

async function start(): Promise<CopiedFiles> {
  files = await startFiles({
    source: new SourceDouble(pod.tunnel),
    sessionId: 'abc',
    exclude: [],
    report: (event) => {
      if (event.event === 'warning') warnings.push(event.message);
    },
    log: silentLog,
    signal: AbortSignal.timeout(20_000),
  });
  return files;
}

const left = (): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

async function fullAtStart(): Promise<unknown> {
  pod.put('/etc/config/big', TOO_BIG);
  try {
    await start();
    return 'started';
  } catch (error) {
    if (!(error instanceof InterceptorError)) throw error;
    const { code, message, hint = '' } = error;
    return {
      code,
      saysFull: message.includes('the disk is full (ENOSPC)'),
      hint: hint.includes('make room'),
      left: left(),
    };
  }
}

async function fullLater(): Promise<unknown> {
  const { root } = await start();
  const read = (name: string): string => {
    const path = join(root, 'etc/config', name);
    return existsSync(path) ? readFileSync(path, 'utf8') : 'undefined';
  };
  const both = (): unknown => ({ a: read('a'), big: read('big') });
  pod.put('/etc/config/a', '2');
  pod.put('/etc/config/big', TOO_BIG);
  pod.tellChanged();
  await until(() => warnings.length > 0, 'a warning');
  const afterFull = both();
  const staged = readdirSync(join(root, '..', 'staging'));
  pod.put('/etc/config/big', 'xxx');
  pod.tellChanged();
  await until(() => read('big') === 'xxx', 'the small file arrives');
  const seen = {
    saysFull: warnings.join().includes('the disk is full (ENOSPC)'),
    afterFull,
    staged,
    afterRoom: both(),
  };
  await files?.close();
  return { warnings: warnings.length, ...seen, left: left() };
}

const seen = scenario === 'start' ? await fullAtStart() : await fullLater();
await pod.close();
process.stdout.write(JSON.stringify(seen));
