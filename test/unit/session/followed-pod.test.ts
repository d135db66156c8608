import assert from 'node:assert/strict';
import { afterEach, beforeEach, test, vi } from 'vitest';
import { KubeStatusError } from '../../../cli/kube/client.ts';
import type { AgentTunnel } from '../../../cli/session/agent-tunnel.ts';
import { REDIAL_MAX_DELAY_MS } from '../../../cli/session/backoff.ts';
import { ControlClient } from '../../../cli/session/control-client.ts';
import { FollowedPod } from '../../../cli/session/followed-pod.ts';
import type { SessionEvent } from '../../../cli/ui/events.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { silentLog } from '../../../src/log.ts';
import { Mux } from '../../../src/mux/mux.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';

const HOUR_MS = 3_600_000;

/** A tunnel whose carrier the test takes and gives. */
class Tunnel implements AgentTunnel {
  readonly pod = 'web-1';
  readonly carrier = 'proxy';
  readonly mux = new Mux(MemoryTransport.pair()[0], {
    side: 'session',
    onOpen: () => {},
    onControl: () => {},
    limits: { pingIntervalMs: HOUR_MS, pingDeadlineMs: HOUR_MS }, // nobody answers here
  });
  readonly control = new ControlClient(
    () => {},
    () => {},
  );
  isOver = false;
  detached: AgentTunnel['detached'];
  #questions = 0;
  #wake: () => void = () => {};

  get isAttached(): boolean {
    return !this.isOver && this.detached === undefined;
  }
  lose(reason: string): void {
    this.detached = { reason, sinceMs: performance.now() };
    this.#wake();
  }
  async untilDetached(): Promise<void> {
    this.#questions += 1;
    if (this.#questions > 1_000) throw new Error('asked without a pause: nothing else would have its turn');
    if (this.isAttached)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }
  async redial(): Promise<void> {
    this.detached = undefined;
  }
  async close(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 1)); // as the end of a carrier, it is for the event loop to see
    await this.mux.close();
    this.isOver = true;
    this.#wake();
  }
}

let tunnels: Tunnel[];
let events: SessionEvent[];
let redials: number[];
/** What the next dials come to. */
let outcome: 'works' | Error;
let pod: FollowedPod;
let followed: Promise<void>;

beforeEach(() => {
  vi.useFakeTimers();
  tunnels = [];
  events = [];
  redials = [];
  outcome = 'works';
  const object = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web-1' } };
  pod = new FollowedPod(object, {
    connect: async () => {
      if (outcome !== 'works') throw outcome;
      const tunnel = new Tunnel();
      tunnels.push(tunnel);
      return tunnel;
    },
    redial: async () => {
      redials.push(performance.now());
      if (outcome !== 'works') throw outcome;
      tunnels.at(-1)?.redial();
    },
    onClaimed: () => events.push({ event: 'retargeted', service: 'claimed' }),
    onFinal: () => {},
    onChanged: () => {},
    report: (event) => events.push(event),
    log: silentLog,
  });
  followed = pod.follow();
});
afterEach(async () => {
  pod.letGo('over');
  await vi.advanceTimersByTimeAsync(10_000);
  await followed;
  vi.useRealTimers();
});

const names = (): string[] => events.map(({ event }) => (event === 'retargeted' ? 'claimed' : event));
const settle = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

test('a lost carrier is replaced at once, and nothing is claimed again', async () => {
  await settle(5_000);
  tunnels[0]?.lose('cut');
  await settle();
  assert.deepEqual(names(), ['claimed', 'reconnecting', 'reconnected']);
  assert.equal(pod.tunnel, tunnels[0]);
  assert.equal(pod.lost, undefined);
});

test('while there is no way it is tried every second at least, and the truth is told', async () => {
  await settle(5_000);
  outcome = new Error('no route to host');
  tunnels[0]?.lose('silent');
  await settle(20_000);
  assert.deepEqual(names(), ['claimed', 'reconnecting']);
  assert.equal(pod.lost?.reason, 'silent');
  assert.equal(pod.tunnel, tunnels[0], 'what is open waits');
  const gaps = redials.slice(1).map((atMs, n) => atMs - (redials[n] ?? 0));
  assert.ok(Math.max(...gaps) <= REDIAL_MAX_DELAY_MS, String(gaps));
  assert.ok(redials.length >= 20);
  outcome = 'works';
  await settle(REDIAL_MAX_DELAY_MS);
  assert.equal(names().at(-1), 'reconnected');
});

test('a tunnel that is over is made and claimed anew', async () => {
  await settle(5_000);
  outcome = new Error('no route to host');
  tunnels[0]?.lose('silent');
  await settle(2_000);
  void tunnels[0]?.close();
  await settle(2_000);
  assert.deepEqual([pod.tunnel, names().at(-1)], [undefined, 'disconnected']);
  outcome = 'works';
  await settle(10_000);
  assert.equal(pod.tunnel, tunnels[1]);
  assert.deepEqual(names(), ['claimed', 'reconnecting', 'disconnected', 'claimed']);
});

test('of a pod that is deleted nothing is waited for', async () => {
  await settle(5_000);
  const answer = { status: 404, reason: 'NotFound', serverMessage: 'pods "web-1" not found' };
  outcome = new KubeStatusError('CLUSTER_REFUSED', 'not found', answer);
  tunnels[0]?.lose('cut');
  await settle(10);
  assert.equal(tunnels[0]?.isOver, true);
});

test('a network that cuts all carriers at once is dialled with pauses', async () => {
  await settle(5_000);
  for (let n = 0; n < 100; n++) {
    tunnels[0]?.lose('cut');
    await settle(10);
  }
  assert.ok(redials.length < 20, String(redials));
});

test('letGo() right behind the loss of the carrier ends it, too', async () => {
  await settle(5_000);
  outcome = new InterceptorError('TUNNEL_LOST', 'no way');
  pod.letGo('session ended');
  tunnels[0]?.lose('cut');
  await settle(10);
  assert.equal(tunnels[0]?.isOver, true);
  await followed;
  assert.deepEqual([pod.tunnel, names()], [undefined, ['claimed']]);
});

test('letGo() ends the wait and the tunnel', async () => {
  await settle(5_000);
  outcome = new InterceptorError('TUNNEL_LOST', 'no way');
  tunnels[0]?.lose('cut');
  await settle(100);
  pod.letGo('pod deleted');
  await settle(10);
  await followed;
  assert.equal(tunnels[0]?.isOver, true);
});
