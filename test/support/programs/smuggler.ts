// Runs in the caller pod of test/e2e/smuggling.test.ts: <host>. Sends every case of the corpus, as it is and with the key of the filter in
// its first request, and asks app and process after each what reached them. Says a list of Smuggled as JSON on stdout.
import { connect } from 'node:net';
import { HTTP_CORPUS } from '../http-corpus.ts';
import type { Recorded } from './http-recorder.ts';

export interface Smuggled {
  readonly name: string;
  readonly keyed: boolean;
  readonly requests: number;
  readonly refused: boolean;
  /** As latin1. */
  readonly sent: string;
  /** Status codes of the answers. */
  readonly answers: readonly number[];
  /** How the connection came to its end: `ended` by the agent, or `left` by the caller once it had all answers. */
  readonly end: 'ended' | 'left' | 'reset' | 'late';
  readonly app: Recorded;
  readonly laptop: Recorded;
}

const [host = ''] = process.argv.slice(2);
const KEY = 'X-User: dev\r\n';
const DEADLINE_MS = 8_000;

const take = async (headers: Record<string, string>): Promise<Recorded> => {
  const response = await fetch(`http://${host}:81/take`, { headers, signal: AbortSignal.timeout(DEADLINE_MS) });
  return (await response.json()) as Recorded;
};

/** Sends bytes and waits for so many answers, or until the agent ends the connection. */
function send(bytes: Buffer, expected: number): Promise<Pick<Smuggled, 'answers' | 'end'>> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: 80, noDelay: true });
    let text = '';
    const answers = (): number[] => [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => Number(status));
    const done = (end: Smuggled['end']): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ answers: answers(), end });
    };
    const timer = setTimeout(() => done('late'), DEADLINE_MS);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      // The answer's own body behind it: `app` or `laptop`.
      if (expected > 0 && answers().length >= expected && text.endsWith('\n')) done('left');
    });
    socket.on('end', () => done('ended')).on('error', () => done('reset'));
    socket.write(bytes);
  });
}

/** The same bytes with the key behind the first request's line; undefined where there is no such line to be found. */
function withKey(bytes: Buffer): Buffer | undefined {
  const text = bytes.toString('latin1');
  const line = /^(?:\r\n)?[A-Z(a-z]+ \S+ HTTP\/1\.[01]\r\n/.exec(text)?.[0];
  return line === undefined ? undefined : Buffer.from(line + KEY + text.slice(line.length), 'latin1');
}

await Promise.all([take({}), take({ 'x-user': 'dev' })]);
const results: Smuggled[] = [];
for (const { name, bytes, requests, refused } of HTTP_CORPUS) {
  for (const keyed of [false, true]) {
    const sent = keyed ? withKey(bytes) : bytes;
    if (sent === undefined) continue;
    const { answers, end } = await send(sent, refused ? 0 : requests);
    const [app, laptop] = await Promise.all([take({}), take({ 'x-user': 'dev' })]);
    results.push({ name, keyed, requests, refused, sent: sent.toString('latin1'), answers, end, app, laptop });
  }
}
console.log(JSON.stringify(results));
