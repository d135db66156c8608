import { BadMessage } from './bad-message.ts';
import { Fields, listMembers } from './fields.ts';
import { isPersistent } from './request-head.ts';

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n/;

/** A response's head, as far as the router needs it. */
export class H1ResponseHead {
  readonly status: number;
  readonly fields: Fields;
  /** Whether the answerer keeps the connection for the next request; the body may say otherwise (until close). */
  readonly persistent: boolean;
  /** The same without `close`, asked by an HTTP/1.0 caller, who keeps a connection only where he is told. */
  readonly keepsAlive: boolean;

  /**
   * @param bytes a whole head (HeadBytes)
   * @throws BadMessage when it is no head of a response
   */
  constructor(bytes: Buffer) {
    const text = bytes.toString('latin1');
    const line = STATUS_LINE.exec(text);
    if (line === null) throw new BadMessage('a status line that is none');
    this.status = Number(line[2]);
    this.fields = new Fields();
    this.fields.read(text, line[0].length);
    const value = this.fields.get('connection');
    const connection = value === undefined ? [] : listMembers(value);
    this.persistent = isPersistent(line[1] === '1' ? 1 : 0, connection);
    this.keepsAlive = this.persistent && connection.includes('keep-alive');
  }
}
