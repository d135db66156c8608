import type { PortReport, Report, SessionEvent } from './events.ts';

export interface ReporterOptions {
  readonly form: 'terminal' | 'plain' | 'json';
  readonly out: { write(text: string): unknown };
  /** For the terminal form: whether colours may be used (NO_COLOR, TERM=dumb). */
  readonly colour: boolean;
}

/** Chooses the form: JSON lines with --json, ticks on a terminal, plain lines otherwise. */
export function reporterForm(json: boolean, out: { isTTY?: boolean }): ReporterOptions['form'] {
  if (json) return 'json';
  return out.isTTY === true ? 'terminal' : 'plain';
}

/** Makes the function every part of a session reports through. */
export function createReporter(options: ReporterOptions): Report {
  const { out } = options;
  if (options.form === 'json') return (event) => void out.write(`${JSON.stringify(event)}\n`);
  const terminal = options.form === 'terminal';
  const paint = (code: number, text: string): string => (options.colour ? `\x1b[${code}m${text}\x1b[0m` : text);
  let passing = false; // a line that the next one overwrites
  let last = '';
  return (event) => {
    const line = describe(event);
    if (line === undefined) return;
    const text = `${terminal ? paint(line.colour, line.sign) : line.sign} ${line.text}`;
    if (text === last) return;
    last = text;
    const erase = passing ? '\r\x1b[2K' : '';
    passing = terminal && line.passing;
    out.write(`${erase}${text}${passing ? '' : '\n'}`);
  };
}

interface Line {
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
export function describe(event: SessionEvent): Line | undefined {
  switch (event.event) {
    case 'found': {
      const via = event.service === undefined ? '' : ` behind service/${event.service}`;
      return tick(`found ${event.workload}${via} in ${event.namespace}, ${plural(event.pods, 'pod')}`);
    }
    case 'warning':
      return note(event.message);
    case 'recovered':
      return tick(`restored ${event.workload}, left behind by a session that is gone`);
    case 'patched':
      return tick(`patched ${event.workload}: agent added (${event.agentImage})`);
    case 'agent-present':
      return tick(`agent already in ${event.workload}`);
    case 'rollout': {
      if (event.ready >= event.wanted && event.waitingFor === undefined)
        return tick(`rolled out ${event.ready}/${event.wanted}`);
      const why = event.waitingFor === undefined ? '' : `: ${event.waitingFor}`;
      return wait(`rolling out ${event.ready}/${event.wanted}${why}`);
    }
    case 'waiting':
      return wait(`waiting for ${event.for}`);
    case 'connected':
      return event.connected >= event.wanted
        ? tick(`connected ${event.connected}/${event.wanted} (${event.carrier})`)
        : wait(`connected ${event.connected}/${event.wanted}`);
    case 'disconnected':
      return note(`lost the tunnel to pod/${event.pod} (${event.reason}); the app answers there, dialling again`);
    case 'retargeted':
      return tick(`service/${event.service} points at the agent`);
    case 'command-started':
      return tick(`command started (pid ${event.pid})`);
    case 'listening':
      return tick(`process listens on ${event.address}`);
    case 'not-listening':
      return note(`nothing listens on ${event.address}: the app answers until it does`);
    case 'proved':
      return tick(`proved: port ${event.servicePort} through the Service, from ${plural(event.from, 'pod')}`);
    case 'ready': {
      const name = event.service === undefined ? event.workload : `service/${event.service}`;
      const routes = event.ports.map(describePort).join(', ');
      return tick(
        `ready in ${(event.elapsedMs / 1000).toFixed(1)} s: ${name} ${routes}  (Ctrl-C or intercept leave ends)`,
      );
    }
    case 'request':
      return {
        sign: '→',
        colour: 36,
        text: `${event.method} ${event.path} ${event.status ?? 'failed'} ${event.ms} ms`,
        passing: false,
      };
    case 'leaving':
      return wait(`leaving: ${event.reason}`);
    case 'restoring':
      return wait(`restoring: ${event.step}`);
    case 'restored':
      return tick(`restored ${event.workload}`);
    case 'agent-kept':
      return tick(`agent stays in ${event.workload} (${event.reason}); the app answers`);
    case 'plan': // printed on stdout as it is
    case 'error':
      return undefined; // main.ts prints errors for people
    default:
      return event satisfies never;
  }
}

export function describePort(port: PortReport): string {
  const from = port.servicePort === undefined ? `port ${port.appPort}` : `:${port.servicePort}`;
  return `${from} → ${port.local}`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
