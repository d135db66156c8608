// A debugger, as an IDE is one: attaches to the inspector at <host:port>, pauses the process, says `paused`, waits for a line on
// stdin, lets it go on, and says `continued <what an expression gives>`.
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly result?: { readonly result?: { readonly value?: unknown } };
}

const [address = '', expression = ''] = process.argv.slice(2);
const targets: unknown = await (await fetch(`http://${address}/json/list`)).json();
const url = Array.isArray(targets) ? String(targets[0].webSocketDebuggerUrl) : '';
const socket = new WebSocket(url);
const seen: Message[] = [];
const waiting = new Set<() => void>();
socket.on('message', (data) => {
  seen.push(JSON.parse(String(data)));
  for (const wake of [...waiting]) wake();
});
await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));

async function until(matches: (message: Message) => boolean): Promise<Message> {
  for (;;) {
    const found = seen.find(matches);
    if (found !== undefined) return found;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        waiting.delete(wake);
        resolve();
      };
      waiting.add(wake);
    });
  }
}

let lastId = 0;
async function ask(method: string, params: object = {}): Promise<Message> {
  lastId += 1;
  const id = lastId;
  socket.send(JSON.stringify({ id, method, params }));
  return await until((message) => message.id === id);
}

await ask('Runtime.enable');
await ask('Debugger.enable');
await ask('Debugger.pause');
await until(({ method }) => method === 'Debugger.paused'); // at the next statement: something must run there
process.stdout.write('paused\n');
await new Promise((resolve) => createInterface(process.stdin).once('line', resolve));
await ask('Debugger.resume');
await until(({ method }) => method === 'Debugger.resumed');
const { result } = await ask('Runtime.evaluate', { expression });
process.stdout.write(`continued ${String(result?.result?.value)}\n`);
socket.terminate();
process.exit();
