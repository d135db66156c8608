// Runs in the caller pod of test/e2e/hostile-pod.test.ts: stands on the agent's port number where a session is led to it.
// <mode> <agent's host> <port>. Serves one connection, then says as one JSON value on stdout what it saw.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:https';
import type { Transport } from '../../../src/mux/transport.ts';
import { acceptWebSocket, connectWebSocket } from '../../../src/net/transport/websocket.ts';
import { decodeMessage, encodeFrame } from '../../../src/protocol/codec.ts';
import { computeProof } from '../../../src/protocol/handshake.ts';
import { KeyAgreement } from '../../../src/protocol/key-agreement.ts';
import { parseControlMessage } from '../../../src/protocol/parse-control.ts';
import { makeCertificate } from '../test-certificates.ts';

const [mode = '', host = '', port = ''] = process.argv.slice(2);
const DIAL_MS = 30_000;
/** Both sides' handshake: hello and welcome one way. What the agent says behind them is sealed. */
const HANDSHAKE_MESSAGES = 2;

/** An agent without the key: everything is as it must be, but for the proof. */
function forge(session: Transport): void {
  const [nonce, ecdh, pod] = [randomBytes(32).toString('base64url'), new KeyAgreement().publicKey, 'caller'];
  const versions = mode === 'downgrade' ? [1] : [2];
  session.onMessage = (message) => {
    const [frame] = decodeMessage(message);
    const said = frame?.type === 'control' ? parseControlMessage(frame.text) : undefined;
    if (said?.type !== 'proof') return;
    const { version, nonce: sessionNonce, ecdh: sessionEcdh, session: who, link } = said;
    const both = { agentNonce: nonce, sessionNonce, agentEcdh: ecdh, sessionEcdh };
    const transcript = { versions, version, ...both, session: who, pod, link };
    const mac = computeProof(new Uint8Array(32), 'agent', transcript, { received: 0 });
    send(session, { type: 'welcome', received: 0, mac });
  };
  session.onClose = () => tell({});
  session.resume();
  send(session, { type: 'hello', versions, nonce, ecdh, pod });
}

function send(session: Transport, message: unknown): void {
  session.send(encodeFrame({ type: 'control', text: JSON.stringify(message) }));
}

/** Passes messages on between session and agent, keeps them, and touches the first sealed ones as its mode says. */
async function relay(session: Transport): Promise<void> {
  const seen: Buffer[] = [];
  let fromAgent = 0;
  const agent = await connectWebSocket({
    url: `wss://${host.includes(':') ? `[${host}]` : host}:${port}/tunnel`,
    tls: { rejectUnauthorized: false },
    signal: AbortSignal.timeout(DIAL_MS),
    deadlineMs: DIAL_MS,
  });
  session.onMessage = (message) => {
    seen.push(Buffer.from(message));
    agent.send(Uint8Array.from(message));
  };
  agent.onMessage = (message) => {
    const copy = Buffer.from(message);
    seen.push(copy);
    fromAgent += 1;
    const isSealed = fromAgent > HANDSHAKE_MESSAGES;
    if (isSealed && mode === 'drop') return;
    if (isSealed && mode === 'change') copy.writeUInt8(copy.readUInt8(0) ^ 1, 0);
    session.send(Uint8Array.from(copy));
    if (isSealed && mode === 'repeat') session.send(Uint8Array.from(copy));
  };
  const over = (): void => {
    session.terminate();
    agent.terminate();
    tell({ messages: seen.length, seen: Buffer.concat(seen).toString('base64') });
  };
  session.onClose = over;
  agent.onClose = over;
  session.resume();
  agent.resume();
}

function tell(value: unknown): void {
  process.stdout.write(JSON.stringify(value), () => process.exit(0));
}

const { cert, key } = makeCertificate(['caller']);
const server = createServer({ cert, key });
acceptWebSocket(server, {
  pathSuffix: '/tunnel',
  onTransport: (session) => {
    if (mode === 'forge' || mode === 'downgrade') forge(session);
    else void relay(session);
  },
});
// A carrier that checks the certificate does not come as far as a WebSocket.
server.on('tlsClientError', () => tell({ refused: true }));
server.listen(Number(port));
