// Requests that readers of HTTP/1.1 disagree about, and some that look odd and are plain. What is refused is refused whole.

export interface CorpusCase {
  readonly name: string;
  /** What a caller sends, all at once. */
  readonly bytes: Buffer;
  /** How many requests are answered by somebody; then the connection is `refused` with 400 or 431, or waits for more. */
  readonly requests: number;
  readonly refused: boolean;
}

const HOST = 'Host: a.test\r\n';
/** What a smuggler wants to be read as a request of its own. */
export const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.test\r\nX-User: dev\r\n\r\n';

function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

function refused(name: string, text: string): CorpusCase {
  return { name, bytes: bytesOf(text), requests: 0, refused: true };
}

function passed(name: string, text: string, requests = 1): CorpusCase {
  return { name, bytes: bytesOf(text), requests, refused: false };
}

function post(fields: string, body: string): string {
  return `POST /c HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
}

function get(fields: string): string {
  return `GET /c HTTP/1.1\r\n${HOST}${fields}\r\n`;
}

function chunked(body: string): string {
  return post('Transfer-Encoding: chunked\r\n', body);
}

const LENGTHS: readonly CorpusCase[] = [
  refused('CL.TE', post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\nG')),
  refused('TE.CL', post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `5c\r\n${SMUGGLED}\r\n0\r\n\r\n`)),
  refused('CL.TE with CL 0', post('Content-Length: 0\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n')),
  refused('two equal Content-Length', post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello')),
  refused(
    'two Content-Length that differ',
    post(`Content-Length: 0\r\nContent-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
  ),
  refused('two Content-Length of different case', post('content-length: 5\r\nCONTENT-LENGTH: 6\r\n', 'hello!')),
  refused('a list of equal lengths', post('Content-Length: 5, 5\r\n', 'hello')),
  refused('a list of lengths', post('Content-Length: 5, 6\r\n', 'hello')),
  refused('a length with a sign', post('Content-Length: +5\r\n', 'hello')),
  refused('a negative length', post('Content-Length: -1\r\n', '')),
  refused('a length in hexadecimal', post('Content-Length: 0x5\r\n', 'hello')),
  refused('a length with a point', post('Content-Length: 5.0\r\n', 'hello')),
  refused('a length with an exponent', post('Content-Length: 1e1\r\n', '0123456789')),
  refused('a length with spaces inside', post('Content-Length: 1 0\r\n', '0123456789')),
  refused('a length with an underscore', post('Content-Length: 1_0\r\n', '0123456789')),
  refused('an empty length', post('Content-Length:\r\n', '')),
  refused('a length above 2^64', post('Content-Length: 18446744073709551621\r\n', 'hello')),
  refused('a length in quotes', post('Content-Length: "5"\r\n', 'hello')),
  refused('a length behind a tab', post('Content-Length:\t5\r\n', 'hello')),
  refused('a length with a letter behind', post('Content-Length: 5a\r\n', 'hello')),
  refused('a length of Unicode digits', post('Content-Length: \xb2\r\n', 'he')),
  refused('Content_Length', post('Content_Length: 5\r\n', 'hello')),
  passed('a length with zeros in front', post('Content-Length: 005\r\n', 'hello')),
  passed('a length with spaces around', post('Content-Length:   5  \r\n', 'hello')),
  passed('length 0', post('Content-Length: 0\r\n', '')),
  passed('GET with a body that looks like a request', get(`Content-Length: ${SMUGGLED.length}\r\n`) + SMUGGLED),
  passed('two requests at once', post('Content-Length: 5\r\n', 'hello') + get(''), 2),
];

const CODINGS: readonly CorpusCase[] = [
  ...[
    ['two codings', 'Transfer-Encoding: chunked, identity'],
    ['identity', 'Transfer-Encoding: identity'],
    ['identity before chunked', 'Transfer-Encoding: identity, chunked'],
    ['gzip before chunked', 'Transfer-Encoding: gzip, chunked'],
    ['chunked twice in a list', 'Transfer-Encoding: chunked, chunked'],
    ['two lines', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'],
    ['two lines, the second unknown', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: x'],
    ['two lines, the first unknown', 'Transfer-Encoding: x\r\nTransfer-Encoding: chunked'],
    ['a list with an empty member', 'Transfer-Encoding: chunked,'],
    ['a list that begins empty', 'Transfer-Encoding: , chunked'],
    ['a word that begins like it', 'Transfer-Encoding: chunkedx'],
    ['a word that ends like it', 'Transfer-Encoding: xchunked'],
    ['in quotes', 'Transfer-Encoding: "chunked"'],
    ['with a parameter', 'Transfer-Encoding: chunked;q=1'],
    ['behind a tab', 'Transfer-Encoding:\tchunked'],
    ['before a tab', 'Transfer-Encoding: chunked\t'],
    ['behind a vertical tab', 'Transfer-Encoding: \x0bchunked'],
    ['behind a form feed', 'Transfer-Encoding: \x0cchunked'],
    ['behind a no-break space', 'Transfer-Encoding: \xa0chunked'],
    ['before a no-break space', 'Transfer-Encoding: chunked\xa0'],
    ['empty', 'Transfer-Encoding:'],
    ['with NUL', 'Transfer-Encoding: chunked\0'],
    ['folded', 'Transfer-Encoding:\r\n chunked'],
    ['with a space before the colon', 'Transfer-Encoding : chunked'],
    ['with a space before the name', ' Transfer-Encoding: chunked'],
    ['in the field before, behind a CR', 'X: y\rTransfer-Encoding: chunked'],
    ['in the field before, behind a LF', 'X: y\nTransfer-Encoding: chunked'],
    ['with an underscore', 'Transfer_Encoding: chunked'],
    ['named by Connection', 'Connection: transfer-encoding\r\nTransfer-Encoding: chunked'],
  ].map(([name, line]) => refused(`Transfer-Encoding: ${name}`, post(`${line}\r\n`, '0\r\n\r\n'))),
  refused('Transfer-Encoding in HTTP/1.0', `POST /c HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  passed('Transfer-Encoding in capitals', post('TRANSFER-ENCODING: CHUNKED\r\n', '0\r\n\r\n')),
];

const CHUNKS: readonly CorpusCase[] = [
  refused('a chunk size that is empty', chunked('\r\nhello\r\n0\r\n\r\n')),
  refused('a chunk size with 0x', chunked('0x5\r\nhello\r\n0\r\n\r\n')),
  refused('a chunk size with a sign', chunked('+5\r\nhello\r\n0\r\n\r\n')),
  refused('a negative chunk size', chunked('-1\r\nhello\r\n0\r\n\r\n')),
  refused('a space before the chunk size', chunked(' 5\r\nhello\r\n0\r\n\r\n')),
  refused('a space behind the chunk size', chunked('5 \r\nhello\r\n0\r\n\r\n')),
  refused('an underscore in the chunk size', chunked('1_0\r\n0123456789abcdef\r\n0\r\n\r\n')),
  refused('a chunk size of 17 digits', chunked('00000000000000005\r\nhello\r\n0\r\n\r\n')),
  refused('a chunk size above 2^64', chunked('10000000000000005\r\nhello\r\n0\r\n\r\n')),
  refused('a chunk size above 2^53', chunked('fffffffffffffff\r\nhello\r\n0\r\n\r\n')),
  refused('a chunk size ended by LF', chunked('5\nhello\r\n0\r\n\r\n')),
  refused('a chunk size ended by CR', chunked('5\rhello\r\n0\r\n\r\n')),
  refused('a chunk ended by LF', chunked('5\r\nhello\n0\r\n\r\n')),
  refused('a chunk ended by CR', chunked('5\r\nhello\r0\r\n\r\n')),
  refused('a chunk longer than its size', chunked('5\r\nhello!\r\n0\r\n\r\n')),
  refused('a chunk shorter than its size', chunked('6\r\nhello\r\n0\r\n\r\n')),
  refused('a LF in an extension', chunked(`5;a=b\nhello\r\n0\r\n\r\n`)),
  refused('a CR in an extension', chunked('5;a\rb\r\nhello\r\n0\r\n\r\n')),
  refused('CRLF in a quoted extension', chunked('5;a="\r\n"\r\nhello\r\n0\r\n\r\n')),
  refused('a LF in a quoted extension', chunked('5;a="\n"\r\nhello\r\n0\r\n\r\n')),
  refused('NUL in an extension', chunked('5;a=\0\r\nhello\r\n0\r\n\r\n')),
  refused('an extension without an end', chunked(`5;${'a'.repeat(5000)}\r\nhello\r\n0\r\n\r\n`)),
  refused('a last chunk ended by LF', chunked('0\n\r\n')),
  refused('trailers ended by LF', chunked('0\r\n\n')),
  refused('Content-Length in trailers', chunked('0\r\nContent-Length: 5\r\n\r\n')),
  refused('Transfer-Encoding in trailers', chunked('0\r\nTransfer-Encoding: chunked\r\n\r\n')),
  refused('Host in trailers', chunked('0\r\nHost: b.test\r\n\r\n')),
  refused('a folded trailer', chunked('0\r\nA: b\r\n c\r\n\r\n')),
  refused('a trailer with a bare LF', chunked('0\r\nA: b\nC: d\r\n\r\n')),
  refused('a trailer with a space before the colon', chunked('0\r\nA : b\r\n\r\n')),
  refused('a trailer without a name', chunked('0\r\n: b\r\n\r\n')),
  refused('a CR in front of a trailer', chunked('0\r\nA: b\r\n\rContent-Length: 5\r\n\r\n')),
  refused('trailers that are a request', chunked(`0\r\n${SMUGGLED}`)),
  passed('chunks', chunked('5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n')),
  passed(
    'chunks with a body that looks like a request',
    chunked(`${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`),
  ),
  passed('chunks with extensions', chunked('5;a=b;c="d \\" ;\\\\"\r\nhello\r\n0;x\r\n\r\n')),
  passed('chunks with trailers', chunked('5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n')),
  passed('chunk sizes with zeros and capitals', chunked('000A\r\n0123456789\r\n00\r\n\r\n')),
];

const FIELDS: readonly CorpusCase[] = [
  refused('a folded field', get('X: a\r\n b\r\n')),
  refused('a folded field with a tab', get('X: a\r\n\tb\r\n')),
  refused('a folded first field', `GET /c HTTP/1.1\r\n X: a\r\n${HOST}\r\n`),
  refused('lines ended by LF', `GET /c HTTP/1.1\nHost: a.test\n\n`),
  refused('the request line ended by LF', `GET /c HTTP/1.1\n${HOST}\r\n`),
  refused('a field ended by LF', get('X: a\n')),
  refused('the head ended by LF', `GET /c HTTP/1.1\r\n${HOST}\n`),
  refused('a CR in a value', get('X: a\rb\r\n')),
  refused('a CR at the end of a value', get('X: a\r\r\n')),
  refused('a CR in front of a field', get('\rX: a\r\n')),
  refused('a CR in front of Transfer-Encoding', post('Content-Length: 0\r\n\rTransfer-Encoding: chunked\r\n', '')),
  refused('a CR in front of the first field', `GET /c HTTP/1.1\r\n\r${HOST}\r\n`),
  refused('a CR alone in a line', get('X: a\r\n\r\r\n')),
  refused('a CR in a name', get('X\rY: a\r\n')),
  refused('NUL in a value', get('X: a\0b\r\n')),
  refused('NUL in a name', get('X\0: a\r\n')),
  refused('a control character in a value', get('X: a\x01b\r\n')),
  refused('DEL in a value', get('X: a\x7fb\r\n')),
  refused('a space before the colon', get('X : a\r\n')),
  refused('a tab before the colon', get('X\t: a\r\n')),
  refused('a space in a name', get('X Y: a\r\n')),
  refused('a name with a byte above 127', get('X\xe9: a\r\n')),
  refused('a name in brackets', get('[X]: a\r\n')),
  refused('no name', get(': a\r\n')),
  refused('no colon', get('X-User dev\r\n')),
  refused('a space in front of the first field', `GET /c HTTP/1.1\r\n ${HOST}\r\n`),
  refused(
    'Connection names Content-Length',
    post('Connection: close, Content-Length\r\nContent-Length: 5\r\n', 'hello'),
  ),
  refused('Connection names Host', get('Connection: host\r\n')),
  refused('more fields than there may be', get('X: a\r\n'.repeat(2001))),
  refused('a head that is too long', get(`X: ${'a'.repeat(300_000)}\r\n`)),
  passed('spaces around a value', get('X:  \t a \t \r\n')),
  passed('an empty value', get('X:\r\n')),
  passed('bytes above 127 in a value', get('X: \xc3\xa9\x80\xff\r\n')),
  passed('all signs of a name', get("!#$%&'*+-.^_`|~0aZ: x\r\n")),
];

const HOSTS: readonly CorpusCase[] = [
  refused('no Host', 'GET /c HTTP/1.1\r\n\r\n'),
  refused('two Hosts', get('Host: b.test\r\n')),
  refused('two equal Hosts', get(HOST)),
  refused('a Host with a path', 'GET /c HTTP/1.1\r\nHost: a.test/x\r\n\r\n'),
  refused('a Host with a user', 'GET /c HTTP/1.1\r\nHost: u@a.test\r\n\r\n'),
  refused('a Host with a space', 'GET /c HTTP/1.1\r\nHost: a.test b.test\r\n\r\n'),
  refused('a list of Hosts', 'GET /c HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n'),
  refused('a Host with a port that is none', 'GET /c HTTP/1.1\r\nHost: a.test:8x\r\n\r\n'),
  refused('two Hosts in HTTP/1.0', `GET /c HTTP/1.0\r\n${HOST}${HOST}\r\n`),
  passed('an IPv6 Host', 'GET /c HTTP/1.1\r\nHost: [::1]:80\r\n\r\n'),
  passed('an empty Host', 'GET /c HTTP/1.1\r\nHost:\r\n\r\n'),
];

const REQUEST_LINES: readonly CorpusCase[] = [
  refused('two spaces behind the method', `GET  /c HTTP/1.1\r\n${HOST}\r\n`),
  refused('two spaces before the version', `GET /c  HTTP/1.1\r\n${HOST}\r\n`),
  refused('a space at the end', `GET /c HTTP/1.1 \r\n${HOST}\r\n`),
  refused('a space in front', ` GET /c HTTP/1.1\r\n${HOST}\r\n`),
  refused('a tab for a space', `GET\t/c HTTP/1.1\r\n${HOST}\r\n`),
  refused('a space in the target', `GET /c d HTTP/1.1\r\n${HOST}\r\n`),
  refused('a tab in the target', `GET /c\td HTTP/1.1\r\n${HOST}\r\n`),
  refused('NUL in the target', `GET /c\0 HTTP/1.1\r\n${HOST}\r\n`),
  refused('a CR in the target', `GET /c\rd HTTP/1.1\r\n${HOST}\r\n`),
  refused('no target', `GET HTTP/1.1\r\n${HOST}\r\n`),
  refused('no version', `GET /c\r\n${HOST}\r\n`),
  refused('HTTP/0.9 with a version', `GET /c HTTP/0.9\r\n${HOST}\r\n`),
  refused('HTTP/1.2', `GET /c HTTP/1.2\r\n${HOST}\r\n`),
  refused('HTTP/1', `GET /c HTTP/1\r\n${HOST}\r\n`),
  refused('HTTP/1.10', `GET /c HTTP/1.10\r\n${HOST}\r\n`),
  refused('HTTP/01.1', `GET /c HTTP/01.1\r\n${HOST}\r\n`),
  refused('HTTP/2.0', `GET /c HTTP/2.0\r\n${HOST}\r\n`),
  refused('http/1.1', `GET /c http/1.1\r\n${HOST}\r\n`),
  refused('a method that is no token', `G(T /c HTTP/1.1\r\n${HOST}\r\n`),
  refused('a target without a slash', `GET c HTTP/1.1\r\n${HOST}\r\n`),
  refused('the target * with GET', `GET * HTTP/1.1\r\n${HOST}\r\n`),
  refused('an authority with GET', `GET a.test:80 HTTP/1.1\r\n${HOST}\r\n`),
  refused('an absolute target with a user', `GET http://u@a.test/c HTTP/1.1\r\n${HOST}\r\n`),
  refused('an absolute target without a host', `GET http:///c HTTP/1.1\r\n${HOST}\r\n`),
  refused('CONNECT with a path', `CONNECT /c HTTP/1.1\r\n${HOST}\r\n`),
  refused('CONNECT without a port', `CONNECT a.test HTTP/1.1\r\n${HOST}\r\n`),
  refused('CONNECT with a body', `CONNECT a.test:80 HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`),
  refused('two empty lines in front', `\r\n\r\nGET /c HTTP/1.1\r\n${HOST}\r\n`),
  refused('a LF in front', `\nGET /c HTTP/1.1\r\n${HOST}\r\n`),
  refused('a CR in front', `\rGET /c HTTP/1.1\r\n${HOST}\r\n`),
  passed('one empty line in front', `\r\nGET /c HTTP/1.1\r\n${HOST}\r\n`),
  passed('an empty line behind a body', `${post('Content-Length: 5\r\n', 'hello')}\r\n${get('')}`, 2),
  passed('a method in lower case', `get /c HTTP/1.1\r\n${HOST}\r\n`),
  passed('an absolute target', `GET http://b.test:80/c?d HTTP/1.1\r\n${HOST}\r\n`),
  passed('OPTIONS *', `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`),
  passed('HTTP/1.0 without Host', 'GET /c HTTP/1.0\r\n\r\n'),
];

const SEQUENCES: readonly CorpusCase[] = [
  {
    ...refused(
      'a request, then one with CL and TE',
      get('') + post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
    ),
    requests: 1,
  },
  { ...refused('a body longer than its length', `${post('Content-Length: 4\r\n', 'hello')}\r\n\r\n`), requests: 1 },
  { ...refused('a body behind a GET that says nothing of it', `${get('')}x=1\r\n\r\n`), requests: 1 },
  { ...refused('bytes behind the last chunk', `${chunked('0\r\n\r\n')}X: y\r\n\r\n`), requests: 1 },
  passed('three requests of all framings', get('') + chunked('0\r\n\r\n') + post('Content-Length: 1\r\n', 'x'), 3),
];

/** Names are unique. */
export const HTTP_CORPUS: readonly CorpusCase[] = [
  ...LENGTHS,
  ...CODINGS,
  ...CHUNKS,
  ...FIELDS,
  ...HOSTS,
  ...REQUEST_LINES,
  ...SEQUENCES,
];
