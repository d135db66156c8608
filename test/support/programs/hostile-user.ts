// Runs on the laptop of test/e2e/hostile-user.test.ts as somebody else, or as a page in the user's own browser would: tries what
// its arguments (JSON of Targets, and of the attempts to make, by default all) name, and prints a JSON object of attempts and what became of them.
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { connect, type NetConnectOpts } from 'node:net';

export interface Targets {
  readonly proxyPort: number;
  readonly toPodPort: number;
  readonly pids: readonly number[];
  readonly folders: readonly string[];
  readonly files: readonly string[];
  readonly sockets: readonly string[];
}

const targets: Targets = JSON.parse(process.argv[3] ?? '');
const HOST = '127.0.0.1';
const DEADLINE_MS = 10_000;
/** How long an answer to a datagram is waited for; one that is given comes at once. */
const DATAGRAM_MS = 1_500;

/** Says something and tells all that is answered until the other side ends, as latin1; or the error's code. */
async function talk(to: NetConnectOpts, ...said: readonly (Buffer | string)[]): Promise<string> {
  return await new Promise((resolve) => {
    const socket = connect(to);
    let heard = '';
    socket.setTimeout(DEADLINE_MS, () => {
      resolve(`still open: ${heard}`);
      socket.destroy();
    });
    const sayNext = (): void => {
      const next = said[rounds++];
      if (next !== undefined) socket.write(next);
    };
    let rounds = 0;
    socket.once('connect', sayNext);
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
      sayNext();
    });
    socket.once('end', () => socket.end());
    socket.once('error', (error: NodeJS.ErrnoException) =>
      resolve(heard === '' ? (error.code ?? '') : `${heard} ${error.code}`),
    );
    socket.once('close', () => resolve(heard === '' ? 'closed without a word' : heard));
  });
}

async function datagram(port: number, message: Buffer): Promise<string> {
  const socket = createSocket('udp4');
  return await new Promise((resolve) => {
    const timer = setTimeout(() => {
      socket.close();
      resolve('no answer');
    }, DATAGRAM_MS);
    socket.once('message', (answer) => {
      clearTimeout(timer);
      socket.close();
      resolve(`answered: ${answer.toString('hex')}`);
    });
    socket.send(message, port, HOST);
  });
}

function attempt(what: () => unknown): string {
  try {
    const result = what();
    return `done: ${typeof result === 'string' ? result : JSON.stringify(result ?? null)}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

const question = Buffer.concat([
  Buffer.from('000101000001000000000000', 'hex'),
  Buffer.from('\x03web\0\0\x01\0\x01', 'latin1'),
]);
const framed = Buffer.concat([Buffer.from([0, question.length]), question]);
const proxy = { host: HOST, port: targets.proxyPort };
const web = Buffer.concat([Buffer.from([5, 1, 0, 3, 3]), Buffer.from('web'), Buffer.from([0, 80])]);
const wrong = Buffer.concat([Buffer.from([1, 9]), Buffer.from('intercept'), Buffer.from([5]), Buffer.from('wrong')]);
const basic = `Proxy-Authorization: Basic ${Buffer.from('intercept:wrong').toString('base64')}\r\n`;

/** What another user tries. */
const USER: Record<string, () => Promise<unknown>> = {
  'SOCKS5 without a password': () => talk(proxy, Buffer.from([5, 1, 0]), web),
  'SOCKS5 with a wrong password': () => talk(proxy, Buffer.from([5, 1, 2]), wrong, web),
  'SOCKS5, the way of the preload': () =>
    talk(proxy, Buffer.from([5, 1, 0]), Buffer.from([5, 0xf0, 0, 1, 0, 0, 0, 0, 0, 0])),
  SOCKS4: () => talk(proxy, Buffer.from([4, 1, 0, 80, 0, 0, 0, 1, 0x69, 0, 0x77, 0x65, 0x62, 0])),
  'HTTP CONNECT': () => talk(proxy, 'CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n'),
  'HTTP CONNECT with a wrong password': () => talk(proxy, `CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n${basic}\r\n`),
  'HTTP through the proxy': () => talk(proxy, 'GET http://web/ HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n'),
  'WebSocket through the proxy': () =>
    talk(proxy, 'GET http://web/ HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
  'DNS over TCP': () => talk(proxy, framed),
  'DNS over UDP': () => datagram(targets.proxyPort, question),
  'a port of the pod': () =>
    talk({ host: HOST, port: targets.toPodPort }, 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'),
  'sockets of the session': () => Promise.all(targets.sockets.map((path) => talk({ path }, '{"method":"status"}\n'))),
  'folders of the session': async () => targets.folders.map((path) => attempt(() => readdirSync(path))),
  'files of the session': async () => targets.files.map((path) => attempt(() => readFileSync(path, 'utf8'))),
  'a file in its folders': async () => targets.folders.map((path) => attempt(() => accessSync(path, constants.W_OK))),
  'environments of its processes': async () =>
    targets.pids.map((pid) => attempt(() => readFileSync(`/proc/${pid}/environ`, 'utf8'))),
  'descriptors of its processes': async () => targets.pids.map((pid) => attempt(() => readdirSync(`/proc/${pid}/fd`))),
  'memory of its processes': async () => targets.pids.map((pid) => attempt(() => readFileSync(`/proc/${pid}/mem`))),
  'ending its processes': async () => targets.pids.map((pid) => attempt(() => process.kill(pid, 'SIGTERM'))),
  'command lines of all': async () => execFileSync('ps', ['-eo', 'args', '-ww'], { encoding: 'utf8' }),
};

const page = (port: number, head: string, host = `${HOST}:${port}`, body = ''): Promise<string> =>
  talk(
    { host: HOST, port },
    `${head}\r\nHost: ${host}\r\nUser-Agent: Mozilla/5.0\r\nOrigin: https://page.example\r\nSec-Fetch-Site: cross-site\r\n${body === '' ? '\r\n' : `Content-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`}`,
  );
const upgrade =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==';
const preflight = 'Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Private-Network: true';
const smuggled = 'CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\nGET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n';

/** What a page makes the user's own browser do, with each port that listens. */
const PAGE: Record<string, (port: number) => Promise<unknown>> = {
  fetch: (port) => page(port, 'GET / HTTP/1.1'),
  'a name of its own that points to 127.0.0.1': (port) => page(port, 'GET / HTTP/1.1', `page.example:${port}`),
  'the name of a Service that points to 127.0.0.1': (port) => page(port, 'GET / HTTP/1.1', 'web'),
  'a form with requests in its body': (port) => page(port, 'POST /quit HTTP/1.1', undefined, smuggled),
  preflight: (port) => page(port, `OPTIONS / HTTP/1.1\r\n${preflight}`),
  WebSocket: (port) => page(port, `GET / HTTP/1.1\r\n${upgrade}`),
  'WebSocket with a name of its own': (port) => page(port, `GET / HTTP/1.1\r\n${upgrade}`, 'page.example'),
  'a link': (port) => page(port, 'GET /quit HTTP/1.1\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document'),
};

const names: readonly string[] | undefined = process.argv[4] === undefined ? undefined : JSON.parse(process.argv[4]);
const isAsked = ([name]: readonly [string, unknown]): boolean => names?.includes(name) ?? true;
const outcomes: Record<string, unknown> = {};
if (process.argv[2] === 'user')
  for (const [name, run] of Object.entries(USER).filter(isAsked)) outcomes[name] = await run();
else
  for (const [name, run] of Object.entries(PAGE))
    outcomes[name] = await Promise.all([targets.proxyPort, targets.toPodPort].map(run));
process.stdout.write(JSON.stringify(outcomes), () => process.exit(0));
