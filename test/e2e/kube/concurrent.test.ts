import assert from 'node:assert/strict';
import { afterAll, beforeAll, beforeEach, describe, test } from 'vitest';
import { originalService, originalWorkload } from '../../../cli/kube/annotation.ts';
import { type Installed, install } from '../../../cli/kube/apply.ts';
import { INTERCEPT_ANNOTATION, newInstallId } from '../../../cli/kube/names.ts';
import type { Service, Workload, WorkloadRef } from '../../../cli/kube/objects.ts';
import type { InstallRequest } from '../../../cli/kube/plan.ts';
import { type RestoreStep, restore } from '../../../cli/kube/restore.ts';
import { retargetService } from '../../../cli/kube/retarget.ts';
import { Bench, clusterOrReason } from './installing.ts';

const cluster = await clusterOrReason();

for (const ports of ['named', 'numeric'] as const)
  describe.skipIf(cluster === undefined)(`what others change while a ${ports} port is intercepted`, () => {
    let bench: Bench;
    let ref: WorkloadRef;
    let request: InstallRequest;
    let installed: Installed;
    let originals: (Workload | Service)[];
    beforeAll(async () => {
      if (cluster === undefined) return;
      bench = await Bench.open(cluster, 'concurrent');
      ref = await bench.deploy({ name: 'web', ports, replicas: 1 });
      request = await bench.request('web');
      // Without pods every rollout is complete at once.
      await bench.namespace.kubectl(['scale', 'deployment/web', '--replicas=0']);
    });
    beforeEach(async () => {
      installed = await install(bench.client, { ...request, installId: newInstallId() });
      await retargetService(bench.client, ref, installed.record, 'web');
      originals = [originalWorkload(installed.workload), ...request.services.map(originalService)];
    });
    afterAll(async () => bench?.[Symbol.asyncDispose]());

    const kubectl = async (...args: string[]): Promise<string> => await bench.namespace.kubectl(args);
    const patch = async (object: string, value: object): Promise<string> =>
      await kubectl('patch', object, '-p', JSON.stringify(value));

    /** Restores; nothing of ours may be left anywhere. @returns what was told of others' changes, by object */
    const restored = async (): Promise<Record<string, string>> => {
      const told: Record<string, string> = {};
      const onProgress = (step: RestoreStep): void => {
        if (step.step === 'kept') told[step.object] = step.diff;
      };
      await restore(bench.client, ref, { originals, onProgress });
      const text = JSON.stringify(await bench.snapshot(ref));
      assert.ok(!text.includes('kube-intercept') && !text.includes('"ki-') && !text.includes('/drain'), text);
      assert.equal(await bench.leftovers(), '');
      return told;
    };
    const workload = async (): Promise<Workload> => await bench.namespace.get<Workload>('deployment/web');

    test('a scale, as an autoscaler does, stays and is shown', async () => {
      await kubectl('scale', 'deployment/web', '--replicas=0', '--current-replicas=0');
      await patch('deployment/web', { spec: { revisionHistoryLimit: 6 } });
      const told = await restored();
      assert.match(told['deployment/web'] ?? '', /^\+\s+revisionHistoryLimit: 6$/m);
      await patch('deployment/web', { spec: { revisionHistoryLimit: 10 } });
    });

    test('an edit of the app stays, also where it uses a name that we gave', async () => {
      const probe = { httpGet: { path: '/healthz', port: ports === 'named' ? 'ki-http' : 8080 } };
      const app = { name: 'app', startupProbe: probe, env: [{ name: 'NEW', value: 'yes' }] };
      await patch('deployment/web', { spec: { template: { spec: { containers: [app] } } } });
      const told = await restored();
      assert.match(told['deployment/web'] ?? '', /^\+\s+- name: NEW$/m);
      const [container] = (await workload()).spec.template.spec.containers;
      assert.equal(container?.startupProbe?.httpGet?.port, ports === 'named' ? 'http' : 8080);
      await kubectl(
        'patch',
        'deployment',
        'web',
        '--type=json',
        '-p',
        '[{"op":"remove","path":"/spec/template/spec/containers/0/startupProbe"}]',
      );
    });

    test('a renamed container keeps the port that the Service looks for', async () => {
      const { spec } = await workload();
      const index = spec.template.spec.containers.findIndex(({ name }) => name === 'app');
      await kubectl(
        'patch',
        'deployment',
        'web',
        '--type=json',
        '-p',
        JSON.stringify([{ op: 'replace', path: `/spec/template/spec/containers/${index}/name`, value: 'main' }]),
      );
      await restored();
      const [container] = (await workload()).spec.template.spec.containers;
      assert.deepEqual(
        [container?.name, container?.ports?.length, container?.ports?.[0]?.containerPort],
        ['main', 1, 8080],
      );
      assert.equal(container?.ports?.[0]?.name, ports === 'named' ? 'http' : undefined);
      await kubectl(
        'patch',
        'deployment',
        'web',
        '--type=json',
        '-p',
        '[{"op":"replace","path":"/spec/template/spec/containers/0/name","value":"app"}]',
      );
    });

    test('a three-way patch that sets values back, as Helm does at an upgrade, is merged', async () => {
      const app = {
        name: 'app',
        ports: [{ containerPort: 8080, ...(ports === 'named' ? { name: 'http' } : {}) }],
        env: [{ name: 'RELEASE', value: '2' }],
      };
      await kubectl(
        'patch',
        'deployment',
        'web',
        '--field-manager=helm',
        '-p',
        JSON.stringify({ spec: { template: { spec: { containers: [app] } } } }),
      );
      const told = await restored();
      assert.match(told['deployment/web'] ?? '', /^\+\s+- name: RELEASE$/m);
    });

    test('a Service port that gets another number does not go on leading to the agent', async () => {
      await kubectl(
        'patch',
        'service',
        'web',
        '--type=json',
        '-p',
        '[{"op":"replace","path":"/spec/ports/0/port","value":81}]',
      );
      const told = await restored();
      // a Service that is found by a name is not ours to change, nor to tell of
      assert.equal(/^\+\s+port: 81$/m.test(told['service/web'] ?? ''), ports === 'numeric');
      const service = await bench.namespace.get<Service>('service/web');
      assert.equal(service.spec.ports?.[0]?.targetPort, ports === 'named' ? 'http' : 8080);
      await kubectl(
        'patch',
        'service',
        'web',
        '--type=json',
        '-p',
        '[{"op":"replace","path":"/spec/ports/0/port","value":80}]',
      );
    });

    test('an annotation of ours that is taken away is found again', async () => {
      await kubectl('annotate', 'deployment/web', `${INTERCEPT_ANNOTATION}-`);
      const told = await restored();
      assert.equal(told['deployment/web'] ?? '', '');
      assert.deepEqual(
        (await workload()).spec.template.spec.containers.map(({ name }) => name),
        ['app'],
      );
    });

    test('an annotation that cannot be read keeps no Service from being put back', async () => {
      await kubectl('annotate', '--overwrite', 'deployment/web', `${INTERCEPT_ANNOTATION}={"version":99}`);
      await assert.rejects(restore(bench.client, ref), /cannot be read/);
      const service = await bench.namespace.get<Service>('service/web');
      assert.equal(service.spec.ports?.[0]?.targetPort, ports === 'named' ? 'http' : 8080);
      const readable = installed.workload.metadata.annotations?.[INTERCEPT_ANNOTATION] ?? '';
      await kubectl('annotate', '--overwrite', 'deployment/web', `${INTERCEPT_ANNOTATION}=${readable}`);
      await restored();
    });
  });
