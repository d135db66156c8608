import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads';

/** The name of the variable in variables.ts; this bundle imports nothing of the CLI's. */
const VARIABLE = 'KUBE_INTERCEPT_PROXY';

export interface Settings {
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

/** Reads `port:user:password`. A worker that was given an environment of its own has it from its parent thread. */
export function readSettings(): Settings | undefined {
  const shared: unknown = getEnvironmentData(VARIABLE);
  const text = process.env[VARIABLE] ?? (typeof shared === 'string' ? shared : '');
  const [port, user, password] = text.split(':');
  if (user === undefined || password === undefined || !(Number(port) > 0)) return undefined;
  setEnvironmentData(VARIABLE, text);
  return { port: Number(port), user, password };
}
