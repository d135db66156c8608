/**
 * A validating webhook that stands for PodSecurity, which Kubernetes 1.20 has not: /enforce refuses pods that the level
 * `restricted` does not admit, /audit writes what they violate to stderr. Arguments: certificate, key, port of 127.0.0.1.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { type CheckedPodSpec, restrictedViolations } from './pod-security.ts';

interface Review {
  readonly apiVersion: string;
  readonly kind: string;
  readonly request: {
    readonly uid: string;
    readonly namespace: string;
    readonly object: {
      readonly metadata: {
        readonly name?: string;
        readonly generateName?: string;
        readonly annotations?: Record<string, string>;
      };
      readonly spec: CheckedPodSpec;
    };
  };
}

const [cert = '', key = '', port = ''] = process.argv.slice(2);

function review(path: string, { apiVersion, kind, request }: Review): unknown {
  const { metadata, spec } = request.object;
  const found = restrictedViolations(spec, metadata.annotations);
  const pod = `${request.namespace}/${metadata.name ?? metadata.generateName}`;
  if (found.length > 0) process.stderr.write(`${path} ${pod}: ${found.join('; ')}\n`);
  const allowed = found.length === 0 || path !== '/enforce';
  const message = `violates PodSecurity "restricted:latest": ${found.join(', ')}`;
  const verdict = { uid: request.uid, allowed, ...(allowed ? {} : { status: { code: 403, message } }) };
  return { apiVersion, kind, response: verdict };
}

const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    try {
      const [path = ''] = (request.url ?? '').split('?', 1);
      const answer = review(path, JSON.parse(Buffer.concat(chunks).toString()));
      response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
    } catch (error) {
      process.stderr.write(`${error}\n`);
      response.writeHead(400).end();
    }
  });
});
server.keepAliveTimeout = 600_000; // the API server's client keeps connections for 90 s: it must be the one to close them
server.listen(Number(port), '127.0.0.1');
