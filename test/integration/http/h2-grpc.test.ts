import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, test } from 'vitest';
import { eventually, World } from './h2-world.ts';

const raw = (value: Buffer): Buffer => value;
const method = (path: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Echo/${path}`,
  requestStream,
  responseStream,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
});
const service = {
  unary: method('unary', false, false),
  collect: method('collect', true, false),
  spread: method('spread', false, true),
  chat: method('chat', true, true),
};
const LARGE = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.close());

interface App {
  readonly port: number;
  readonly server: grpc.Server;
  /** Calls that were cancelled, with the milliseconds that were left of their deadline. */
  readonly cancelled: number[];
}

/** A gRPC server whose trailers say its name. */
async function grpcApp(name: string): Promise<App> {
  const server = new grpc.Server(LARGE);
  const cancelled: number[] = [];
  const trailers = (): grpc.Metadata => {
    const metadata = new grpc.Metadata();
    metadata.set('x-by', name);
    metadata.set('x-sum-bin', Buffer.from([0, 255]));
    return metadata;
  };
  const watch = (call: grpc.ServerUnaryCall<Buffer, Buffer> | grpc.ServerDuplexStream<Buffer, Buffer>): void => {
    call.on('cancelled', () => cancelled.push(Number(call.getDeadline()) - Date.now()));
  };
  server.addService(service, {
    unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
      watch(call);
      const text = call.request.subarray(0, 8).toString();
      if (text === 'wait') return;
      if (text === 'fail') done({ code: grpc.status.NOT_FOUND, details: 'nicht da: ä', metadata: trailers() });
      else done(null, call.request, trailers());
    },
    collect: (call: grpc.ServerReadableStream<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
      const hash = createHash('sha256');
      call.on('data', (message: Buffer) => hash.update(message));
      call.on('end', () => done(null, hash.digest(), trailers()));
    },
    spread: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
      for (let n = 0; n < 4; n += 1) call.write(call.request);
      call.end(trailers());
    },
    chat: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
      watch(call);
      call.on('data', (message: Buffer) => call.write(Buffer.from(`${name} ${message}`)));
      call.on('end', () => call.end(trailers()));
      call.on('error', () => {});
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (failure, bound) =>
      failure === null ? resolve(bound) : reject(failure),
    ),
  );
  world.onClose(() => server.forceShutdown());
  return { port, server, cancelled };
}

interface Echo extends grpc.Client {
  unary(message: Buffer, metadata: grpc.Metadata, options: grpc.CallOptions, done: Done): grpc.ClientUnaryCall;
  collect(metadata: grpc.Metadata, done: Done): grpc.ClientWritableStream<Buffer>;
  spread(message: Buffer, metadata: grpc.Metadata): grpc.ClientReadableStream<Buffer>;
  chat(metadata: grpc.Metadata): grpc.ClientDuplexStream<Buffer, Buffer>;
}
type Done = (failure: grpc.ServiceError | null, message?: Buffer) => void;

function grpcCaller(port: number): Echo {
  const Client = grpc.makeClientConstructor(service, 'Echo');
  const client = new Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), LARGE);
  world.onClose(() => client.close());
  return client as unknown as Echo;
}

const as = (user: string): grpc.Metadata => {
  const metadata = new grpc.Metadata();
  metadata.set('x-user', user);
  return metadata;
};

interface Outcome {
  readonly code: grpc.status;
  readonly details: string;
  readonly by: string | undefined;
  readonly messages: Buffer[];
}

function unary(client: Echo, message: Buffer, user: string, options: grpc.CallOptions = {}): Promise<Outcome> {
  return outcomeOf((done) => client.unary(message, as(user), options, done));
}

function outcomeOf(call: (done: Done) => grpc.ClientUnaryCall | grpc.ClientWritableStream<Buffer>): Promise<Outcome> {
  return new Promise((resolve) => {
    const messages: Buffer[] = [];
    const made = call((_failure, message) => {
      if (message !== undefined) messages.push(message);
    });
    made.on('status', (status) => setImmediate(() => resolve(outcome(status, messages))));
  });
}

function streamed(call: grpc.ClientReadableStream<Buffer> | grpc.ClientDuplexStream<Buffer, Buffer>): Promise<Outcome> {
  return new Promise((resolve) => {
    const messages: Buffer[] = [];
    call.on('data', (message: Buffer) => messages.push(message));
    call.on('error', () => {});
    call.on('status', (status) => setImmediate(() => resolve(outcome(status, messages))));
  });
}

function outcome({ code, details, metadata }: grpc.StatusObject, messages: Buffer[]): Outcome {
  return { code, details, by: metadata.get('x-by')[0]?.toString(), messages };
}

async function twoApps(): Promise<{ client: Echo; app: App; process: App }> {
  const [app, process] = [await grpcApp('app'), await grpcApp('process')];
  const [toApp, toProcess] = [world.answerer('app', app.port), world.answerer('dev', process.port)];
  const port = await world.route((head) => ({ answerer: head.header('x-user') === 'dev' ? toProcess : toApp }));
  return { client: grpcCaller(port), app, process };
}

test('unary calls of one channel are routed by metadata, with their trailers and errors', async () => {
  const { client } = await twoApps();
  for (const [user, by] of [
    ['dev', 'process'],
    ['other', 'app'],
  ] as const) {
    const fine = await unary(client, Buffer.from('hello'), user);
    assert.deepEqual([fine.code, fine.by, String(fine.messages)], [grpc.status.OK, by, 'hello']);
    const failed = await unary(client, Buffer.from('fail'), user);
    assert.deepEqual([failed.code, failed.details, failed.by], [grpc.status.NOT_FOUND, 'nicht da: ä', by]);
  }
});

test('messages of 16 MiB pass whole in every kind of call', async () => {
  const { client } = await twoApps();
  const big = Buffer.alloc(16 * 1024 * 1024, 'kube-intercept ');
  const echoed = await unary(client, big, 'dev');
  assert.ok(echoed.messages[0]?.equals(big));
  const collected = await outcomeOf((done) => {
    const call = client.collect(as('dev'), done);
    call.write(big);
    call.write(big);
    call.end();
    return call;
  });
  const sum = createHash('sha256').update(big).update(big).digest();
  assert.deepEqual([collected.code, collected.messages[0]?.equals(sum)], [grpc.status.OK, true]);
  const spread = await streamed(client.spread(big, as('other')));
  assert.deepEqual([spread.code, spread.by, spread.messages.length], [grpc.status.OK, 'app', 4]);
  assert.ok(spread.messages.every((message) => message.equals(big)));
});

test('100 bidirectional streams at once are routed by metadata, message by message', async () => {
  const { client } = await twoApps();
  const talks = Array.from({ length: 100 }, (_, n) => {
    const call = client.chat(as(n % 2 ? 'dev' : 'other'));
    return { call, by: n % 2 ? 'process' : 'app', done: streamed(call) };
  });
  for (let round = 0; round < 5; round += 1) {
    await Promise.all(
      talks.map(async ({ call }) => {
        call.write(Buffer.from(`round ${round}`));
        await once(call, 'data'); // its turn is over before the next: both directions are open at once
      }),
    );
  }
  for (const { call } of talks) call.end();
  for (const { by, done } of talks) {
    const { code, by: told, messages } = await done;
    assert.deepEqual([code, told], [grpc.status.OK, by]);
    assert.deepEqual(
      messages.map(String),
      [0, 1, 2, 3, 4].map((round) => `${by} round ${round}`),
    );
  }
  assert.deepEqual(Object.fromEntries(world.open), { app: 0, dev: 0 });
  assert.deepEqual([world.dialled.get('app')?.length, world.dialled.get('dev')?.length], [1, 1]);
});

test('a cancelled call and a deadline arrive at who answers', async () => {
  const { client, process } = await twoApps();
  const call = client.chat(as('dev'));
  const done = streamed(call);
  call.write(Buffer.from('a'));
  await once(call, 'data');
  call.cancel();
  assert.equal((await done).code, grpc.status.CANCELLED);
  await eventually(() => process.cancelled.length === 1);
  const late = await unary(client, Buffer.from('wait'), 'dev', { deadline: Date.now() + 2_000 });
  assert.equal(late.code, grpc.status.DEADLINE_EXCEEDED);
  await eventually(() => process.cancelled.length === 2);
  assert.ok((process.cancelled[1] ?? Number.POSITIVE_INFINITY) < 2_000); // it knew of the deadline itself
});

test('a server that shuts down finishes what is open, and the next call goes to the one in its place', async () => {
  const [first, second] = [await grpcApp('first'), await grpcApp('second')];
  let current = first;
  const answerer = world.answerer('app', 0, { connect: () => world.dial('app', current.port) });
  const client = grpcCaller(await world.route(() => ({ answerer })));
  const call = client.chat(as('dev'));
  const done = streamed(call);
  call.write(Buffer.from('a'));
  await once(call, 'data');
  current = second;
  first.server.tryShutdown(() => {});
  let next: Outcome | undefined;
  do {
    next = await unary(client, Buffer.from('hello'), 'dev');
    assert.equal(next.code, grpc.status.OK); // none fails while the GOAWAY is on its way
  } while (next.by === 'first');
  call.write(Buffer.from('b'));
  call.end();
  const { code, messages } = await done;
  assert.deepEqual([code, messages.map(String)], [grpc.status.OK, ['first a', 'first b']]);
});

test('an answerer that is away is UNAVAILABLE with the reason, which clients retry', async () => {
  const port = await world.route(() => ({
    answerer: world.answerer('dev', 1, {
      connect: () => Promise.reject(new Error('asleep')),
      fallback: { status: 503, reason: 'the process of dev-1 is away: ä' },
    }),
  }));
  const { code, details } = await unary(grpcCaller(port), Buffer.from('a'), 'dev');
  assert.deepEqual([code, details], [grpc.status.UNAVAILABLE, 'the process of dev-1 is away: ä']);
});
