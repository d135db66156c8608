import type { PortChoice } from '../../../cli/kube/ports.ts';

/** A port of a Service that goes to 8080 of the container `app`, by its number. */
export function portChoice(fields: Pick<PortChoice, 'service' | 'localPort'>): PortChoice {
  return {
    servicePort: 80,
    servicePortName: undefined,
    appPort: 8080,
    protocol: 'tcp',
    container: 'app',
    targetName: undefined,
    ...fields,
  };
}
