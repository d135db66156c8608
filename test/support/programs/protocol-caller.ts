// Runs in the caller pod of test/e2e/protocols.test.ts: <verb> <host> [<argument>]. Says what it saw as one JSON value on stdout.
// KEYED requests are those that the filter of the test takes.
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { get as getTls } from 'node:https';
import * as grpc from '@grpc/grpc-js';
import { WebSocket } from 'ws';
import { GRPC_SERVICE, MAX_MESSAGE_BYTES } from './grpc-service.ts';

const [verb = '', host = '', argument = ''] = process.argv.slice(2);
const [GRPC_PORT, HTTP_PORT, TLS_PORT] = [80, 81, 443] as const;
const KEYED = { 'x-user': 'dev-1' } as const;
const CALL_DEADLINE_MS = 60_000;

const client = new grpc.Client(`${host}:${GRPC_PORT}`, grpc.credentials.createInsecure(), {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
});
const { unary, fail, bidi, hang, download, upload } = GRPC_SERVICE;

function metadata(keyed: boolean, name: string): grpc.Metadata {
  const fields = new grpc.Metadata();
  fields.set('x-name', name);
  if (keyed) for (const [field, value] of Object.entries(KEYED)) fields.set(field, value);
  return fields;
}
const deadline = (ms = CALL_DEADLINE_MS): { deadline: number } => ({ deadline: Date.now() + ms });

interface Ended {
  readonly code: number;
  readonly details: string;
  readonly who: string;
  readonly echo: string;
}

/** How a call ended, with what its trailers say. */
function ended(call: NodeJS.EventEmitter): Promise<Ended> {
  return new Promise((resolve) => {
    call.on('error', () => {}); // the status tells
    call.once('status', ({ code, details, metadata: trailers }: grpc.StatusObject) => {
      const [who = '', echo = ''] = [trailers.get('x-who')[0], trailers.get('x-echo-bin')[0]];
      resolve({ code, details, who: String(who), echo: String(echo) });
    });
  });
}

/** Reads so many messages, or until the end. */
async function messages(call: AsyncIterable<Buffer>, most = Number.POSITIVE_INFINITY): Promise<string[]> {
  const texts: string[] = [];
  for await (const message of call) if (texts.push(message.toString()) >= most) break;
  return texts;
}

async function callUnary(definition: typeof unary, keyed: boolean, body: Buffer): Promise<Ended & { body: Buffer }> {
  let answer: Buffer = Buffer.alloc(0);
  const { path, requestSerialize, responseDeserialize } = definition;
  const call = client.makeUnaryRequest(
    ...([path, requestSerialize, responseDeserialize, body, metadata(keyed, 'unary'), deadline()] as const),
    (_error, value: Buffer | undefined) => {
      answer = value ?? answer;
    },
  );
  return { ...(await ended(call)), body: answer };
}

async function readText(response: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function asWebSocket(keyed: boolean): Promise<unknown> {
  const name = `/ws-${keyed ? 'keyed' : 'unkeyed'}`;
  const socket = new WebSocket(`ws://${host}:${HTTP_PORT}${name}`, {
    headers: keyed ? KEYED : {},
    origin: 'http://page',
  });
  const next = async (): Promise<Buffer> => (await once(socket, 'message'))[0];
  const hello = (await next()).toString();
  const big = Buffer.alloc(1024 * 1024, 'x'); // compressed on the way
  const echoes: boolean[] = [];
  for (const message of ['text ä', big, Buffer.from([0, 255, 0])]) {
    socket.send(message);
    echoes.push(Buffer.from(message).equals(await next()));
  }
  socket.ping('are you there');
  await once(socket, 'pong');
  socket.close(4001, 'enough');
  const [code] = await once(socket, 'close');
  return { hello, echoes, code };
}

const VERBS: Record<string, () => Promise<unknown>> = {
  /** So many streams at once on one connection, every other one keyed: none goes on before all have had their first answer. */
  async bidi() {
    const [count = 0, rounds = 0] = argument.split('x').map(Number);
    let waiting = count;
    let goOn = (): void => {};
    const all = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const one = async (index: number): Promise<unknown> => {
      const keyed = index % 2 === 0;
      const { path, requestSerialize, responseDeserialize } = bidi;
      const fields = metadata(keyed, String(index));
      const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, fields, deadline());
      const status = ended(call);
      const answers: string[] = [];
      for (let round = 0; round < rounds; round++) {
        call.write(Buffer.from(`${index}-${round}`));
        const [answer]: [Buffer] = await Promise.race([once(call, 'data') as Promise<[Buffer]>, endsEarly(status)]);
        answers.push(answer.toString());
        if (round === 0 && --waiting === 0) goOn();
        await all;
      }
      call.end();
      call.resume();
      return { keyed, answers, status: await status };
    };
    return await Promise.all(Array.from({ length: count }, (_, index) => one(index)));
  },
  /** Messages of so many bytes there and back. */
  async big() {
    const body = Buffer.alloc(Number(argument));
    for (let i = 0; i < body.length; i += 4) body.writeUInt32LE((i * 2654435761) >>> 0, i);
    const answers = await Promise.all([true, false].map((keyed) => callUnary(unary, keyed, body)));
    return answers.map(({ body: answer, ...status }) => ({ ...status, same: answer.equals(body) }));
  },
  async kinds() {
    const one = async (keyed: boolean): Promise<unknown> => {
      const down = client.makeServerStreamRequest(
        ...([download.path, download.requestSerialize, download.responseDeserialize] as const),
        ...([Buffer.from('500'), metadata(keyed, 'download'), deadline()] as const),
      );
      const downEnded = ended(down);
      const downloaded = await messages(down);
      let uploaded = '';
      const up = client.makeClientStreamRequest(
        ...([upload.path, upload.requestSerialize, upload.responseDeserialize] as const),
        ...([metadata(keyed, 'upload'), deadline()] as const),
        (_error, value: Buffer | undefined) => {
          uploaded = String(value);
        },
      );
      const upEnded = ended(up);
      for (let i = 0; i < 500; i++) up.write(Buffer.alloc(1000, i % 256));
      up.end();
      const failed = await callUnary(fail, keyed, Buffer.from('x'));
      return {
        downloaded: [downloaded.length, downloaded[0], downloaded.at(-1)],
        statuses: [await downEnded, await upEnded, { ...failed, body: undefined }],
        uploaded,
      };
    };
    return { keyed: await one(true), unkeyed: await one(false) };
  },
  /** One call cancelled, one with a deadline of so many ms. */
  async leave() {
    const one = async (keyed: boolean, name: string, ms: number, cancels: boolean): Promise<unknown> => {
      const { path, requestSerialize, responseDeserialize } = hang;
      const fields = metadata(keyed, name);
      const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, fields, deadline(ms));
      const status = ended(call);
      const [first] = await once(call, 'data');
      if (cancels) call.cancel();
      return { who: String(first), code: (await status).code };
    };
    return {
      cancelled: await Promise.all([true, false].map((keyed) => one(keyed, `cancel-${keyed}`, CALL_DEADLINE_MS, true))),
      late: await Promise.all([true, false].map((keyed) => one(keyed, `deadline-${keyed}`, Number(argument), false))),
    };
  },
  async ws() {
    return [await asWebSocket(true), await asWebSocket(false)];
  },
  /** Three events, then the caller leaves. */
  async events() {
    const one = async (keyed: boolean): Promise<unknown> => {
      const path = `/events/events-${keyed}`;
      const sent = get({ host, port: HTTP_PORT, path, headers: keyed ? KEYED : {}, agent: false });
      const [response]: [IncomingMessage] = (await once(sent, 'response')) as [IncomingMessage];
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) {
        text += chunk;
        if (text.split('\n\n').length > 3) break; // which ends the connection
      }
      return { type: response.headers['content-type'], events: text.match(/data: .*/g)?.slice(0, 3) };
    };
    return await Promise.all([one(true), one(false)]);
  },
  /** What app and process saw. */
  async seen() {
    const one = async (headers: Record<string, string>): Promise<unknown> => {
      const response = await fetch(`http://${host}:${HTTP_PORT}/seen`, { headers });
      return await response.json();
    };
    return { keyed: await one(KEYED), unkeyed: await one({}) };
  },
  /** Over TLS: the argument is the only certificate that is trusted. */
  async tls() {
    const ca = argument;
    const overHttp1 = async (headers: Record<string, string>): Promise<string> => {
      const options = {
        host,
        port: TLS_PORT,
        path: '/tls',
        headers,
        ca,
        servername: host,
        ALPNProtocols: ['http/1.1'],
      };
      const [response] = await once(getTls({ ...options, agent: false }), 'response');
      return await readText(response);
    };
    const overHttp2 = async (): Promise<string[]> => {
      const session = connectHttp2(`https://${host}:${TLS_PORT}`, { ca });
      const ask = async (headers: Record<string, string>): Promise<string> =>
        await readText(session.request({ ':path': '/tls', ...headers }));
      const answers = await Promise.all([ask(KEYED), ask({}), ask(KEYED)]);
      session.close();
      return answers;
    };
    return { http1: [await overHttp1(KEYED), await overHttp1({})], http2: await overHttp2() };
  },
};

async function endsEarly(status: Promise<Ended>): Promise<never> {
  throw new Error(`ended early: ${JSON.stringify(await status)}`);
}

const run = VERBS[verb];
if (run === undefined) throw new Error(`no verb ${verb}`);
console.log(JSON.stringify(await run()));
client.close();
