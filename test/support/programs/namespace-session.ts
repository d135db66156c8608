// A session with a namespace and nothing else: the tests' way to stand outside as an ordinary user. Ways out lead to this
// machine's loopback device: 10.x.y.z and fd00::/8 to 127.0.0.1, but 10.66.0.0/16 and fd66::/16 are
// unreachable and 10.77.0.0/16 is silent.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { DialError } from '../../../cli/network/dial-error.ts';
import { probeNamespace } from '../../../cli/network/namespace/probe.ts';
import { startNamespace } from '../../../cli/network/namespace/start.ts';
import type { DialCode, Egress, Resolver, UdpFlow } from '../../../cli/network/types.ts';
import { createLog } from '../../../src/log.ts';

interface Settings {
  readonly mounts?: { source: string; target: string }[];
}
type Call =
  | { readonly id: number; readonly run: readonly string[]; readonly cwd?: string; readonly input?: string }
  | { readonly id: number; readonly wrap: readonly string[] }
  | { readonly id: number; readonly start: readonly string[] }
  | { readonly id: number; readonly port: number }
  | { readonly id: number; readonly udp: number }
  | { readonly id: number; readonly close: true };

const say = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const home = (host: string): string => (host.startsWith('10.') || host.startsWith('fd') ? '127.0.0.1' : host);
const DIAL_CODES: readonly DialCode[] = ['ECONNREFUSED', 'EHOSTUNREACH', 'ETIMEDOUT', 'ECONNRESET'];

const egress: Egress = {
  dialTcp: (host, port, signal) =>
    new Promise((resolve, reject) => {
      say({ dialled: `${host} ${port}` });
      if (/^(10\.66\.|fd66:)/.test(host)) reject(new DialError('EHOSTUNREACH', host));
      if (host.startsWith('10.77.')) setTimeout(() => reject(new DialError('ETIMEDOUT', host)), 100);
      if (/^(10\.66\.|10\.77\.|fd66:)/.test(host)) return;
      const socket = connect({ host: home(host), port, allowHalfOpen: true, noDelay: true, signal });
      socket.once('connect', () => resolve(socket));
      socket.once('error', (cause: NodeJS.ErrnoException) => {
        reject(new DialError(DIAL_CODES.find((code) => code === cause.code) ?? 'EHOSTUNREACH', cause.message));
      });
    }),
  openUdp: (host, port) => {
    say({ datagrams: `${host} ${port}` });
    const socket = createSocket(home(host).includes(':') ? 'udp6' : 'udp4');
    const flow: UdpFlow = {
      send: (datagram) => socket.send(datagram, (cause) => cause && flow.close()),
      onMessage: undefined,
      onClose: undefined,
      close: () => {
        socket.removeAllListeners('close').close();
        flow.onClose?.();
      },
    };
    const waiting: Buffer[] = [];
    const { send } = flow;
    flow.send = (datagram) => void waiting.push(datagram);
    socket.on('error', () => flow.close());
    socket.on('message', (datagram) => flow.onMessage?.(datagram));
    socket.connect(port, home(host), () => {
      flow.send = send;
      for (const datagram of waiting) send(datagram);
    });
    return flow;
  },
};

/** Every name has the address 10.1.2.3, by UDP and TCP; no other records. */
const resolver: Resolver = {
  search: ['shop.svc.cluster.local', 'cluster.local'],
  ndots: 5,
  answer: async (message, via) => {
    const end = message.indexOf(0, 12) + 5;
    const labels: string[] = [];
    for (let at = 12; message[at] !== 0 && at < end; at += 1 + (message[at] ?? 0))
      labels.push(message.toString('latin1', at + 1, at + 1 + (message[at] ?? 0)));
    say({ question: labels.join('.'), via });
    const isA = message.readUInt16BE(end - 4) === 1;
    const answer = Buffer.concat([message.subarray(0, end), ...(isA ? [ADDRESS_RECORD] : [])]);
    answer.writeUInt16BE(0x8180, 2);
    answer.writeUInt16BE(1, 4);
    answer.writeUInt16BE(isA ? 1 : 0, 6);
    answer.writeUInt32BE(0, 8);
    return answer;
  },
  lookup: async () => [],
  originOf: () => undefined,
};
const ADDRESS_RECORD = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 1, 2, 3]);

const settings: Settings = JSON.parse(process.argv[2] ?? '{}');
const beforeProbe = performance.now();
const probe = await probeNamespace();
if (!probe.works) {
  say({ ready: false, probe });
  process.exit();
}
const beforeStart = performance.now();
const inside = await startNamespace({
  egress,
  resolver,
  mounts: settings.mounts ?? [],
  log: createLog('warn', (level, message, fields) => say({ level, message, ...fields })),
  onPortTaken: (address, port, code) => say({ taken: `${address} ${port} ${code}` }),
});
say({
  ready: true,
  probe,
  probeMs: beforeStart - beforeProbe,
  startMs: performance.now() - beforeStart,
  warnings: inside.warnings,
});
void inside.ended.then((said) => say({ ended: said }));

createInterface({ input: process.stdin }).on('line', async (line) => {
  const call: Call = JSON.parse(line);
  try {
    if ('close' in call) {
      await inside.close();
      say({ id: call.id });
    } else if ('wrap' in call) say({ id: call.id, argv: inside.wrap(call.wrap, process.cwd()) });
    else if ('run' in call) runCommand(call);
    else if ('port' in call) say({ id: call.id, ...(await lookAt(call.port)) });
    else if ('udp' in call) say({ id: call.id, ...(await askUdp(call.udp)) });
    else {
      const [file = '', ...args] = inside.wrap(call.start, process.cwd());
      const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit'] });
      say({ id: call.id, pid: child.pid });
    }
  } catch (cause) {
    say({ id: call.id, thrown: (cause as { code?: string }).code ?? String(cause) });
  }
});

async function lookAt(port: number): Promise<{ listens: boolean; mirrored: boolean; says: string }> {
  const { listensOn, mirrors, connect: connectInside } = inside.ports;
  const mirrored = mirrors('127.0.0.1', port, 'tcp');
  try {
    const socket = await connectInside(port);
    socket.end('ping');
    return { listens: listensOn(port, 'tcp'), mirrored, says: await text(socket) };
  } catch (cause) {
    return { listens: listensOn(port, 'tcp'), mirrored, says: (cause as { code?: string }).code ?? String(cause) };
  }
}

async function askUdp(port: number): Promise<{ bound: boolean; says: string }> {
  const { listensOn, openUdp } = inside.ports;
  const bound = listensOn(port, 'udp');
  if (!bound) return { bound, says: '' };
  const flow = openUdp(port);
  const says = await new Promise<string>((resolve) => {
    flow.onMessage = (datagram) => resolve(String(datagram));
    flow.send(Buffer.from('ping'));
  });
  flow.close();
  return { bound, says };
}

function runCommand(call: { id: number; run: readonly string[]; cwd?: string; input?: string }): void {
  const began = performance.now();
  const [file = '', ...args] = inside.wrap(call.run, call.cwd ?? process.cwd());
  const child = spawn(file, args, { stdio: 'pipe' });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  child.stdin.on('error', () => {}).end(call.input ?? '');
  child.on('close', (code, signal) => say({ id: call.id, code, signal, ...output, ms: performance.now() - began }));
}
