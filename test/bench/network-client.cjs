// What the benchmark runs inside the cluster's network, and beside it through kubectl port-forward: prints JSON.
//   all <url> <gets> <at once> <short> <bytes>   each of the others but dns, {gets, rate, short, down, up}, when all have run once
//   gets <url> <count>             milliseconds of each GET, one after another, each on a connection of its own
//   rate <url> <count> <at once>   GETs a second, each on a connection of its own
//   download <url>                 milliseconds from the first byte to the last
//   upload <url> <bytes>           milliseconds from the start to the answer
//   dns <domain> <count>           milliseconds of each answer: a name of its own each time, so that none comes from a cache
const { createSocket } = require('node:dgram');
const { readFileSync } = require('node:fs');
const http = require('node:http');

const CHUNK = Buffer.alloc(65536);
const WARM_BYTES = 64 * 2 ** 20;
const TYPE_A = 1;
const [operation, ...operands] = process.argv.slice(2);

function get(url) {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, timeout: 20_000 }, (response) => {
      response.resume().on('end', resolve).on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('timeout'))).on('error', reject);
  });
}

async function gets(url, count) {
  const times = [];
  for (let i = 0; i < count; i++) {
    const started = performance.now();
    await get(url);
    times.push(performance.now() - started);
  }
  return times;
}

async function rate(url, count, atOnce) {
  const started = performance.now();
  let left = count;
  const worker = async () => {
    while (left-- > 0) await get(url);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return count / ((performance.now() - started) / 1000);
}

function download(url) {
  return new Promise((resolve, reject) => {
    http
      .get(url, { agent: false }, (response) => {
        const started = performance.now();
        response.resume().on('end', () => resolve(performance.now() - started));
        response.on('error', reject);
      })
      .on('error', reject);
  });
}

function upload(url, bytes) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const headers = { 'content-length': bytes };
    const request = http.request(url, { agent: false, method: 'PUT', headers }, (response) => {
      response.resume().on('end', () => resolve(performance.now() - started));
    });
    request.on('error', reject);
    let left = bytes;
    const pump = () => {
      while (left > 0) {
        left -= CHUNK.length;
        if (!request.write(CHUNK)) return request.once('drain', pump);
      }
      request.end();
    };
    pump();
  });
}

/**
 * What a process meets that has been up for a while, as the session is by then: the first second of a Node program is its
 * compiler's. kubectl port-forward gets the same.
 */
async function all(url, count, atOnce, short, bytes) {
  await rate(`${url}/`, count, atOnce);
  for (let i = 0; i < 2; i++) {
    await download(`${url}/zeros/${WARM_BYTES}`);
    await upload(`${url}/sink`, WARM_BYTES);
  }
  return {
    gets: await gets(`${url}/`, count),
    rate: await rate(`${url}/`, count * 2, atOnce),
    short: await download(`${url}/zeros/${short}`),
    down: await download(`${url}/zeros/${bytes}`),
    up: await upload(`${url}/sink`, bytes),
  };
}

function question(id, name) {
  const header = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, TYPE_A, 0, 1])]);
}

async function dns(domain, count) {
  const [, nameserver] = /^nameserver\s+(\S+)/m.exec(readFileSync('/etc/resolv.conf', 'utf8'));
  const socket = createSocket(nameserver.includes(':') ? 'udp6' : 'udp4');
  const times = [];
  for (let i = 0; i < count; i++) {
    const message = question(i & 0xffff, `10-1-${i >> 8}-${i & 255}.default.pod.${domain}`);
    const started = performance.now();
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to question ${i}`)), 5000);
      socket.once('message', (answer) => {
        clearTimeout(timer);
        if (answer.readUInt16BE(6) === 1) resolve();
        else reject(new Error(`not answered with one address: ${answer.toString('hex')}`));
      });
      socket.send(message, 53, nameserver);
    });
    times.push(performance.now() - started);
  }
  socket.close();
  return times;
}

const operations = {
  all: (url, ...numbers) => all(url, ...numbers.map(Number)),
  gets: (url, count) => gets(url, Number(count)),
  rate: (url, count, atOnce) => rate(url, Number(count), Number(atOnce)),
  download,
  upload: (url, bytes) => upload(url, Number(bytes)),
  dns: (domain, count) => dns(domain, Number(count)),
};
operations[operation](...operands).then(
  (result) => console.log(JSON.stringify(result)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);
