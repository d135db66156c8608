import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, test } from 'vitest';
import { DatagramsToProcess } from '../../../cli/session/datagrams-to-process.ts';
import { ProcessPlace } from '../../../cli/session/process-place.ts';
import { silentLog } from '../../../src/log.ts';
import { Mux } from '../../../src/mux/mux.ts';
import type { MuxStream } from '../../../src/mux/stream.ts';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { until } from '../../support/until.ts';

/** The process: says back what it heard, and from where. */
const server = (): ReturnType<typeof createSocket> => {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => socket.send(`${from.port} ${message}`, from.port, from.address));
  return socket;
};

let process_: ReturnType<typeof createSocket>;
let place: ProcessPlace;
let agent: Mux;
let session: Mux;
let datagrams: DatagramsToProcess;
let away = 0;

beforeEach(async () => {
  process_ = server().bind(0, '127.0.0.1');
  await once(process_, 'listening');
  place = new ProcessPlace(process_.address().port, undefined, 'udp');
  away = 0;
  datagrams = new DatagramsToProcess({ open: () => place.openFlow(), log: silentLog, onAway: () => away++ });
  const [a, b] = MemoryTransport.pair();
  agent = new Mux(a, { side: 'agent', onOpen: () => {}, onControl: () => {} });
  session = new Mux(b, { side: 'session', onOpen: (stream) => datagrams.take(stream), onControl: () => {} });
});
afterEach(async () => {
  await datagrams.close();
  await Promise.all([agent.close(), session.close()]);
  if (isOpen) process_.close();
  isOpen = true;
});
let isOpen = true;

function openFlow(): { stream: MuxStream; answers: string[] } {
  const stream = agent.open({ kind: 'datagrams', port: 53, host: '10.0.0.1' });
  const reader = new LengthPrefixReader();
  const answers: string[] = [];
  stream.on('data', (chunk: Buffer) => answers.push(...reader.push(chunk).map(String)));
  return { stream, answers };
}

test('each caller is a peer of its own to the process, and gets what is said to it', async () => {
  const [one, other] = [openFlow(), openFlow()];
  one.stream.write(withLength(Buffer.from('one')));
  one.stream.write(withLength(Buffer.alloc(0)));
  other.stream.write(withLength(Buffer.from('other')));
  await until(() => one.answers.length === 2 && other.answers.length === 1, 'all answers came');
  const peers = [one, other].map(({ answers }) => answers[0]?.split(' ')[0]);
  assert.notEqual(peers[0], peers[1]);
  assert.deepEqual(one.answers, [`${peers[0]} one`, `${peers[0]} `]);
  assert.deepEqual(other.answers, [`${peers[1]} other`]);
  assert.equal(datagrams.openConnections, 2);
  one.stream.end();
  await until(() => datagrams.openConnections === 1, 'one flow ended');
});

test('a process that is not bound refuses, and one that has gone ends the flow', async () => {
  const { stream, answers } = openFlow();
  stream.write(withLength(Buffer.from('ping')));
  await until(() => answers.length === 1, 'an answer came');
  assert.equal(await place.isListening(), true);
  isOpen = false;
  process_.close();
  await until(() => {
    if (!stream.destroyed) stream.write(withLength(Buffer.from('ping'))); // its port answers with an ICMP error
    return stream.destroyed;
  }, 'the flow ended');
  assert.equal(away, 1);
  assert.equal(await place.isListening(), false);
  await assert.rejects(openFlow().stream.opened, { code: 'ECONNREFUSED' });
});
