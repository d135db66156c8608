import assert from 'node:assert/strict';
import { test } from 'vitest';
import { askServers } from '../../../cli/network/dns/ask-server.ts';
import { openLaptopFlow } from '../../../cli/network/egress/udp-flows.ts';
import { makeQuestion } from '../../../src/dns/make.ts';

// connect(2) is refused at once (EACCES), as it is without a route (ENETUNREACH) or without IPv6 (EADDRNOTAVAIL).
const REFUSED = '255.255.255.255';

test('a flow of datagrams that the laptop has no way for ends', async () => {
  const flow = openLaptopFlow(REFUSED, 9);
  const closed = new Promise<void>((resolve) => {
    flow.onClose = resolve;
  });
  flow.send(Buffer.from('x'));
  await closed;
});

test('a DNS server that the laptop has no way to makes room for the next one', async () => {
  const server = { host: REFUSED, port: 53 };
  await assert.rejects(askServers([server], makeQuestion('a.example', 'A'), AbortSignal.timeout(5_000)), {
    code: 'EACCES',
  });
});
