// The baseline of the benchmark: a WebSocket server in a pod, with nothing of the tunnel. Bundled with ws by bare-socket.ts.
// /echo: sends each message back. /sink/n: says so when n bytes have come. /source/n: sends n bytes. In the path, because the API
// server drops the query of an upgrade.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { WebSocketServer } from 'ws';

const CHUNK = Buffer.alloc(64 * 1024);
const HIGH_WATER_BYTES = 1024 * 1024;
const server = createServer(
  { key: readFileSync('/bench/tls.key'), cert: readFileSync('/bench/tls.crt') },
  (_, response) => response.end('ok'),
);
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (socket, request) => {
  const [mode, count] = request.url.split('/').slice(-2);
  const bytes = Number(count);
  if (mode === 'echo') socket.on('message', (message) => socket.send(message));
  else if (mode === 'sink') {
    let left = bytes;
    socket.on('message', (message) => {
      left -= message.length;
      if (left <= 0) socket.send('done');
    });
  } else {
    let left = bytes;
    const pump = () => {
      while (left > 0 && socket.bufferedAmount < HIGH_WATER_BYTES) {
        socket.send(CHUNK, left > CHUNK.length ? undefined : pump);
        left -= CHUNK.length;
      }
      if (left > 0) socket._socket.once('drain', pump);
    };
    pump();
  }
});
server.listen(8443);
process.on('SIGTERM', () => process.exit(0));
