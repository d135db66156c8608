// What others may have written into the objects of the cluster, and into the user's files.
import assert from 'node:assert/strict';
import {
  originalService,
  originalWorkload,
  readInstall,
  readRetarget,
  recordSummary,
} from '../../../cli/kube/annotation.ts';
import { mergeFiles } from '../../../cli/kube/kubeconfig-merge.ts';
import { AGENT_CONTAINER, INTERCEPT_ANNOTATION } from '../../../cli/kube/names.ts';
import type { Service, Workload } from '../../../cli/kube/objects.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { parseFilter } from '../../../src/http/filters/parse.ts';
import { rawContainer, rawService, rawWorkload } from '../../unit/kube/raw-objects.ts';
import type { Target } from '../target.ts';

const RECORD =
  '{"version":1,"installId":"a1","createdBy":{"user":"ann","host":"desk"},"createdAt":"2026-01-01T00:00:00Z","image":"node:20","codeHash":"c","mode":{"kind":"sidecar"},"container":"app","tunnelPort":9900,"routes":[{"port":9901,"appPort":8080,"protocol":"tcp","servicePorts":[{"service":"web","port":80}],"targetName":"http"}],"configMap":"m","secret":"s","keepAgent":false,"changes":[{"path":["spec","template","spec","containers",{"match":{"name":"app"}},"ports",{"match":{"containerPort":8080},"nth":0},"name"],"was":"http","now":"app-http","made":1},{"path":["metadata","annotations","a"],"now":"b","ours":true,"at":3}]}';
const RETARGET =
  '{"version":1,"installId":"a1","workload":{"kind":"Deployment","name":"web"},"changes":[{"path":["spec","ports",{"match":{"port":80}},"targetPort"],"was":8080,"now":9901}]}';
const TOKENS = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ':',
  ',',
  'null',
  '-1',
  '1e9',
  '"__proto__"',
  '"constructor"',
  '"prototype"',
].concat(
  [
    '"path":',
    '"match":',
    '"nth":',
    '"made":99',
    '"at":-5',
    '"was":',
    '"now":',
    '"ours":true',
    '"version":',
    '"changes":[',
  ],
  ['{"toString":null,"valueOf":null}', '["__proto__","polluted"]', '"metadata"', '"spec"', '"ports"', '{"match":{}}'],
);

export const annotations: Target = {
  name: 'annotations',
  isJson: true,
  seeds: [RECORD, RETARGET],
  tokens: TOKENS,
  run: (input) => {
    const text = input.toString('utf8');
    const annotations = { [INTERCEPT_ANNOTATION]: text };
    const plain = rawWorkload('Deployment', [rawContainer(), rawContainer({ name: AGENT_CONTAINER })]);
    const workload: Workload = { ...plain, metadata: { ...plain.metadata, annotations } };
    const raw = rawService([{ name: 'http', port: 80, targetPort: 9901 }]);
    const service: Service = { ...raw, metadata: { ...raw.metadata, annotations } };
    readInstall(workload);
    readRetarget(service);
    recordSummary(text);
    originalWorkload(workload);
    originalService(service);
    assert.equal(Reflect.get({}, 'polluted'), undefined);
  },
};

const KUBECONFIG = `apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: c, user: u, namespace: n}}]
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:6443', certificate-authority-data: QUJD}}]
users:
- name: u
  user: {token: t, exec: {command: x, apiVersion: client.authentication.k8s.io/v1}}
`;

export const kubeconfigs: Target = {
  name: 'kubeconfigs',
  seeds: [KUBECONFIG],
  tokens: [
    '\n',
    '  ',
    '- ',
    ': ',
    '{',
    '}',
    '[',
    ']',
    '&a ',
    '*a',
    '<<: ',
    '!!binary ',
    'null',
    '|\n',
    "'",
    '"',
    'users:',
    '~',
  ],
  run: async (input) => {
    try {
      const { config } = await mergeFiles([{ file: '/home/ann/.kube/config', text: input.toString('utf8') }]);
      assert.ok(Array.isArray(config.contexts));
    } catch (failure) {
      if (!(failure instanceof InterceptorError) || failure.code !== 'KUBECONFIG_INVALID') throw failure;
    }
  },
};

export const filters: Target = {
  name: 'filters',
  isJson: true,
  seeds: [
    '{"match":"all","conditions":[{"on":"header","name":"x-user","match":{"kind":"regex","value":"^(a|b)+$"}},{"on":"path","match":{"kind":"prefix","value":"/a"}},{"on":"query","name":"q","match":{"kind":"exact","value":"1"}},{"on":"host","match":{"kind":"exact","value":"A"}},{"on":"personal","key":"k","value":"v"}]}',
  ],
  tokens: [...TOKENS, '(a+)+$', '[a-z]{1000}', '(?i)', '\\\\p{L}', '.*.*.*', '((((((', '"regex"', '"any"', '"method"'],
  run: (input) => {
    let value: unknown;
    try {
      value = JSON.parse(input.toString('utf8'));
    } catch {
      return; // whoever sends no JSON is refused before
    }
    try {
      parseFilter(value);
    } catch (failure) {
      if (!(failure instanceof InterceptorError) || failure.code !== 'USAGE_BAD_OPTION') throw failure;
    }
  },
};
