// DNS messages: what programs ask, and what resolvers answer.
import assert from 'node:assert/strict';
import { encode } from 'dns-packet';
import { parseHosts } from '../../../agent/outgoing/lookup.ts';
import { answeredAddresses, hasAnswers } from '../../../src/dns/answers.ts';
import { ReplyCache } from '../../../src/dns/cache.ts';
import { makeClassifier } from '../../../src/dns/classify.ts';
import { fitUdp, replyFor, udpLimitBytes } from '../../../src/dns/fit.ts';
import {
  badVersionReply,
  emptyReply,
  forwardedQuestion,
  syntheticReply,
  unreadableReply,
} from '../../../src/dns/make.ts';
import {
  answers,
  isTextName,
  MAX_MESSAGE_BYTES,
  type Question,
  questionKey,
  questionName,
  RCODE,
  readQuestion,
  readReply,
} from '../../../src/dns/message.ts';
import { searchCandidates } from '../../../src/dns/names.ts';
import { parseResolvConf } from '../../../src/dns/resolv-conf.ts';
import { reverseRange } from '../../../src/dns/reverse.ts';
import { query } from '../../unit/dns/messages.ts';
import type { Target } from '../target.ts';

const NAME = 'api.shop.svc.cluster.local';
const classify = makeClassifier({
  search: ['shop.svc.cluster.local'],
  laptopSuffixes: ['corp'],
  clusterSuffixes: ['db.corp'],
  isClusterAddress: () => false,
});

export const questions: Target = {
  name: 'DNS questions',
  seeds: [query(NAME), query('A.B', 'AAAA', 1232), query('1.0.0.127.in-addr.arpa', 'PTR'), query('x', 'TXT', 65_535)],
  tokens: ['\xc0\x0c', '\x00', '\x3f', '\x40', '\x00\x01\x00\x01', '\x00\x00\x29'],
  run: (input) => {
    const question = readQuestion(input);
    if (question === 'nothing') return;
    if (typeof question === 'string') {
      assert.ok(unreadableReply(input, RCODE.FORMERR).byteLength <= input.byteLength);
      return;
    }
    checkQuestion(question);
  },
};

/** All that is made of a question can be read, and is about the same. */
function checkQuestion(question: Question): void {
  const name = questionName(question);
  classify(name);
  reverseRange(name);
  searchCandidates(name, ['a', 'b.'], 2);
  const asked = readQuestion(forwardedQuestion(question));
  assert.ok(typeof asked !== 'string');
  assert.equal(questionName(asked), name);
  assert.equal(questionKey(asked), questionKey(question));
  const values = ['10.0.0.1', 'fd00::1', 'web.example'];
  const made = [RCODE.SERVFAIL, RCODE.NXDOMAIN].map((rcode) => emptyReply(question, rcode));
  made.push(syntheticReply(question, { rcode: RCODE.NOERROR, values, ttlSeconds: 5 }));
  made.push(syntheticReply(question, { rcode: RCODE.NXDOMAIN, values: [], ttlSeconds: 5 }));
  if (question.edns !== undefined) made.push(badVersionReply(question));
  for (const message of made) {
    const reply = readReply(message);
    assert.ok(reply !== undefined && answers(reply, question), 'a reply of our own cannot be read');
    assert.equal(message.readUInt16BE(0), question.message.readUInt16BE(0));
  }
  isTextName(question);
}

const asker = readQuestion(query(NAME, 'A', 512, 7));
const REPLY = encode({
  type: 'response',
  id: 1,
  questions: [{ name: NAME, type: 'A', class: 'IN' }],
  answers: [
    { type: 'CNAME', name: NAME, ttl: 5, data: 'web.example' },
    { type: 'A', name: 'web.example', ttl: 5, data: '10.0.0.1' },
    { type: 'AAAA', name: 'web.example', ttl: 0, data: 'fd00::1' },
  ],
  authorities: [{ type: 'NS', name: 'example', ttl: 5, data: 'ns.example' }],
});

export const replies: Target = {
  name: 'DNS replies',
  seeds: [REPLY],
  tokens: ['\xc0\x0c', '\xc0\x00', '\xff\xff', '\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00', '\x00\x01'],
  run: (input) => {
    const reply = readReply(input);
    if (reply === undefined) return;
    answeredAddresses(reply);
    hasAnswers(reply);
    assert.ok(reply.records.every(({ start, end }, at) => start < end && start >= (reply.records[at - 1]?.end ?? 0)));
    assert.ok((reply.records.at(-1)?.end ?? 0) <= input.byteLength);
    const cache = new ReplyCache({ maxEntries: 2, maxBytes: 4_096 });
    cache.set('key', { reply }, 0);
    assert.ok(cache.bytes <= 4_096);
    assert.ok(typeof asker !== 'string');
    if (!answers(reply, asker)) return;
    const told = replyFor(asker, reply, 3);
    assert.equal(told.byteLength, input.byteLength);
    const cut = fitUdp(asker, reply, told);
    assert.ok(cut.byteLength <= Math.max(udpLimitBytes(asker), 512) && cut.byteLength <= MAX_MESSAGE_BYTES);
    const again = readReply(cut);
    assert.ok(again !== undefined && answers(again, asker), 'a reply that was cut cannot be read');
  },
};

export const resolverFiles: Target = {
  name: 'resolv.conf and hosts',
  seeds: [
    'nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local\noptions ndots:5 rotate\n',
    '127.0.0.1 localhost # x\n',
  ],
  tokens: ['nameserver ', 'search ', 'options ndots:', '\n', '#', ' '],
  run: (input) => {
    const text = input.toString('utf8');
    const { nameservers, search, ndots } = parseResolvConf(text);
    assert.ok(nameservers.length <= 3 && search.length <= 32 && ndots <= 15);
    parseHosts(text, 'localhost');
  },
};
