import assert from 'node:assert/strict';
import dnsPacket from 'dns-packet';
import fc from 'fast-check';
import { test } from 'vitest';
import { answeredAddresses } from '../../../src/dns/answers.ts';
import { fitUdp, replyFor, udpLimitBytes } from '../../../src/dns/fit.ts';
import {
  badVersionReply,
  emptyReply,
  forwardedQuestion,
  makeQuestion,
  syntheticReply,
  unreadableReply,
} from '../../../src/dns/make.ts';
import {
  answers,
  isTextName,
  questionKey,
  questionName,
  RCODE,
  readQuestion,
  readReply,
} from '../../../src/dns/message.ts';
import { addresses, asQuestion, asReply, opt, query, replyTo, soa } from './messages.ts';

const anyLabel = fc.stringMatching(/^[A-Za-z0-9_-]{1,63}$/);
const anyName = fc
  .array(anyLabel, { minLength: 1, maxLength: 5 })
  .map((labels) => labels.join('.'))
  .filter((name) => name.length <= 253);
const anyType = fc.constantFrom<dnsPacket.RecordType>('A', 'AAAA', 'SRV', 'TXT', 'MX', 'PTR', 'SOA');

test('every question dns-packet writes is read as it is', () => {
  fc.assert(
    fc.property(anyName, anyType, fc.constantFrom(0, 512, 1232, 4096), (name, type, ednsBytes) => {
      const message = query(name, type, ednsBytes);
      const question = asQuestion(message);
      assert.equal(questionName(question), name);
      assert.ok(isTextName(question));
      assert.equal(question.edns?.udpBytes ?? 0, ednsBytes);
      assert.equal(dnsPacket.decode(forwardedQuestion(question)).questions?.[0]?.type, type);
    }),
  );
});

test('no bytes make the readers throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      readQuestion(Buffer.from(bytes));
      readReply(Buffer.from(bytes));
    }),
    { numRuns: 2000 },
  );
});

test('a real message with any bytes changed or cut off is read, refused, and never thrown at', () => {
  const whole = replyTo(query('web.test', 'A', 1232), {
    answers: addresses('web.test', 30, '10.0.0.1', 'fd00::1'),
    authorities: [soa(30, 30)],
    additionals: [opt(1232)],
  });
  const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 8 }), fc.nat(whole.length), (changes, length) => {
      const bytes = Buffer.from(whole);
      for (const [at, value] of changes) bytes[at] = value;
      const reply = readReply(bytes.subarray(0, length));
      readQuestion(bytes.subarray(0, length));
      if (reply === undefined) return;
      const question = asQuestion(query('web.test', 'A', 512));
      if (answers(reply, question)) fitUdp(question, reply, replyFor(question, reply, 5));
      answeredAddresses(reply);
    }),
    { numRuns: 2000 },
  );
});

test('an answer, and what is too short for an id, are no questions', () => {
  assert.equal(readQuestion(replyTo(query('a'), {})), 'nothing');
  assert.equal(readQuestion(Buffer.alloc(0)), 'nothing');
  assert.equal(readQuestion(query('a').subarray(0, 11)), 'nothing');
});

test('other opcodes are unsupported; no or two questions, broken names, cut records and two OPTs are malformed', () => {
  const notify = query('a');
  notify.writeUInt16BE(0x2000, 2);
  assert.equal(readQuestion(notify), 'unsupported');
  for (const count of [0, 2]) {
    const message = query('a');
    message.writeUInt16BE(count, 4);
    assert.equal(readQuestion(message), 'malformed');
  }
  for (const length of [64, 0x80, 0xc0]) {
    const message = query('a'.repeat(60));
    message[12] = length;
    assert.equal(readQuestion(message), 'malformed', String(length));
  }
  const cut = query('a', 'A', 1232);
  assert.equal(readQuestion(cut.subarray(0, cut.length - 1)), 'malformed');
  const twice = dnsPacket.encode({ questions: [{ name: 'a', type: 'A' }], additionals: [opt(512), opt(512)] });
  assert.equal(readQuestion(twice), 'malformed');
});

test('a name of 255 bytes on the wire is read, one of 256 is not', () => {
  const wire = (last: number): Buffer => {
    const labels = [63, 63, 63, last].map((length) =>
      Buffer.concat([Buffer.from([length]), Buffer.alloc(length, 'a')]),
    );
    const head = query('x').subarray(0, 12);
    return Buffer.concat([head, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
  };
  assert.equal(questionName(asQuestion(wire(61))).length, 253);
  assert.equal(readQuestion(wire(62)), 'malformed');
});

test('pointers that loop or go forward make a reply broken', () => {
  const reply = replyTo(query('web.test'), { answers: addresses('web.test', 30, '10.0.0.1') });
  const end = asReply(reply).questionEnd;
  const record = reply.subarray(end + 10); // behind the owner's name (1+3+1+4+1 bytes)
  const owner = (target: number): Buffer => {
    const pointer = Buffer.alloc(2);
    pointer.writeUInt16BE(0xc000 | target);
    return Buffer.concat([reply.subarray(0, end), pointer, record]);
  };
  assert.ok(readReply(owner(12)));
  for (const target of [end, end + 2, 5000, 0]) assert.equal(readReply(owner(target)), undefined, String(target));
});

test('a reply is to a question with the same name, type and class, the case of the name aside', () => {
  const reply = asReply(replyTo(query('Web.Test'), {}));
  assert.ok(answers(reply, asQuestion(query('wEB.tEST'))));
  assert.ok(!answers(reply, asQuestion(query('web.tesu'))));
  assert.ok(!answers(reply, asQuestion(query('web.test', 'AAAA'))));
  assert.ok(!answers(reply, asQuestion(query('web.test.x'))));
});

test('questions have the same key when they have the same answer', () => {
  const key = (message: Buffer): string => questionKey(asQuestion(message));
  assert.equal(key(query('Web.Test')), key(query('web.test', 'A', 0, 1)));
  assert.equal(key(query('web.test', 'A', 512)), key(query('web.test', 'A', 4096)));
  const keys = [query('web.test'), query('web.test', 'AAAA'), query('web.tesu'), query('web.test', 'A', 512)].map(key);
  assert.equal(new Set(keys).size, keys.length);
});

test('a reply is given to another asker under its id, in its spelling, with TTLs lower by the age', () => {
  const reply = asReply(
    replyTo(query('web.test', 'A', 512), {
      answers: addresses('web.test', 30, '10.0.0.1'),
      authorities: [soa(3, 3)],
      additionals: [{ ...opt(512), flags: dnsPacket.DNSSEC_OK }],
    }),
  );
  const before = Buffer.from(reply.message);
  const asker = query('wEb.TEST', 'A', 512, 99);
  asker.writeUInt16BE(0, 2); // no recursion desired
  const told = dnsPacket.decode(replyFor(asQuestion(asker), reply, 10));
  assert.equal(told.id, 99);
  assert.equal((told.flags ?? 0) & dnsPacket.RECURSION_DESIRED, 0);
  assert.equal(told.questions?.[0]?.name, 'wEb.TEST');
  assert.deepEqual(
    [told.answers?.[0], told.authorities?.[0]].map((record) => record !== undefined && 'ttl' in record && record.ttl),
    [20, 0],
  );
  const [edns] = told.additionals ?? [];
  assert.equal(edns?.type === 'OPT' && edns.flag_do, true); // no TTL, though it lies where one would
  assert.deepEqual(reply.message, before);
});

test('the asker’s EDNS size limits an answer over UDP, 512 at least', () => {
  assert.equal(udpLimitBytes(asQuestion(query('a'))), 512);
  assert.equal(udpLimitBytes(asQuestion(query('a', 'A', 100))), 512);
  assert.equal(udpLimitBytes(asQuestion(query('a', 'A', 4096))), 4096);
});

test('what does not fit is cut between records, with TC, and keeps the OPT', () => {
  const many = Array.from({ length: 60 }, (_, index) => `10.0.0.${index}`);
  for (const [ednsBytes, limit] of [
    [0, 512],
    [1232, 1232],
  ] as const) {
    const question = asQuestion(query('web.test', 'A', ednsBytes));
    const additionals = ednsBytes === 0 ? [] : [opt(4096)];
    const whole = replyTo(question.message, { answers: addresses('web.test', 30, ...many), additionals });
    const cut = fitUdp(question, asReply(whole), whole);
    const told = dnsPacket.decode(cut);
    assert.ok(cut.length <= limit && cut.length > limit - 40, String(cut.length));
    assert.equal(told.flag_tc, true);
    assert.equal(told.answers?.length, Math.floor((limit - 26 - (ednsBytes === 0 ? 0 : 11)) / 24));
    assert.equal(told.additionals?.length, additionals.length);
  }
});

test('what only helps is dropped without TC', () => {
  const question = asQuestion(query('web.test'));
  const glue = addresses('ns.test', 30, ...Array.from({ length: 60 }, (_, index) => `10.0.0.${index}`));
  const whole = replyTo(question.message, { answers: addresses('web.test', 30, '10.1.1.1'), additionals: glue });
  const told = dnsPacket.decode(fitUdp(question, asReply(whole), whole));
  assert.equal(told.flag_tc, false);
  assert.equal(told.answers?.length, 1);
  assert.equal(told.additionals?.length, 0);
});

test('an answer that fits is sent as it is', () => {
  const question = asQuestion(query('web.test'));
  const whole = replyTo(question.message, { answers: addresses('web.test', 30, '10.1.1.1') });
  assert.equal(fitUdp(question, asReply(whole), whole), whole);
});

test('empty replies keep id, question and EDNS of the asker', () => {
  const told = dnsPacket.decode(emptyReply(asQuestion(query('Web.test', 'SRV', 1232, 7)), RCODE.SERVFAIL));
  assert.equal(told.id, 7);
  assert.equal(told.type, 'response');
  assert.equal((told.flags ?? 0) & 15, RCODE.SERVFAIL);
  assert.deepEqual(told.questions, [{ name: 'Web.test', type: 'SRV', class: 'IN' }]);
  assert.equal(told.additionals?.[0]?.type, 'OPT');
});

test('an unreadable question is answered with a header alone', () => {
  const told = unreadableReply(query('a', 'A', 0, 12), RCODE.FORMERR);
  assert.equal(told.length, 12);
  assert.equal(told.readUInt16BE(0), 12);
  assert.equal(told.readUInt16BE(2) & 0x800f, 0x8001);
  assert.equal(told.readUInt16BE(4), 0);
});

test('an unknown EDNS version is BADVERS', () => {
  const message = dnsPacket.encode({
    questions: [{ name: 'a', type: 'A' }],
    additionals: [{ ...opt(512), ednsVersion: 1 }],
  });
  const question = asQuestion(message);
  assert.equal(question.edns?.version, 1);
  const [record] = dnsPacket.decode(badVersionReply(question)).additionals ?? [];
  assert.equal(record?.type === 'OPT' && record.extendedRcode, 1);
});

test('a forwarded question keeps name, case, type and DNSSEC wishes, and drops the neighbour’s options', () => {
  const options = [{ code: 12 as const, length: 8 }]; // padding
  const cookie = { ...opt(4096), flags: dnsPacket.DNSSEC_OK, options };
  const message = dnsPacket.encode({
    id: 9,
    flags: 0x30,
    questions: [{ name: 'Web.Test', type: 'TXT' }],
    additionals: [cookie],
  });
  const told = dnsPacket.decode(forwardedQuestion(asQuestion(message)));
  assert.equal(told.id, 0);
  assert.equal(told.flags, 0x130);
  assert.deepEqual(told.questions, [{ name: 'Web.Test', type: 'TXT', class: 'IN' }]);
  const [record] = told.additionals ?? [];
  assert.ok(record?.type === 'OPT');
  assert.equal(record.flag_do, true);
  assert.equal(record.udpPayloadSize, 1232);
  assert.deepEqual(record.options, []);
});

test('a synthetic answer has the addresses of the asked family, or a SOA that says how long the "no" holds', () => {
  const values = ['10.0.0.1', 'fd00::1'];
  const yes = asReply(syntheticReply(asQuestion(query('nas', 'AAAA', 512)), { rcode: 0, values, ttlSeconds: 10 }));
  assert.deepEqual(answeredAddresses(yes), [{ address: 'fd00::1', family: 6 }]);
  const no = dnsPacket.decode(syntheticReply(asQuestion(query('NAS')), { rcode: 3, values: [], ttlSeconds: 10 }));
  assert.equal((no.flags ?? 0) & 15, 3);
  assert.equal(no.questions?.[0]?.name, 'NAS');
  assert.equal(no.authorities?.[0]?.type, 'SOA');
  const none = dnsPacket.decode(syntheticReply(asQuestion(query('NAS', 'MX')), { rcode: 0, values, ttlSeconds: 10 }));
  assert.equal(none.questions?.[0]?.type, 'MX');
});

test('a question made by us is refused for a name no server could be asked for', () => {
  assert.throws(() => makeQuestion(`${'a'.repeat(64)}.test`, 'A'), /63/);
  assert.equal(questionName(asQuestion(makeQuestion('web.test.', 'AAAA'))), 'web.test');
});
