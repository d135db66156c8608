import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, get } from 'node:https';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

const RETRY_MS = 200;

/** How to reach the API server with a client certificate. */
export interface Access {
  readonly server: string;
  readonly agent: Agent;
}

interface ListedObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
}

/** Reads a kubeconfig as pki.ts writes it: JSON, one cluster, one user, everything embedded. */
export async function readAccess(kubeconfig: string): Promise<Access> {
  const config = JSON.parse(await readFile(kubeconfig, 'utf8'));
  const decode = (base64: string) => Buffer.from(base64, 'base64');
  const { cluster } = config.clusters[0];
  const { user } = config.users[0];
  const agent = new Agent({
    ca: decode(cluster['certificate-authority-data']),
    cert: decode(user['client-certificate-data']),
    key: decode(user['client-key-data']),
  });
  return { server: cluster.server, agent };
}

/** Keeps `objects` equal to what the cluster has of one resource, for as long as the process lives. */
export async function followObjects<T extends ListedObject>(
  access: Access,
  resource: string,
  objects: Map<string, T>,
): Promise<never> {
  for (;;) {
    try {
      const list = JSON.parse(await text(await open(access, `/api/v1/${resource}`)));
      objects.clear();
      for (const object of list.items as T[]) objects.set(key(object), object);
      const path = `/api/v1/${resource}?watch=1&resourceVersion=${list.metadata.resourceVersion}`;
      for await (const line of createInterface({ input: await open(access, path) })) {
        const event: { type: string; object: T } = JSON.parse(line);
        if (event.type === 'ERROR') break; // the version is too old: list again
        if (event.type === 'DELETED') objects.delete(key(event.object));
        else objects.set(key(event.object), event.object);
      }
    } catch (error) {
      process.stderr.write(`${resource}: ${error}\n`); // the API server is away: try again
    }
    await sleep(RETRY_MS);
  }
}

function key(object: ListedObject): string {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}

function open(access: Access, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(`${access.server}${path}`, { agent: access.agent }, (response) => {
      if (response.statusCode === 200) resolve(response);
      else reject(new Error(`GET ${path}: ${response.statusCode}`));
    }).once('error', reject);
  });
}
