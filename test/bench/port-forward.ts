import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestCluster } from '../support/cluster.ts';

/** `kubectl port-forward` to a Service, as the developer: what outgoing connections are measured against. */
export class PortForward {
  readonly url: string;
  readonly #end: () => Promise<void>;

  private constructor(url: string, end: () => Promise<void>) {
    this.url = url;
    this.#end = end;
  }

  static async start(cluster: TestCluster, kubeconfig: string, service: string): Promise<PortForward> {
    const access = ['--kubeconfig', kubeconfig];
    const child = spawn(cluster.kubectlProgram, [...access, 'port-forward', `service/${service}`, ':80'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    let said = '';
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        const [, port] = /^Forwarding from 127\.0\.0\.1:(\d+) /m.exec(said) ?? [];
        if (port !== undefined) resolve(`http://127.0.0.1:${port}`);
      });
      child.once('exit', () => reject(new Error(`kubectl port-forward ended: ${said}`)));
    });
    return new PortForward(url, async () => {
      child.kill('SIGKILL');
      await exited;
    });
  }

  async close(): Promise<void> {
    await this.#end();
  }
}
