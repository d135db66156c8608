import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, test } from 'vitest';
import { type AgentWay, dialThroughAgent } from '../../../cli/network/egress/agent-dial.ts';
import { dialFromLaptop } from '../../../cli/network/egress/laptop-dial.ts';
import { listenToPod, requireFreeToPod } from '../../../cli/network/egress/to-pod.ts';
import { openAgentFlow, openLaptopFlow } from '../../../cli/network/egress/udp-flows.ts';
import type { UdpFlow } from '../../../cli/network/types.ts';
import { silentLog } from '../../../src/log.ts';
import { until } from '../../support/until.ts';
import { startWorld } from '../agent/support/agent-world.ts';
import { tcpUpstream, type Upstream, udpEcho } from './support/upstreams.ts';

const patient = AbortSignal.timeout(60_000);
let world: Awaited<ReturnType<typeof startWorld>>;
let way: AgentWay;
let upstreams: Upstream[] = [];

beforeEach(async () => {
  world = await startWorld();
  const { mux } = await world.dial();
  way = { tunnel: () => ({ mux }), untilTunnel: async () => {} };
});
afterEach(async () => {
  await Promise.all(upstreams.map((upstream) => upstream.close()));
  upstreams = [];
  await world.close();
});

async function upperCase(): Promise<number> {
  const upstream = await tcpUpstream((socket) => {
    socket.on('data', (chunk) => socket.write(String(chunk).toUpperCase()));
    socket.on('end', () => socket.end('.'));
  });
  upstreams.push(upstream);
  return upstream.port;
}

async function closedPort(): Promise<number> {
  const upstream = await tcpUpstream(() => {});
  await upstream.close();
  return upstream.port;
}

describe.each([
  ['a real agent', (host: string, port: number, signal: AbortSignal) => dialThroughAgent(way, host, port, signal)],
  ['the laptop', dialFromLaptop],
] as const)('through %s', (_, dial) => {
  test('a connection half-closes', async () => {
    const outgoing = await dial('127.0.0.1', await upperCase(), patient);
    outgoing.end('hello');
    assert.equal(String(await buffer(outgoing)), 'HELLO.');
  });

  test('a connection that is not made says why', async () => {
    await assert.rejects(dial('127.0.0.1', await closedPort(), patient), { name: 'DialError', code: 'ECONNREFUSED' });
    await assert.rejects(dial('no-such-name.invalid', 80, patient), { name: 'DialError', code: 'ENOTFOUND' });
    await assert.rejects(dial('x'.repeat(300), 80, patient), { code: 'ENOTFOUND' });
    await assert.rejects(dial('', 80, patient), { code: 'ENOTFOUND' });
    await assert.rejects(dial('127.0.0.1', 0, patient), { code: 'ECONNREFUSED' });
    await assert.rejects(dial('127.0.0.1', 70_000, patient), { code: 'ECONNREFUSED' });
  });

  test('a dial that is given up rejects with the signal’s reason', async () => {
    await assert.rejects(dial('127.0.0.1', await upperCase(), AbortSignal.abort(new Error('enough'))), /enough/);
  });
});

test('without a tunnel a dial waits for one, and says EHOSTUNREACH when none comes', async () => {
  let up = false;
  const late: AgentWay = {
    tunnel: () => (up ? way.tunnel() : undefined),
    untilTunnel: async () => {
      up = true;
    },
  };
  const outgoing = await dialThroughAgent(late, '127.0.0.1', await upperCase(), patient);
  outgoing.end();
  assert.equal(String(await buffer(outgoing)), '.');
  const never: AgentWay = { tunnel: () => undefined, untilTunnel: () => Promise.reject(new Error('no agent')) };
  await assert.rejects(dialThroughAgent(never, '127.0.0.1', 80, patient), { code: 'EHOSTUNREACH' });
});

describe.each([
  ['a real agent', (host: string, port: number): UdpFlow => openAgentFlow(way, host, port)],
  ['the laptop', openLaptopFlow],
] as const)('datagrams through %s', (_, open) => {
  test('come back whole, and the flow ends without a trace', async () => {
    const echo = await udpEcho();
    upstreams.push(echo);
    const flow = open('127.0.0.1', echo.port);
    const answers: string[] = [];
    flow.onMessage = (datagram) => answers.push(String(datagram));
    for (const text of ['one', 'two', 'x'.repeat(9000)]) flow.send(Buffer.from(text));
    await until(() => answers.length === 3, 'three answers');
    assert.deepEqual(answers, ['echo:one', 'echo:two', `echo:${'x'.repeat(9000)}`]);
    flow.close();
    flow.close();
    flow.send(Buffer.from('late'));
  });
});

describe('--to-pod', () => {
  test('a port of the pod’s localhost appears on the laptop’s', async () => {
    const podPort = await upperCase();
    const laptopPort = await closedPort();
    const toPod = await listenToPod([{ laptopPort, podPort }], way, silentLog);
    const socket = connect(laptopPort, '127.0.0.1');
    socket.end('to pod');
    assert.equal(String(await buffer(socket)), 'TO POD.');
    await toPod.close();
    const refused = connect(laptopPort, '127.0.0.1');
    const [error] = await once(refused, 'error');
    assert.equal(error.code, 'ECONNREFUSED');
  });

  test('a server that speaks first is heard, a program of this machine is answered, a web page is not passed on', async () => {
    let reached = 0;
    const upstream = await tcpUpstream((socket) => {
      socket.write('220 ready\r\n');
      socket.once('data', (chunk) => {
        reached += 1;
        socket.end(String(chunk));
      });
    });
    const quiet = await tcpUpstream((socket) => {
      socket.once('data', (chunk) => {
        reached += 1;
        socket.end(String(chunk));
      });
    });
    upstreams.push(upstream, quiet);
    const [first, second] = [await closedPort(), await closedPort()];
    const ports = [
      { laptopPort: first, podPort: upstream.port },
      { laptopPort: second, podPort: quiet.port },
    ];
    const toPod = await listenToPod(ports, way, silentLog);
    const talk = async (port: number, ...said: readonly string[]): Promise<string> => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      for (const part of said) await new Promise((written) => socket.write(part, written)); // mostly in pieces of their own
      return String(await buffer(socket));
    };
    const waiting = connect(first, '127.0.0.1');
    assert.equal(String((await once(waiting, 'data'))[0]), '220 ready\r\n');
    waiting.destroy();
    const request = (host: string, ...fields: string[]): string =>
      ['POST /quit HTTP/1.1', `Host: ${host}`, ...fields, '', 'body'].join('\r\n');
    const own = request(`127.0.0.1:${second}`, 'Origin: http://localhost:3000', 'Sec-Fetch-Site: same-site');
    assert.equal(await talk(second, own), own);
    assert.equal(await talk(second, own.slice(0, 9), own.slice(9, 40), own.slice(40)), own);
    const before = reached;
    const pages = [
      request('rebound.example:8080'),
      request(`127.0.0.1:${second}`, 'Origin: https://page.example'),
      request(`localhost:${second}`, 'Origin: null'),
      request(`localhost:${second}`, 'Sec-Fetch-Site: cross-site'),
      request('127.0.0.1.page.example', 'Upgrade: websocket', 'Connection: Upgrade'),
    ];
    for (const page of pages) {
      assert.match(await talk(second, page), /^HTTP\/1\.1 403 /, page);
      assert.match(await talk(second, page.slice(0, 30), page.slice(30)), /^HTTP\/1\.1 403 /, page);
    }
    assert.equal(reached, before);
    await toPod.close();
  });

  test.each([
    ['goes on talking', (page: Socket) => new Promise<void>((said) => page.end(Buffer.alloc(300_000), said))],
    ['stays', async () => {}],
  ])('a web page that is refused and %s does not hold the end up', async (_, goesOn) => {
    const laptopPort = await closedPort();
    const toPod = await listenToPod([{ laptopPort, podPort: await upperCase() }], way, silentLog);
    const page = connect({ port: laptopPort, host: '127.0.0.1', allowHalfOpen: true });
    page.on('error', () => {}); // reset at the end
    page.write('POST /quit HTTP/1.1\r\nHost: page.example\r\nContent-Length: 300000\r\n\r\n');
    assert.match(String((await once(page, 'data'))[0]), /^HTTP\/1\.1 403 /);
    await goesOn(page);
    let isClosed = false;
    void toPod.close().then(() => {
      isClosed = true;
    });
    await until(() => isClosed, 'it is closed');
    page.destroy();
  });

  test('a port where nothing listens in the pod is a reset', async () => {
    const laptopPort = await closedPort();
    const toPod = await listenToPod([{ laptopPort, podPort: await closedPort() }], way, silentLog);
    const socket = connect(laptopPort, '127.0.0.1');
    const [error] = await once(socket.resume(), 'error');
    assert.equal(error.code, 'ECONNRESET');
    await toPod.close();
  });

  test('a taken port is refused with what to say instead, and none of the others stays', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const free = await closedPort();
    const ports = [
      { laptopPort: free, podPort: 1 },
      { laptopPort: port, podPort: 5432 },
    ];
    await assert.rejects(listenToPod(ports, way, silentLog), (error: unknown) => {
      assert.ok(error instanceof Error && 'code' in error && 'hint' in error);
      assert.equal(error.code, 'USAGE_BAD_PORT');
      assert.match(error.message, new RegExp(`port ${port} on this laptop is in use already`));
      assert.match(String(error.hint), /--to-pod \d+:5432/);
      return true;
    });
    await assert.rejects(requireFreeToPod(ports), { code: 'USAGE_BAD_PORT' }); // as early as it can be known
    const refused = connect(free, '127.0.0.1');
    const [error] = await once(refused, 'error');
    assert.equal(error.code, 'ECONNREFUSED');
    taken.close();
  });

  test('ports that are free stay free when they have been looked at', async () => {
    const [one, two] = [await closedPort(), await closedPort()];
    const ports = [one, two].map((laptopPort) => ({ laptopPort, podPort: 1 }));
    await requireFreeToPod(ports);
    await requireFreeToPod(ports);
    await assert.rejects(requireFreeToPod([...ports, ...ports]), { code: 'USAGE_BAD_PORT' });
  });
});
