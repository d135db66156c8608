import { addAbortListener } from 'node:events';
import type { Socket } from 'node:net';
import type { AbortGroup } from '../../../src/abort-group.ts';
import type { Log } from '../../../src/log.ts';
import { splice } from '../../../src/net/splice.ts';
import type { Egress, Outgoing, Resolver } from '../types.ts';
import type { Access } from './access.ts';
import type { Tickets } from './tickets.ts';
import type { UdpRelay } from './udp-relay.ts';

/** What every part of the proxy works with. */
export interface ProxyContext {
  readonly egress: Egress;
  readonly resolver: Pick<Resolver, 'answer' | 'lookup'>;
  readonly access: Access;
  readonly tickets: Tickets;
  /** @param client who asks; its datagrams come from its user. @returns undefined when there are too many */
  readonly openRelay: (client: Socket, clientPort: number | undefined) => Promise<UdpRelay | undefined>;
  readonly log: Log;
  /** Aborted when the proxy closes. */
  readonly connections: AbortGroup;
}

/**
 * Dials for a client, and stops when the client has gone.
 * @throws DialError; Error when the client has gone
 */
export async function dialFor(client: Socket, context: ProxyContext, host: string, port: number): Promise<Outgoing> {
  const gone = new AbortController();
  const onClose = (): void => gone.abort(new Error('the client has gone'));
  client.once('close', onClose);
  if (client.destroyed) onClose();
  try {
    return await context.connections.run((signal) =>
      context.egress.dialTcp(host, port, AbortSignal.any([signal, gone.signal])),
    );
  } finally {
    client.off('close', onClose);
  }
}

/** Joins both until they have ended; failures are the peers' to see. */
export async function join(client: Socket, outgoing: Outgoing, context: ProxyContext): Promise<void> {
  try {
    await context.connections.run((signal) => splice(client, outgoing, signal));
  } catch (error) {
    context.log.debug('connection ended early', { reason: String(error) });
  }
}

/** Resolves when the socket is closed, which the proxy's end brings about. */
export async function untilClosed(socket: Socket, { connections }: ProxyContext): Promise<void> {
  await connections.run(async (signal) => {
    using _ = addAbortListener(signal, () => socket.destroy());
    if (!socket.closed) await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  });
}

/** Says a last word and closes, whether or not the client does. */
export function say(socket: Socket, word: string | Buffer): void {
  socket.write(word);
  socket.destroySoon();
}
