import type { Target } from './target.ts';
import { questions, replies, resolverFiles } from './targets/dns.ts';
import { firstBytes, h1Requests, http } from './targets/http.ts';
import { proxyClients, socksDatagrams, webSockets } from './targets/laptop.ts';
import { annotations, filters, kubeconfigs } from './targets/objects.ts';
import { agentConfigs, control, frames, handshakes, prefixes, requests, tunnel } from './targets/tunnel.ts';

/** All that reads what comes from outside. */
export const TARGETS: readonly Target[] = [
  ...[frames, control, requests, handshakes, tunnel, prefixes, agentConfigs],
  ...[firstBytes, h1Requests, http],
  ...[questions, replies, resolverFiles],
  ...[socksDatagrams, proxyClients, webSockets],
  ...[annotations, kubeconfigs, filters],
];
