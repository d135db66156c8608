import { shownFilter } from '../commands/filter-text.ts';
import { CLAIM_KEPT_MS } from '../session/status.ts';
import type { PortReport, SessionEvent, Taken } from './events.ts';

/** The session that --detach has started, and what it was started for. */
export interface Background {
  readonly pid: number;
  readonly target: string;
}

/** What earlier events have told. */
export interface Seen {
  readonly ready: boolean;
  readonly takesTraffic: boolean;
  /** A way into the cluster's network is open. */
  readonly inside: boolean;
  readonly leaving: boolean;
  /** Copies only: the app always answers. */
  readonly mirrors: boolean;
  /** --no-fallback, and the process has listened once: from then on nobody answers what the laptop does not. */
  readonly refuses: boolean;
  readonly noFallback: boolean;
  readonly background: Background | undefined;
}

export const NOTHING_SEEN: Seen = {
  ready: false,
  takesTraffic: true,
  inside: false,
  leaving: false,
  mirrors: false,
  refuses: false,
  noFallback: false,
  background: undefined,
};

export interface Line {
  readonly sign: string;
  readonly colour: number;
  readonly text: string;
  /** Replaced by the next line on a terminal. */
  readonly passing: boolean;
}

const tick = (text: string): Line => ({ sign: '✓', colour: 32, text, passing: false });
const note = (text: string): Line => ({ sign: '!', colour: 33, text, passing: false });
const wait = (text: string): Line => ({ sign: '…', colour: 36, text, passing: true });

/** The line of one event for people, or undefined where it is only for scripts. */
export function describe(event: SessionEvent, seen: Seen = NOTHING_SEEN): Line | undefined {
  switch (event.event) {
    case 'found': {
      const names = event.services ?? (event.service === undefined ? [] : [event.service]);
      const via = names.length === 0 ? '' : ` behind ${names.map((name) => `service/${name}`).join(', ')}`;
      return tick(
        `found ${event.workload}${via} in ${event.namespace}, ${plural(event.pods, 'pod')}${takenText(event)}`,
      );
    }
    case 'warning':
      return note(event.message);
    case 'recovered':
      return tick(
        event.unfinished === true
          ? `restored ${event.workload}, which somebody had begun to restore`
          : `restored ${event.workload}, left behind by a session that is gone`,
      );
    case 'patched':
      return tick(`patched ${event.workload}: agent added (${event.agentImage})`);
    case 'agent-present':
      return tick(`agent already in ${event.workload}`);
    case 'created':
      return tick(`created ${event.workload} in ${event.namespace} (${event.agentImage})`);
    case 'rollout': {
      if (event.ready >= event.wanted && event.waitingFor === undefined)
        return tick(`rolled out ${event.ready}/${event.wanted}`);
      const far = `rolling out ${event.ready}/${event.wanted}`;
      return wait(event.waitingFor === undefined ? far : `${far}: ${event.waitingFor}`);
    }
    case 'waiting':
      // Whoever leaves would wait in front of an empty line, or of one that a command has written over. What is said to take
      // long must not look like a hang, nor be dropped because the command reports something meanwhile.
      return { ...wait(`waiting for ${event.for}`), passing: !seen.leaving && event.seconds === undefined };
    case 'connected': {
      const far = `${event.connected}/${event.wanted}`;
      if (seen.ready) return tick(`connected to pod/${event.pod}: ${far} (${event.carrier})`);
      return event.connected >= event.wanted ? tick(`connected ${far} (${event.carrier})`) : wait(`connected ${far}`);
    }
    case 'reconnecting': {
      const meanwhile = seen.takesTraffic ? ` (${newCallers(seen)})` : '';
      return note(`no way to pod/${event.pod} (${event.reason}); dialling again, what is open waits${meanwhile}`);
    }
    case 'reconnected':
      return tick(`back at pod/${event.pod} after ${(event.ms / 1000).toFixed(1)} s, all goes on`);
    case 'disconnected': {
      const meanwhile = seen.takesTraffic ? `${whoAnswersThere(seen)}, ` : '';
      return note(`lost the tunnel to pod/${event.pod} (${event.reason}); ${meanwhile}dialling again`);
    }
    case 'retargeted':
      return tick(`service/${event.service} points at the agent`);
    case 'network':
      return describeNetwork(event);
    case 'files':
      return tick(`files of the pod: ${event.root}`);
    case 'command-started':
      return tick(`command started (pid ${event.pid})`);
    case 'listening':
      return tick(`process listens on ${event.address}`);
    case 'held':
      return note(`nothing listens on ${event.address}: callers wait up to ${event.seconds} s`);
    case 'not-listening': {
      const { address, answers } = event;
      const meanwhile = seen.mirrors ? 'no copies come' : answers === 'app' ? 'the app answers' : 'nobody answers';
      if (seen.background !== undefined)
        return tick(inBackground(seen.background, `: ${meanwhile} until something listens on ${address}`));
      return note(`nothing listens on ${address}: ${meanwhile} until something does`);
    }
    case 'proved':
      return tick(`proved: port ${event.servicePort} through the Service, from ${plural(event.from, 'pod')}`);
    case 'ready':
      return describeReady(event, seen);
    case 'personal': {
      const lines = [`try it: ${event.curl}`, `in a browser's console: ${event.cookie}`, `any client: ${event.field}`];
      return { sign: '→', colour: 36, text: lines.join('\n  '), passing: false };
    }
    case 'request':
      return {
        sign: '→',
        colour: 36,
        text: `${event.method} ${event.path} ${event.status ?? 'failed'} ${event.ms} ms`,
        passing: false,
      };
    case 'leaving':
      // Whoever typed Ctrl-C knows.
      return { ...wait(`leaving: ${event.reason}`), passing: event.reason === 'Ctrl-C' };
    case 'restoring':
      return wait(`restoring: ${event.step}`);
    case 'kept': {
      const lines = event.diff
        .trimEnd()
        .split('\n')
        .map((line) => `\n  ${line}`);
      return note(`${event.object} has been changed by somebody else meanwhile, which stays:${lines.join('')}`);
    }
    case 'restored':
      return tick(`restored ${event.workload}`);
    case 'removed':
      return tick(`removed ${event.workload}`);
    case 'agent-kept': {
      const leave = `intercept leave ${event.workload} -n ${event.namespace}`;
      const since = `agent stays in ${event.workload} (${event.reason})`;
      // Who answers while somebody uses it is theirs to know.
      return tick(event.reason === '--keep-agent' ? `${since}; the app answers; ${leave} removes it` : since);
    }
    case 'plan': // printed on stdout as it is
    case 'error':
      return undefined; // main.ts prints errors for people
    default:
      return event satisfies never;
  }
}

/** Of a pod whose way is lost for the moment. */
function newCallers({ mirrors, refuses }: Seen): string {
  if (mirrors) return 'no copies come from there';
  return refuses ? 'nobody answers new callers' : 'new callers have the app';
}

/** Of a pod whose tunnel is over: the agent keeps the claim for a moment, and with it who answers. */
function whoAnswersThere({ mirrors, refuses }: Seen): string {
  if (mirrors) return 'no copies come from there';
  return refuses ? `nobody answers there for up to ${CLAIM_KEPT_MS / 1000} s, then the app` : 'the app answers there';
}

type EventOf<Name extends SessionEvent['event']> = Extract<SessionEvent, { event: Name }>;

function describeNetwork({ mode, reason, proxy, system, variables }: EventOf<'network'>): Line | undefined {
  const why = reason === undefined ? '' : `: ${reason}`;
  if (mode === 'proxy') {
    const where = proxy === undefined ? '' : ` at ${proxy}`;
    if (variables !== undefined) {
      const lines = Object.entries(variables).map(([name, value]) => `\n  export ${name}='${value}'`);
      return tick(`a proxy into the cluster listens${where}:${lines.join('')}`);
    }
    return reason === undefined ? tick(`inside by proxy${where}`) : note(`inside by proxy only${where}${why}`);
  }
  if (mode === 'none') return reason === undefined ? undefined : note(`not inside the cluster${why}`);
  if (mode === 'system') return tick(`the whole laptop is inside: ${system ?? ''}`);
  return tick(`inside the cluster's network (${mode})`);
}

function describeReady(event: EventOf<'ready'>, seen: Seen): Line {
  const { workload, service, services, ports, elapsedMs, mode } = event;
  const end = seen.background === undefined ? 'Ctrl-C ends it' : inBackground(seen.background);
  const time = `${(elapsedMs / 1000).toFixed(1)} s`;
  if (ports.length === 0 && mode === 'replace')
    return tick(`ready in ${time}: this laptop is in the place of ${workload}, which has no port (${end})`);
  if (ports.length === 0) return describeInside(event, seen);
  const several = services !== undefined;
  const name = service === undefined ? workload : several ? workload : `service/${service}`;
  const routes = ports.map((port) => describePort(port, several)).join(', ');
  return tick(`ready in ${time}: ${name} ${routes}${takenText(event)} (${end})`);
}

/** What is taken where that is not everything that comes for the ports. */
function takenText({ filter, mirror, mode }: Taken): string {
  const what = filter === undefined ? '' : shownFilter(filter);
  if (mirror === true) return what === '' ? ', copies of everything' : `, copies of requests with ${what}`;
  if (mode === 'replace') return ', in place of the app';
  return what === '' ? '' : `, only requests with ${what}`;
}

/** The ready line of a session that takes no traffic. */
function describeInside({ workload, files, elapsedMs }: EventOf<'ready'>, { background, inside }: Seen): Line {
  const end = background === undefined ? 'Ctrl-C ends it' : inBackground(background);
  const has = files === true ? 'environment and files' : 'environment';
  const where = inside ? `inside as ${workload}` : `on the laptop's own network, with the ${has} of ${workload}`;
  return tick(`ready in ${(elapsedMs / 1000).toFixed(1)} s: ${where} (${end})`);
}

/** `:80 → 127.0.0.1:3000`. @param withService where the ports are of several Services */
export function describePort(port: PortReport, withService = false): string {
  if (port.service === undefined) return `port ${port.appPort} → ${port.local}`;
  return `${withService ? port.service : ''}:${port.servicePort} → ${port.local}`;
}

function inBackground({ pid, target }: Background, meanwhile = ''): string {
  return `in the background (pid ${pid})${meanwhile}; intercept leave ${target} ends it`;
}

/** `1 pod`, `2 pods`. */
export function plural(count: number, noun: string, several = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : several}`;
}
