import type { Service, Workload } from './objects.ts';

/** One `--port <local>[:<service port>]`. */
export interface PortOption {
  readonly localPort: number;
  readonly servicePort: number | string | undefined;
}

/** One Service port and where it goes in the pod, seen without our agent. */
export interface PortChoice {
  readonly servicePort: number;
  readonly servicePortName: string | undefined;
  /** Port of the process on the laptop. */
  readonly localPort: number;
  /** The app's port in the pod. */
  readonly appPort: number;
  /** The app's container, as far as it can be told. */
  readonly container: string;
  /** The Service's targetPort where it is a name; undefined for a number. */
  readonly targetName: string | undefined;
}

/** @throws InterceptorError USAGE_BAD_PORT */
export function parsePortOption(text: string): PortOption {
  throw new Error(`not built yet ${text}`);
}

/**
 * The Service ports to intercept. Works on objects with and without our agent (their originals are looked at).
 * @param options all --port options; none: the only TCP port of the Service, on its own number
 * @throws InterceptorError USAGE_BAD_PORT (must name one of several; no such port; UDP), TARGET_UNSUPPORTED (the named
 *   targetPort is declared by no container)
 */
export function choosePorts(service: Service, workload: Workload, options: readonly PortOption[]): PortChoice[] {
  throw new Error(`not built yet ${String(service)} ${String(workload)} ${String(options)}`);
}

/** Every TCP port of the Service that leads somewhere, chosen or not: what one install covers. */
export function allPorts(service: Service, workload: Workload): PortChoice[] {
  throw new Error(`not built yet ${String(service)} ${String(workload)}`);
}
