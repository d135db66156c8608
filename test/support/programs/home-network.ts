// The network a laptop is at home in: a DNS server over UDP and TCP, and an HTTP server, for names that no cluster knows.
// Arguments: the address of the servers, and the names they know with their addresses, as JSON.
// Tells on stdout, as JSON, each name that was asked for, so that a test sees what left the laptop by this way.
import { createSocket } from 'node:dgram';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import dnsPacket from 'dns-packet';

const NXDOMAIN = 3;
const TTL_SECONDS = 30;
const [address = '', names = '{}'] = process.argv.slice(2);
const known: Record<string, string> = JSON.parse(names);

function answer(message: Buffer): Buffer {
  const query = dnsPacket.decode(message);
  const [question] = query.questions ?? [];
  if (question === undefined) throw new Error('no question');
  process.stdout.write(`${JSON.stringify({ name: question.name, type: question.type })}\n`);
  const data = known[question.name.toLowerCase()];
  const code = data === undefined ? NXDOMAIN : 0;
  const flags = dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE | code;
  const answers: dnsPacket.Answer[] =
    data !== undefined && question.type === 'A' ? [{ type: 'A', name: question.name, ttl: TTL_SECONDS, data }] : [];
  return dnsPacket.encode({ type: 'response', id: query.id ?? 0, flags, questions: [question], answers });
}

const udp = createSocket('udp4');
udp.on('message', (message, from) => {
  try {
    udp.send(answer(message), from.port, from.address);
  } catch {
    // not a DNS question: no answer
  }
});
const tcp = createServer((socket) => {
  let rest = Buffer.alloc(0);
  socket.on('error', () => {}); // ECONNRESET by the client
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
      const end = 2 + rest.readUInt16BE(0);
      try {
        const reply = answer(rest.subarray(2, end));
        const size = Buffer.alloc(2);
        size.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([size, reply]));
      } catch {
        socket.destroy(); // not a DNS question
        return;
      }
      rest = rest.subarray(end);
    }
  });
});
const http = createHttpServer((request, response) => {
  response.end(`home ${request.socket.remoteAddress ?? ''}\n`);
});
let listening = 0;
const ready = (): void => {
  listening += 1;
  if (listening === 3) process.stdout.write('{"ready":true}\n');
};
udp.bind(53, address, ready);
tcp.listen(53, address, ready);
http.listen(80, address, ready);
