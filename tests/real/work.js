// Work for node: four worker threads compress, hash, sort, parse and send buffers. Prints digests.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');

function generator(seed) {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % n;
  };
}

const digest = (data) => crypto.createHash('sha256').update(data).digest('hex').slice(0, 16);

function buffers(random) {
  const kept = [];
  for (let i = 0; i < 4000; i++) {
    kept.push(Buffer.alloc(1 + random(60000), i & 255));
    if (kept.length > 60) kept.splice(random(kept.length), 1);
  }
  return digest(Buffer.concat(kept));
}

function documents(random) {
  const data = [];
  for (let i = 0; i < 8000; i++) {
    data.push({ id: i, name: 'n'.repeat(random(50)) + random(1000), tags: [i % 7, `t${i % 11}`] });
  }
  const text = JSON.stringify(data.sort((a, b) => (a.name < b.name ? -1 : 1)));
  const packed = zlib.brotliCompressSync(text, { params: {
    [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } });
  const back = zlib.gunzipSync(zlib.gzipSync(zlib.brotliDecompressSync(packed)));
  return digest(back) + (back.toString() === text);
}

function expressions(random) {
  let text = '';
  for (let i = 0; i < 30000; i++) text += String.fromCharCode(97 + random(8));
  const hits = text.match(/(a[bc]+)(\w{1,9}?)d/g) || [];
  return digest(hits.join()) + text.replace(/e+/g, '<$&>').length;
}

async function streams(random) {
  const chunks = [];
  const gzip = zlib.createGzip({ level: 3 });
  gzip.on('data', (chunk) => chunks.push(chunk));
  for (let i = 0; i < 200; i++) gzip.write(Buffer.alloc(1000 + random(20000), 65 + (i % 26)));
  await new Promise((resolve) => gzip.end(resolve));
  const scrypt = await new Promise((resolve, reject) => crypto.scrypt('secret', 'salt', 64,
    { N: 4096 }, (error, key) => (error ? reject(error) : resolve(key))));
  return digest(zlib.gunzipSync(Buffer.concat(chunks))) + digest(scrypt);
}

async function work() {
  const random = generator(workerData);
  const lines = [buffers(random), documents(random), expressions(random), await streams(random)];
  const sent = new Uint8Array(1 << 20).fill(workerData);
  parentPort.postMessage({ lines, sent }, [sent.buffer]);
}

async function main() {
  for (let round = 0; round < 3; round++) {
    const results = await Promise.all([1, 2, 3, 4].map((seed) => new Promise((resolve, reject) => {
      const worker = new Worker(__filename, { workerData: seed + 10 * round });
      worker.on('message', resolve);
      worker.on('error', reject);
    })));
    for (const { lines, sent } of results) console.log(lines.join(' '), digest(sent));
  }
  // A worker that is ended in the middle of its work.
  const worker = new Worker('const a = []; for (;;) a.push(Buffer.alloc(5000)), a.length %= 999',
    { eval: true });
  await new Promise((resolve) => worker.on('online', resolve));
  console.log('ended with', await worker.terminate());
}

if (isMainThread) main(); else work();
