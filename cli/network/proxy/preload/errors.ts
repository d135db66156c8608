import { getSystemErrorMap } from 'node:util';

/** The number that libuv has for a code on this system: -111 for ECONNREFUSED on Linux. */
export function errorNumber(code: string): number {
  numbers ??= new Map([...getSystemErrorMap()].map(([number, [name]]) => [name, number]));
  return numbers.get(code) ?? numbers.get('EHOSTUNREACH') ?? -1;
}

let numbers: Map<string, number> | undefined;

/** As dns.lookup() makes it: `getaddrinfo ENOTFOUND api`. */
export function lookupError(code: string, hostname: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException & { hostname?: string } = new Error(`getaddrinfo ${code} ${hostname}`);
  error.errno = code === 'ENOTFOUND' ? EAI_NONAME : EAI_AGAIN;
  error.code = code;
  error.syscall = 'getaddrinfo';
  error.hostname = hostname;
  return error;
}

/** UV_EAI_NONAME and UV_EAI_AGAIN. */
const EAI_NONAME = -3008;
const EAI_AGAIN = -3001;
