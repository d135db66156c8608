import type { ControlMethods, Intercept } from '../../../../src/protocol/control.ts';

/** An intercept of a whole TCP port, unless `more` says otherwise. */
export function intercept(appPort: number, more: Partial<Intercept> = {}): Intercept {
  return { appPort, protocol: 'tcp', mirror: false, fallback: 'app', mark: false, to: 'app', ...more };
}

/** The params of a claim of these ports or intercepts. */
export function claimOf(
  what: readonly (number | Intercept)[],
  more: Partial<ControlMethods['claim']['params']> = {},
): ControlMethods['claim']['params'] {
  const intercepts = what.map((one) => (typeof one === 'number' ? intercept(one) : one));
  return { intercepts, replaces: [], takeOver: false, holdMs: 10_000, ...more };
}
