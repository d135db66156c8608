import assert from 'node:assert/strict';
import type { Question } from 'dns-packet';
import { beforeEach, describe, test } from 'vitest';
import type { Service } from '../../../../cli/kube/objects.ts';
import { answerOwn, fullNames, type OwnNames, type Reply } from '../../../../cli/network/system/own-names.ts';
import { ServiceTable } from '../../../../cli/network/system/service-table.ts';

const SEARCH = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.example'];

function service(name: string, namespace: string, clusterIP: string, type = 'ClusterIP'): Service {
  const ports = [
    { name: 'http', port: 80, protocol: 'TCP' },
    { name: 'dns', port: 53, protocol: 'UDP' },
  ];
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { type, clusterIP, ports },
  } as Service;
}

let table: ServiceTable;
let names: OwnNames;
beforeEach(() => {
  table = new ServiceTable();
  table.setService(service('api', 'shop', '10.96.0.1'));
  table.setService(service('api', 'other', '10.96.0.2'));
  table.setService(service('app', 'shop', '10.96.0.3')); // .app is a top-level domain
  table.setService(service('db', 'shop', 'None'));
  table.setService(service('empty', 'shop', 'None'));
  table.setService(service('elsewhere', 'shop', '', 'ExternalName'));
  table.setEndpoints({
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { name: 'db', namespace: 'shop' },
    subsets: [
      {
        addresses: [{ ip: '10.244.0.5', hostname: 'db-0' }, { ip: '10.244.0.6' }],
        ports: [{ name: 'pg', port: 5432, protocol: 'TCP' }],
      },
    ],
  });
  table.settle();
  names = { domain: 'cluster.local', search: SEARCH, table };
});

const ask = (name: string, type: Question['type'] = 'A'): Reply | undefined => answerOwn({ name, type }, names);
const addresses = (name: string): unknown[] | undefined =>
  ask(name)?.answers.map((answer) => (answer.type === 'A' ? answer.data : answer));
const standing = (address: string): string => table.loopbackOf(address) ?? 'none';

describe('names', () => {
  test.each(['api', 'API', 'api.shop', 'api.shop.svc', 'api.shop.svc.cluster.local', 'Api.Shop.Svc.Cluster.Local.'])(
    '%s is the Service of the pod’s own namespace',
    (name) => assert.deepEqual(addresses(name), [standing('10.96.0.1')]),
  );

  test('api.other is the one of another namespace', () => {
    for (const name of ['api.other', 'api.other.svc', 'api.other.svc.cluster.local'])
      assert.deepEqual(addresses(name), [standing('10.96.0.2')]);
  });

  test('a headless Service is all its pods, and each by its name or its address', () => {
    assert.deepEqual(addresses('db'), [standing('10.244.0.5'), standing('10.244.0.6')]);
    assert.deepEqual(addresses('db-0.db'), [standing('10.244.0.5')]);
    assert.deepEqual(addresses('10-244-0-6.db.shop.svc.cluster.local'), [standing('10.244.0.6')]);
  });

  test('what is not the cluster’s, ExternalNames and unknown names are the resolver’s', () => {
    for (const name of ['example.com', 'none', 'api.none', 'elsewhere', 'api.corp.example', 'cluster.local', 'svc', ''])
      assert.equal(ask(name), undefined, name);
    assert.equal(ask('api', 'MX'), undefined);
  });

  test('below a Service there is nothing, and a headless one without pods does not exist', () => {
    for (const name of [
      'x.api.shop.svc.cluster.local',
      'db-9.db.shop.svc.cluster.local',
      'empty.shop.svc.cluster.local',
    ])
      assert.equal(ask(name)?.code, 'NXDOMAIN', name);
  });

  test('a Service called like a top-level domain takes no name of the internet away', () => {
    assert.deepEqual(addresses('app'), [standing('10.96.0.3')]);
    assert.equal(ask('www.app'), undefined);
    assert.equal(ask('deep.www.app'), undefined);
  });

  test('a name is looked for along the pod’s search list, a full one as it is', () => {
    assert.deepEqual(fullNames('api', names), ['api.shop', 'api']);
    assert.deepEqual(fullNames('api.other.svc', names), ['api.other.svc.shop', 'api.other.svc', 'api.other']);
    assert.deepEqual(fullNames('api.other.svc.cluster.local', names), ['api.other']);
    assert.deepEqual(fullNames('node.cluster.local', names), []);
  });
});

describe('types', () => {
  test('AAAA of what is there is no data, so that the A record is taken', () => {
    for (const name of ['api', 'db', 'db-0.db'])
      assert.deepEqual(ask(name, 'AAAA'), { code: 'NOERROR', answers: [], additionals: [] });
  });

  test('SRV of a named port is the Service and its port, with its address beside', () => {
    const target = 'api.shop.svc.cluster.local';
    const name = '_http._tcp.api';
    assert.deepEqual(ask(name, 'SRV'), {
      code: 'NOERROR',
      answers: [{ type: 'SRV', name, ttl: 5, data: { target, port: 80, priority: 0, weight: 100 } }],
      additionals: [{ type: 'A', name: target, ttl: 5, data: standing('10.96.0.1') }],
    });
    assert.equal(ask('_http._udp.api.shop.svc.cluster.local', 'SRV')?.code, 'NXDOMAIN');
    assert.equal(ask('_none._tcp.api.shop.svc.cluster.local', 'SRV')?.code, 'NXDOMAIN');
    assert.deepEqual(ask(name, 'A')?.answers, []);
  });

  test('SRV of a headless Service is one record for each pod', () => {
    const targets = ask('_pg._tcp.db', 'SRV')?.answers.map((answer) =>
      answer.type === 'SRV' ? answer.data.target : '',
    );
    assert.deepEqual(targets, ['db-0.db.shop.svc.cluster.local', '10-244-0-6.db.shop.svc.cluster.local']);
  });

  test('PTR of an address here is the Service that stands behind it', () => {
    const reverse = (address: string): string => `${address.split('.').reverse().join('.')}.in-addr.arpa`;
    const answer = ask(reverse(standing('10.244.0.5')), 'PTR')?.answers[0];
    assert.equal(answer?.type === 'PTR' && answer.data, 'db-0.db.shop.svc.cluster.local');
    assert.equal(ask(reverse('127.0.0.1'), 'PTR'), undefined);
    assert.equal(ask('api', 'PTR'), undefined);
  });
});
