import { readFile } from 'node:fs/promises';
import { InterceptorError } from '../../src/errors.ts';

/** The bundled agent's text, which the install puts into a ConfigMap. @throws InterceptorError INTERNAL when the package is broken */
export async function readAgentCode(): Promise<string> {
  const here = import.meta.url;
  // dist/chunks/*.mjs, dist/*.mjs, or cli/session/*.ts when run from source
  const path = here.includes('/chunks/')
    ? '../agent.mjs'
    : here.endsWith('.ts')
      ? '../../dist/agent.mjs'
      : './agent.mjs';
  try {
    return await readFile(new URL(path, here), 'utf8');
  } catch (cause) {
    throw new InterceptorError('INTERNAL', 'the agent’s code is missing from this installation', {
      hint: 'install kube-intercept again; in a checkout: npm run build',
      cause,
    });
  }
}
