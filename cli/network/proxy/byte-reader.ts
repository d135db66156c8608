import type { Socket } from 'node:net';

/** Reads a handshake off a socket, byte by byte as it asks for them, and leaves what follows in the socket. */
export class ByteReader {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** @throws Error when the socket ends before */
  async take(count: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let missing = count;
    while (missing > 0) {
      const chunk = await readSome(this.#socket);
      if (chunk.byteLength > missing) this.#socket.unshift(chunk.subarray(missing));
      pieces.push(chunk.subarray(0, missing));
      missing -= Math.min(missing, chunk.byteLength);
    }
    return Buffer.concat(pieces);
  }

  async byte(): Promise<number> {
    return (await this.take(1))[0] ?? 0;
  }

  /** Text up to a zero byte, which is taken, too. @throws Error when it is longer than `max` bytes */
  async zeroTerminated(max: number): Promise<string> {
    const bytes: number[] = [];
    for (;;) {
      const byte = await this.byte();
      if (byte === 0) return Buffer.from(bytes).toString('utf8');
      if (bytes.push(byte) > max) throw new Error('text without an end');
    }
  }
}

/** The next bytes of a socket that nobody else reads. @throws Error when it ends before */
export async function readSome(socket: Socket): Promise<Buffer> {
  for (;;) {
    const chunk: unknown = socket.read();
    if (Buffer.isBuffer(chunk)) return chunk;
    if (socket.destroyed || socket.readableEnded) throw new Error('ended in the handshake');
    await new Promise<void>((resolve) => {
      const events = ['readable', 'end', 'close'] as const;
      const wake = (): void => {
        for (const event of events) socket.off(event, wake);
        resolve();
      };
      for (const event of events) socket.on(event, wake);
    });
  }
}
