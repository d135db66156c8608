import dnsPacket, { type RecordType } from 'dns-packet';
import { addressText } from '../../../src/dns/addresses.ts';
import {
  CLASS,
  isTextName,
  type Question,
  questionName,
  RCODE,
  readQuestion,
  readReply,
  TYPE,
} from '../../../src/dns/message.ts';
import type { Resolver } from '../types.ts';
import { encodeReply } from './own-message.ts';
import { answerOwn, fullNames, type OwnNames } from './own-names.ts';
import type { Standing, StandingPort } from './standing.ts';

const SRV = 33;
const TYPE_NAMES: Readonly<Record<number, RecordType>> = { 1: 'A', 12: 'PTR', 28: 'AAAA', 33: 'SRV' };
/**
 * What a Service of a namespace we may not list is assumed to listen on, where the cluster's DNS does not tell its ports
 * (SRV of the Service's name; CoreDNS does).
 */
const COMMON_PORTS = [80, 443, 3000, 3306, 5000, 5432, 5672, 6379, 8000, 8080, 8443, 9000, 9092, 9200, 27017, 50051];
const MAX_LEARNED_ADDRESSES = 32;

export interface SystemResolverOptions extends OwnNames {
  readonly resolver: Resolver;
  /** Whether a watch tells of the Services of this namespace. */
  readonly isWatched: (namespace: string) => boolean;
  /** A Service was found that no watch tells of; resolves when it stands. */
  readonly onLearned: (service: string, standings: readonly Standing[]) => Promise<void>;
}

/** Names as the whole laptop sees them: what stands here by its loopback address, all else as the resolver says. */
export class SystemResolver {
  readonly #options: SystemResolverOptions;

  constructor(options: SystemResolverOptions) {
    this.#options = options;
  }

  /** As Resolver.answer(). */
  async answer(message: Buffer, via: 'udp' | 'tcp'): Promise<Buffer> {
    const question = readQuestion(message);
    if (typeof question === 'string') return await this.#options.resolver.answer(message, via);
    const own = this.#own(question, via);
    if (own !== undefined) return own;
    const answer = await this.#options.resolver.answer(message, via);
    if (await this.#learnFrom(question, answer)) return this.#own(question, via) ?? answer;
    return question.type === TYPE.A ? this.#rewritten(answer) : answer;
  }

  #own(question: Question, via: 'udp' | 'tcp'): Buffer | undefined {
    const type = TYPE_NAMES[question.type];
    if (type === undefined || question.class !== CLASS.IN || !isTextName(question)) return undefined;
    const reply = answerOwn({ name: questionName(question), type }, this.#options);
    return reply && encodeReply(reply, question, this.#options.domain, via);
  }

  /** A Service of a namespace we may not list stands here as soon as somebody asks for it. @returns whether one does now */
  async #learnFrom(question: Question, answer: Buffer): Promise<boolean> {
    if (question.type !== TYPE.A && question.type !== TYPE.AAAA && question.type !== SRV) return false;
    if (question.class !== CLASS.IN || !isTextName(question)) return false;
    const name = questionName(question).toLowerCase();
    const isFull = name.endsWith(`.svc.${this.#options.domain}`);
    // Not more than the search list of a pod would ask, and never what stays on the laptop.
    if (!isFull && (name.startsWith('wpad') || name.endsWith('.local') || !isNxDomain(answer))) return false;
    for (const full of fullNames(name, this.#options)) {
      const [service, namespace] = full.split('.').slice(-2);
      if (service === undefined || namespace === undefined) continue;
      if (service.startsWith('_') || this.#options.isWatched(namespace)) continue;
      if (await this.#learn(namespace, service)) return true;
    }
    return false;
  }

  async #learn(namespace: string, name: string): Promise<boolean> {
    const full = `${name}.${namespace}.svc.${this.#options.domain}`;
    const addresses = addressesIn(await this.#ask(full, 'A')).slice(0, MAX_LEARNED_ADDRESSES);
    if (addresses.length === 0) return false;
    const ports = portsIn(await this.#ask(full, 'SRV'));
    const service = `${namespace}/${name}`;
    const standings = addresses.map((host): Standing => {
      const pod = addresses.length === 1 ? undefined : host.replaceAll('.', '-');
      return { key: pod === undefined ? service : `${service}/${pod}`, service, pod, host, ports };
    });
    await this.#options.onLearned(service, standings);
    return true;
  }

  async #ask(name: string, type: RecordType): Promise<Buffer> {
    const flags = dnsPacket.RECURSION_DESIRED;
    const question = dnsPacket.encode({ type: 'query', id: 0, flags, questions: [{ name, type }] });
    return await this.#options.resolver.answer(question, 'tcp');
  }

  /** Addresses of the cluster that stand here under another name: an ExternalName's target, a name of the user's own. */
  #rewritten(answer: Buffer): Buffer {
    let copy: Buffer | undefined;
    for (const { section, type, dataAt, end } of readReply(answer)?.records ?? []) {
      if (section !== 'answer' || type !== TYPE.A || end - dataAt !== 4) continue;
      const loopback = this.#options.table.loopbackOf(addressText(answer.subarray(dataAt, end)));
      if (loopback === undefined) continue;
      copy ??= Buffer.from(answer); // the resolver may keep its answer
      copy.set(loopback.split('.').map(Number), dataAt);
    }
    return copy ?? answer;
  }
}

function isNxDomain(answer: Buffer): boolean {
  return readReply(answer)?.rcode === RCODE.NXDOMAIN;
}

function addressesIn(answer: Buffer): string[] {
  const records = readReply(answer)?.records ?? [];
  return records
    .filter(({ section, type, dataAt, end }) => section === 'answer' && type === TYPE.A && end - dataAt === 4)
    .map(({ dataAt, end }) => addressText(answer.subarray(dataAt, end)));
}

/** @param answer to an SRV question */
function portsIn(answer: Buffer): StandingPort[] {
  const ports = new Set<number>();
  const SRV_PORT_AT = 4; // RFC 2782: priority, weight, port
  for (const { section, type, dataAt, end } of readReply(answer)?.records ?? []) {
    if (section === 'answer' && type === SRV && end - dataAt > SRV_PORT_AT + 2)
      ports.add(answer.readUInt16BE(dataAt + SRV_PORT_AT));
  }
  const known = ports.size > 0 ? [...ports] : COMMON_PORTS;
  return known.map((port) => ({ protocol: 'tcp', port, name: '' }));
}
