// Runs in the caller pod of test/faults: load on a Service, and a light probe beside it, until the stop file is there.
// `<CallerPlan as JSON>`; says what it saw as JSON lines (CallerLine) on stdout.
import { existsSync, writeSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { WebSocket } from 'ws';
import {
  ANSWER_BYTES,
  type CallerLine,
  type CallerPlan,
  NUMBER_BYTES,
  type RequestKind,
  WRONG_BYTES_CODE,
} from './fault-lines.ts';
import { Pattern, PatternCheck } from './pattern.ts';

/** A caller's patience: longer than the product lets anybody wait. */
const DEADLINE_MS = 60_000;
const MESSAGE_EVERY_MS = 500;
const MESSAGE_BYTES = 1024;
const LATE_MS = 1_000;
const REOPEN_MS = 250;
const LATER_TRANSFER_BYTES = 4 * 1024 * 1024;
const PROGRESS_BYTES = 1024 * 1024;

const plan: CallerPlan = JSON.parse(process.argv[2] ?? '');
const keeping = new Agent({ keepAlive: true, maxSockets: 32 });
const unanswered = new Set<Promise<unknown>>();
let isOver = false;
let requests = 0;

/** At once and whole: the test reads the file while it is written. */
function say(line: CallerLine): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? ('code' in error ? String(error.code) : error.message) : String(error);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function ask(kind: RequestKind): Promise<void> {
  const [id, sentAtMs, from] = [`${plan.startAtMs}-${requests++}`, Date.now(), performance.now()];
  const tell = (by: string, detail?: string): void => {
    const tookMs = Math.round(performance.now() - from);
    say({ line: 'request', kind, sentAtMs, tookMs, by, ...(detail === undefined ? {} : { detail }) });
  };
  try {
    const isPost = requests % 2 === 0;
    const body = isPost ? new Pattern(`question ${id}`).next(1 + (requests % 4096)) : Buffer.alloc(0);
    const sent = request(`${plan.url}/r/${id}`, {
      method: isPost ? 'POST' : 'GET',
      agent: kind === 'kept' ? keeping : false,
      headers: { 'x-bytes': body.length, ...(isPost ? { 'content-length': body.length } : {}) },
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      sent.once('response', resolve).on('error', reject);
      sent.end(body);
    });
    const check = new PatternCheck(`answer ${id}`);
    const isOk = response.statusCode === 200;
    let text = '';
    for await (const chunk of response) {
      if (isOk) check.take(chunk);
      else text = (text + chunk).slice(0, 200);
    }
    if (!isOk) return tell('failed', `${response.statusCode} ${text}`);
    const wrong = check.ended(ANSWER_BYTES) + Number(response.headers['x-wrong']);
    if (wrong > 0) say({ line: 'wrong', atMs: Date.now(), what: `request ${id}`, bytes: wrong });
    tell(whoIs(response));
  } catch (error) {
    tell('failed', `${isOver ? 'at the end: ' : ''}${reasonOf(error)}`);
  }
}

function whoIs(response: IncomingMessage): string {
  return String(response.headers['x-who']).split(' ')[0] ?? '';
}

/** Sends a request every so many ms, whether the others are answered or not. */
function askEvery(ms: number, kinds: readonly RequestKind[]): void {
  let next = 0;
  const begun = performance.now();
  const timer = setInterval(() => {
    if (isOver) return clearInterval(timer);
    // Those that a busy machine has delayed are caught up.
    while ((next + 1) * ms <= performance.now() - begun && !isOver) {
      const asked = ask(kinds[next++ % kinds.length] ?? 'fresh');
      unanswered.add(asked);
      void asked.then(() => unanswered.delete(asked));
    }
  }, ms);
}

let open = 0;

/** Keeps one WebSocket open and talking. */
async function keepWebSocket(id: number): Promise<void> {
  for (let round = 0; !isOver; round++) {
    await talk(id, `socket ${plan.startAtMs}-${id}-${round}`);
    if (!isOver) await pause(REOPEN_MS);
  }
}

async function talk(id: number, name: string): Promise<void> {
  const socket = new WebSocket(`${plan.url.replace('http', 'ws')}/ws/${encodeURIComponent(name)}`, {
    perMessageDeflate: false,
    handshakeTimeout: DEADLINE_MS,
  });
  const pattern = new Pattern(encodeURIComponent(name));
  const check = new PatternCheck(encodeURIComponent(name));
  const sentAt: number[] = [];
  let [sent, received, isTalking, failure] = [0, 0, false, ''];
  let timer: NodeJS.Timeout | undefined;
  const wrong = (bytes: number): void => say({ line: 'wrong', atMs: Date.now(), what: name, bytes });
  const send = (): void => {
    if (isOver && received === sent) socket.close(1000);
    if (isOver || sent - received > 4) return; // it waits for its echoes
    const number = Buffer.alloc(NUMBER_BYTES);
    number.writeUInt32BE(sent++);
    sentAt.push(performance.now());
    socket.send(Buffer.concat([number, pattern.next(MESSAGE_BYTES)]));
  };
  socket.on('message', (data: Buffer, isBinary) => {
    if (!isBinary) {
      isTalking = true;
      say({ line: 'opened', atMs: Date.now(), id, by: data.toString().split(' ')[0] ?? '', open: ++open });
      timer = setInterval(send, MESSAGE_EVERY_MS);
      return;
    }
    if (data.length !== NUMBER_BYTES + MESSAGE_BYTES || data.readUInt32BE(0) !== received) wrong(data.length);
    check.take(data.subarray(NUMBER_BYTES));
    if (check.wrong > 0) {
      wrong(check.wrong);
      socket.terminate();
    }
    const tookMs = Math.round(performance.now() - (sentAt[received++] ?? 0));
    if (tookMs > LATE_MS) say({ line: 'late', atMs: Date.now(), id, tookMs });
  });
  socket.on('error', (error) => {
    failure = reasonOf(error);
  });
  const [code, reason] = await new Promise<[number, string]>((resolve) => {
    socket.on('close', (closeCode: number, text: Buffer) => resolve([closeCode, text.toString()]));
  });
  clearInterval(timer);
  if (isTalking) open--;
  if (code === WRONG_BYTES_CODE) wrong(Number(reason));
  if (!isOver || code !== 1000)
    say({ line: 'lost', atMs: Date.now(), id, detail: `${isTalking ? '' : 'not opened: '}${failure || code}`, open });
}

async function transferAll(): Promise<void> {
  for (let round = 0; !isOver; round++) {
    const isDone = await transfer(round, round === 0 ? plan.transferBytes : LATER_TRANSFER_BYTES);
    if (!isOver) await pause(isDone ? MESSAGE_EVERY_MS : REOPEN_MS);
  }
}

/** Sends bytes and reads the same ones back. @returns whether it came to its end */
async function transfer(round: number, bytes: number): Promise<boolean> {
  const [sentAtMs, name] = [Date.now(), `transfer-${plan.startAtMs}-${round}`];
  const check = new PatternCheck(name);
  let by = 'failed';
  let detail: string | undefined;
  try {
    const upload = request(`${plan.url}/echo/${name}`, {
      method: 'POST',
      agent: false,
      headers: { 'x-bytes': bytes, 'content-length': bytes },
    });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      upload.once('response', resolve).on('error', reject);
    });
    const received = answered.then((response) => readEcho(response, check));
    received.catch(() => {}); // told below
    await Promise.race([send(upload, name, bytes), received]);
    const response = await received;
    const wrong = check.ended(bytes) + Number(response.trailers['x-wrong']);
    if (wrong > 0) say({ line: 'wrong', atMs: Date.now(), what: name, bytes: wrong });
    by = whoIs(response);
  } catch (error) {
    // What came until then must be right all the same.
    if (check.wrong > 0) say({ line: 'wrong', atMs: Date.now(), what: name, bytes: check.wrong });
    detail = `after ${check.bytes} bytes: ${reasonOf(error)}`;
  }
  const tookMs = Date.now() - sentAtMs;
  say({ line: 'transfer', sentAtMs, tookMs, by, bytes, ...(detail === undefined ? {} : { detail }) });
  return by !== 'failed';
}

async function readEcho(response: IncomingMessage, check: PatternCheck): Promise<IncomingMessage> {
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
  let told = 0;
  for await (const chunk of response) {
    check.take(chunk);
    if (check.bytes < told + PROGRESS_BYTES) continue;
    told = check.bytes;
    say({ line: 'progress', atMs: Date.now(), bytes: told });
  }
  if (!response.complete) throw new Error('the answer was cut');
  return response;
}

async function send(upload: ReturnType<typeof request>, name: string, bytes: number): Promise<void> {
  const pattern = new Pattern(name);
  const begun = performance.now();
  const perSecond = plan.transferBytesPerSecond;
  for (let sent = 0; sent < bytes && !upload.destroyed; ) {
    const size = Math.min(64 * 1024, bytes - sent);
    sent += size;
    if (!upload.write(pattern.next(size)))
      await new Promise<void>((resolve) => {
        const done = (): void => {
          upload.off('drain', done).off('close', done);
          resolve();
        };
        upload.on('drain', done).on('close', done);
      });
    const aheadMs = perSecond === 0 ? 0 : (sent / perSecond) * 1000 - (performance.now() - begun);
    if (aheadMs > 0) await pause(aheadMs);
  }
  upload.end();
}

say({ line: 'begun' });
await pause(Math.max(0, plan.startAtMs - Date.now()));
const endAtMs = Date.now() + plan.maxMs;
askEvery(plan.probeEveryMs, ['probe']);
if (plan.requestsPerSecond > 0) askEvery(1000 / plan.requestsPerSecond, ['fresh', 'kept']);
const others: Promise<unknown>[] = Array.from({ length: plan.webSockets }, (_, id) => keepWebSocket(id));
if (plan.transferBytes > 0) others.push(transferAll());
while (!existsSync(plan.stopFile) && Date.now() < endAtMs) await pause(100);
isOver = true;
// What is under way may come to its end.
await Promise.race([Promise.all([...unanswered, ...others]), pause(DEADLINE_MS)]);
say({ line: 'end' });
process.exit(0);
