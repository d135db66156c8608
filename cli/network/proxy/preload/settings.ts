/** The name of the variable in variables.ts; this bundle imports nothing of the CLI's. */
const VARIABLE = 'KUBE_INTERCEPT_PROXY';

export interface Settings {
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

/** Reads `port:user:password`; workers and children have it from their environment, with NODE_OPTIONS. */
export function readSettings(): Settings | undefined {
  const [port, user, password] = (process.env[VARIABLE] ?? '').split(':');
  if (user === undefined || password === undefined || !(Number(port) > 0)) return undefined;
  return { port: Number(port), user, password };
}
