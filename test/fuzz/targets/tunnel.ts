// What the two ends of a tunnel read of each other.
import assert from 'node:assert/strict';
import { bad } from '../../../agent/params.ts';
import { RequestDispatcher, type RequestHandlers } from '../../../agent/requests.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { toStreamId } from '../../../src/ids.ts';
import { createLog } from '../../../src/log.ts';
import { agentHandshake, sessionHandshake } from '../../../src/mux/handshake.ts';
import { Mux } from '../../../src/mux/mux.ts';
import { LengthPrefixReader, MAX_PREFIXED_BYTES, withLength } from '../../../src/net/length-prefix.ts';
import { parseAgentConfig } from '../../../src/protocol/agent-config.ts';
import { decodeMessage, encodeFrame, encodeMessage } from '../../../src/protocol/codec.ts';
import type { ControlResponse } from '../../../src/protocol/control.ts';
import type { Frame } from '../../../src/protocol/frames.ts';
import { parseControlMessage } from '../../../src/protocol/parse-control.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { piecesOf } from '../mutate.ts';
import type { Target } from '../target.ts';

const ONE = toStreamId(1);
const FRAMES: readonly Frame[] = [
  { type: 'open', streamId: ONE, kind: 'tcp', port: 80, host: 'api.shop', firstBytes: Buffer.from('GET /') },
  { type: 'opened', streamId: toStreamId(2) },
  { type: 'data', streamId: ONE, payload: Buffer.from('hello') },
  { type: 'credit', streamId: ONE, bytes: 65_536 },
  { type: 'end', streamId: ONE },
  { type: 'reset', streamId: ONE, reason: 'refused' },
  { type: 'ping', token: 7n },
  { type: 'pong', token: 7n },
  { type: 'ack', messages: 12n },
  { type: 'control', text: '{"type":"request","id":1,"method":"status","params":{}}' },
];
const WHOLE = FRAMES.map((frame) => encodeFrame(frame));
const TEXTS = [
  '{"type":"request","id":1,"method":"claim","params":{"intercepts":[{"appPort":8080,"protocol":"tcp","mirror":false,"fallback":"app","mark":false,"to":"laptop","filter":{"match":"all","conditions":[{"on":"header","name":"x-user","match":{"kind":"regex","value":"a+b*"}},{"on":"path","match":{"kind":"prefix","value":"/a"}}]}}],"replaces":["a"],"takeOver":false,"holdMs":10000}}',
  '{"type":"request","id":2,"method":"route","params":{"appPort":8080,"protocol":"tcp","to":"laptop"}}',
  '{"type":"request","id":3,"method":"files","params":{"exclude":["**/*.log"],"maxFiles":1,"maxBytes":2,"watch":true}}',
  '{"type":"request","id":4,"method":"prove","params":{"nonce":"AAAAAAAAAAAAAAAAAAAAAA","protocol":"tcp","host":"a","port":1,"timeoutMs":5}}',
  '{"type":"request","id":5,"method":"evict","params":{"by":"ann@desk","sessionIds":["a"]}}',
  '{"type":"response","id":1,"error":{"code":"TARGET_IN_USE","message":"m","holder":{"sessionId":"a","user":"b","host":"c","sinceMs":1,"lastSeenMs":2,"connected":true},"others":[{}],"more":3}}',
  '{"type":"response","id":1,"result":{}}',
  '{"type":"event","event":"evicted","by":"ann"}',
  '{"type":"event","event":"tls-lacks","appPort":1,"lacks":"h2"}',
  '{"type":"event","event":"proved","nonce":"n","appPort":1}',
  '{"type":"hello","versions":[2],"nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","ecdh":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","pod":"web-1"}',
  '{"type":"proof","version":2,"nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","ecdh":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","session":{"sessionId":"s","user":"u","host":"h"},"link":{"id":"AAAAAAAAAAAAAAAAAAAAAA","begun":false,"received":0,"resumeMs":30000},"mac":"AAAA"}',
  '{"type":"welcome","received":0,"mac":"AAAA"}',
  '{"type":"welcome","unknown":true,"mac":"AAAA"}',
];
const JSON_TOKENS = ['{', '}', '[', ']', '"', ':', ',', 'null', 'true', '-1', '1e999', '0.5', '""', '{}', '[]'].concat(
  ['"__proto__":', '"constructor":', '"toString":null,', '{"toString":null,"valueOf":null}', '"type":', '"event":'],
  ['"params":', '\\u0000', '\\ud800', '9007199254740993', '"regex"', '"(a+)+$"', '"request"', '"proof"', '"hello"'],
);

/** @throws what is no InterceptorError of this code */
function mustBe(failure: unknown, ...codes: string[]): void {
  if (!(failure instanceof InterceptorError) || !codes.includes(failure.code)) throw failure;
}

export const frames: Target = {
  name: 'frames',
  seeds: [...WHOLE, Buffer.concat(WHOLE)],
  run: (input) => {
    let read: Frame[];
    try {
      read = decodeMessage(input);
    } catch (failure) {
      mustBe(failure, 'PROTOCOL_BAD_FRAME');
      return;
    }
    assert.deepEqual(decodeMessage(encodeMessage(read)), read);
  },
};

export const control: Target = {
  name: 'control messages',
  isJson: true,
  seeds: TEXTS,
  tokens: JSON_TOKENS,
  run: (input) => {
    try {
      const message = parseControlMessage(input.toString('utf8'));
      const text = JSON.stringify(message);
      assert.equal(JSON.stringify(parseControlMessage(text)), text);
    } catch (failure) {
      mustBe(failure, 'PROTOCOL_BAD_MESSAGE');
    }
    assert.equal(Reflect.get({}, 'polluted'), undefined);
  },
};

const handlers = new Proxy({} as RequestHandlers, {
  get: () => () => {
    throw bad('as far as it goes');
  },
});

export const requests: Target = {
  name: 'control requests',
  isJson: true,
  seeds: TEXTS.filter((text) => text.includes('"request"')),
  tokens: JSON_TOKENS,
  run: async (input) => {
    let params: unknown;
    let method = 'claim';
    try {
      const message = parseControlMessage(input.toString('utf8'));
      if (message.type !== 'request') return;
      ({ method, params } = message);
    } catch (failure) {
      mustBe(failure, 'PROTOCOL_BAD_MESSAGE');
      return;
    }
    const responses: ControlResponse[] = [];
    const dispatcher = new RequestDispatcher(
      handlers,
      (response) => responses.push(response),
      createLog('error', () => {}),
    );
    await dispatcher.dispatch({ type: 'request', id: 1, method, params });
    const [response] = responses;
    assert.ok(response !== undefined && responses.length === 1 && 'error' in response);
    assert.ok(['BAD_PARAMS', 'UNKNOWN_METHOD'].includes(response.error.code), JSON.stringify(response));
  },
};

/** The input as messages: each behind its length. */
function messagesOf(input: Buffer): Buffer[] {
  return new LengthPrefixReader().push(input);
}

function prefixed(...messages: readonly (Buffer | string)[]): Buffer {
  return Buffer.concat(messages.map((message) => withLength(Buffer.from(message))));
}

const asControl = (text: string): Buffer => encodeFrame({ type: 'control', text });

export const handshakes: Target = {
  name: 'handshakes',
  seeds: [...TEXTS.slice(-4).map((text) => prefixed(asControl(text))), prefixed(...TEXTS.slice(-4).map(asControl))],
  tokens: JSON_TOKENS,
  run: async (input) => {
    for (const side of ['agent', 'session'] as const) {
      const [ours, theirs] = MemoryTransport.pair();
      theirs.onMessage = () => {};
      for (const message of messagesOf(input)) theirs.send(message);
      theirs.close();
      const key = Buffer.alloc(32);
      const identity = { sessionId: 's', user: 'u', host: 'h' };
      const options = { key, deadlineMs: 5_000 };
      const done =
        side === 'agent'
          ? agentHandshake(ours, { ...options, pod: 'web-1' })
          : sessionHandshake(ours, { ...options, session: identity });
      const failure = await done.then(
        () => assert.fail('a stranger has proved itself'),
        (reason: unknown) => reason,
      );
      mustBe(
        failure,
        'TUNNEL_UNAUTHENTICATED',
        'TUNNEL_VERSION',
        'TUNNEL_LOST',
        'PROTOCOL_BAD_FRAME',
        'PROTOCOL_BAD_MESSAGE',
      );
    }
  },
};

export const tunnel: Target = {
  name: 'tunnels',
  seeds: [prefixed(...WHOLE), ...WHOLE.map((frame) => prefixed(frame)), prefixed(Buffer.concat(WHOLE))],
  run: async (input, random) => {
    for (const side of ['agent', 'session'] as const) {
      const [ours, theirs] = MemoryTransport.pair();
      theirs.onMessage = () => {};
      const mux = new Mux(ours, {
        side,
        limits: { maxQueuedBytes: 4_096, maxOpenStreams: 8 },
        onControl: () => {},
        onOpen: (stream) => {
          if (random.below(2) === 0) stream.refuse('refused');
          else stream.accept();
          if (random.below(2) === 0) stream.resume();
        },
      });
      for (const message of messagesOf(input)) theirs.send(message);
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(mux.stats().queuedBytes <= 4_096, `${mux.stats().queuedBytes} bytes`);
      assert.ok(mux.stats().openStreams <= 8);
      theirs.close();
      const failure = await mux.closed;
      mustBe(failure, 'PROTOCOL_BAD_FRAME', 'TUNNEL_LOST');
      const { openStreams, queuedBytes } = mux.stats();
      assert.deepEqual({ openStreams, queuedBytes }, { openStreams: 0, queuedBytes: 0 });
    }
  },
};

export const prefixes: Target = {
  name: 'length-prefixed streams',
  seeds: [prefixed('', 'a', 'hello'), prefixed(Buffer.alloc(300)), Buffer.from([0xff, 0xff, 1])],
  run: (input, random) => {
    const whole = new LengthPrefixReader();
    const messages = whole.push(input);
    const cut = new LengthPrefixReader();
    const cutMessages = piecesOf(input, random).flatMap((piece) => cut.push(piece));
    assert.deepEqual(cutMessages, messages);
    assert.equal(cut.heldBytes, whole.heldBytes);
    assert.ok(whole.heldBytes < MAX_PREFIXED_BYTES + 2);
    assert.deepEqual(
      Buffer.concat(messages.map((message) => withLength(message))),
      input.subarray(0, input.length - whole.heldBytes),
    );
  },
};

export const agentConfigs: Target = {
  name: 'agent configurations',
  isJson: true,
  seeds: [
    '{"version":1,"tunnelPort":9900,"container":"app","app":"present","routes":[{"port":9901,"appPort":80,"protocol":"tcp"}],"exitIdleMs":5}',
  ],
  tokens: [...JSON_TOKENS, '"version":', '"routes":'],
  run: (input) => {
    try {
      parseAgentConfig(input.toString('utf8'));
    } catch (failure) {
      mustBe(failure, 'INTERNAL');
    }
  },
};
