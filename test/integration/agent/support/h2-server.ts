import { createServer } from 'node:http2';
import type { Duplex } from 'node:stream';

export function h2Server(by: string): (connection: Duplex) => void {
  const server = createServer();
  server.on('stream', (stream) => {
    stream.respond({ ':status': 200, by });
    stream.end('ok');
  });
  return (connection) => {
    server.emit('connection', connection);
  };
}
