// The command of a session in the tests of the network: runs what it is told on stdin, one JSON order a line, and answers each
// with a JSON line on stdout. So one session serves many tests, and each of them names the programs it is about.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

interface Order {
  readonly id: number;
  readonly command: readonly string[];
  readonly timeoutMs: number;
  readonly input: string;
}

function run({ id, command, timeoutMs, input }: Order): void {
  const [file = '', ...args] = command;
  const child = spawn(file, args, { stdio: 'pipe', timeout: timeoutMs, killSignal: 'SIGKILL' });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  child.stdin.on('error', () => {}); // EPIPE: it did not want its input
  child.stdin.end(input);
  const tell = (result: object): void => {
    process.stdout.write(`${JSON.stringify({ id, ...output, ...result })}\n`);
  };
  child.once('error', (error) => tell({ code: null, stderr: String(error) }));
  child.once('close', (code, signal) => tell({ code, signal }));
}

process.stdout.write('{"id":0}\n');
for await (const line of createInterface(process.stdin)) run(JSON.parse(line));
