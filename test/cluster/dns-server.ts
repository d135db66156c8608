/**
 * The cluster's DNS server, for Debian has no CoreDNS: watches Services and Endpoints, answers over UDP and TCP.
 * Arguments: a kubeconfig as pki.ts writes it, and the address to listen on.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import dnsPacket from 'dns-packet';
import { type EndpointsObject, resolveQuestion, type ServiceObject } from './dns-records.ts';
import { followObjects, readAccess } from './dns-watch.ts';
import { CLUSTER_DOMAIN, DNS_PORT } from './layout.ts';

const RESPONSE_CODES = { NOERROR: 0, NXDOMAIN: 3 } as const;
const MIN_UDP_BYTES = 512;
const NEGATIVE_TTL_SECONDS = 5;

const [kubeconfig = '', address = ''] = process.argv.slice(2);
const services = new Map<string, ServiceObject>();
const endpoints = new Map<string, EndpointsObject>();
const access = await readAccess(kubeconfig);
void followObjects(access, 'services', services);
void followObjects(access, 'endpoints', endpoints);

function answer(query: dnsPacket.Packet): dnsPacket.Packet {
  const [question] = query.questions ?? [];
  if (question === undefined) return { type: 'response', id: query.id ?? 0, flags: 1 }; // FORMERR
  const reply = resolveQuestion(question, { services, endpoints });
  const answers = reply.code === 'NOERROR' ? [...reply.answers] : [];
  const flags = (query.flags ?? 0) & dnsPacket.RECURSION_DESIRED;
  const packet: dnsPacket.Packet = {
    type: 'response',
    id: query.id ?? 0,
    flags: flags | dnsPacket.AUTHORITATIVE_ANSWER | dnsPacket.RECURSION_AVAILABLE | RESPONSE_CODES[reply.code],
    questions: [question],
    answers,
  };
  if (answers.length === 0) packet.authorities = [startOfAuthority()];
  return packet;
}

function startOfAuthority(): dnsPacket.Answer {
  const times = { serial: 1, refresh: 7200, retry: 1800, expire: 86_400, minimum: NEGATIVE_TTL_SECONDS };
  const data = { mname: `ns.dns.${CLUSTER_DOMAIN}`, rname: `hostmaster.${CLUSTER_DOMAIN}`, ...times };
  return { type: 'SOA', name: CLUSTER_DOMAIN, ttl: NEGATIVE_TTL_SECONDS, data };
}

function largestReply(query: dnsPacket.Packet): number {
  const edns = query.additionals?.find((record) => record.type === 'OPT');
  return Math.max(MIN_UDP_BYTES, edns?.type === 'OPT' ? edns.udpPayloadSize : 0);
}

const udp = createSocket('udp4');
udp.on('message', (message, from) => {
  try {
    const query = dnsPacket.decode(message);
    const reply = answer(query);
    let bytes = dnsPacket.encode(reply);
    if (bytes.length > largestReply(query)) {
      const flags = (reply.flags ?? 0) | dnsPacket.TRUNCATED_RESPONSE;
      bytes = dnsPacket.encode({ ...reply, flags, answers: [] });
    }
    udp.send(bytes, from.port, from.address);
  } catch (error) {
    process.stderr.write(`udp: ${error}\n`); // not a DNS message: no answer
  }
});
udp.bind(DNS_PORT, address);

const tcp = createServer((socket) => {
  let buffered = Buffer.alloc(0);
  socket.on('error', () => {}); // ECONNRESET by the client
  socket.on('data', (chunk) => {
    buffered = Buffer.concat([buffered, chunk]);
    while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
      const length = 2 + buffered.readUInt16BE(0);
      try {
        socket.write(dnsPacket.streamEncode(answer(dnsPacket.decode(buffered.subarray(2, length)))));
      } catch {
        socket.destroy(); // not a DNS message
        return;
      }
      buffered = buffered.subarray(length);
    }
  });
});
tcp.listen(DNS_PORT, address);
