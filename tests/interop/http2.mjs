// The HTTP/2 conformance suite httpwg against a node. The suite speaks clear text, a node HTTP/2 over TLS alone: a proxy
// here does the TLS and passes the bytes on as they are. What fails must be what `http2-expected.txt` names.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';

import { CLIENTS } from './client.mjs';
import { Node } from './node.mjs';

const run = promisify(execFile);
const EXPECTED = join(CLIENTS, '..', 'http2-expected.txt');

/** How the kernel refuses what the suite needs; empty if it does not. */
async function refusal() {
  const disabled = await readFile('/proc/sys/kernel/io_uring_disabled', 'utf8').catch(() => 'no such file');
  return disabled.trim() === '0' ? '' : `kernel.io_uring_disabled is ${disabled.trim()}`;
}

const secured = node => connect({ host: '127.0.0.1', port: node.port, ALPNProtocols: ['h2'], rejectUnauthorized: false });

class SecureNode extends Node {
  isReady() {
    return new Promise(resolve => {
      const socket = secured(this).on('secureConnect', () => { socket.destroy(); resolve(true); }).on('error', () => resolve(false));
    });
  }
}

async function inClear(node) {
  const server = createServer(plain => {
    const secure = secured(node);
    plain.pipe(secure).pipe(plain);
    for (const socket of [plain, secure]) socket.on('error', () => { plain.destroy(); secure.destroy(); });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Runs the suite; returns a word about it. */
export async function http2({ program, dir, installed }) {
  const refused = await refusal();
  if (refused) return `SKIPPED: httpwg needs io_uring, and ${refused}`;
  const [certificate, key] = ['cert.pem', 'key.pem'].map(name => join(CLIENTS, '..', '..', 'tls', name));
  const node = await new SecureNode(program, dir, ['--tls-certificate', certificate, '--tls-key', key]).start();
  const front = await inClear(node);
  try {
    const suite = join(installed, 'httpwg', 'bin', 'httpwg');
    const options = ['--address', `127.0.0.1:${front.address().port}`, '--connect-timeout', '5000', '--frame-timeout', '1000', '-v'];
    // One test after the other: each waits for frames that must come within a time, or for none.
    const { stderr } = await run(suite, options, { env: { ...process.env, SEQUENTIAL: '1' }, maxBuffer: 1 << 26 })
      .catch(failed => failed);
    await writeFile(join(dir, 'httpwg.log'), stderr);
    return await compare(stderr);
  } finally {
    front.close();
    await node.stop('SIGKILL');
  }
}

async function compare(log) {
  const names = mark => log.split('\n').filter(line => line.startsWith(mark)).map(line => line.replace(/^.*?: /, ''));
  const [all, passed] = [names('🔷 Running test'), names('✅ Test passed')];
  const expected = (await readFile(EXPECTED, 'utf8')).split('\n').filter(line => line && !line.startsWith('#'));
  assert.ok(all.length > 100, `the suite has 107 tests, it ran ${all.length}`);
  // A test that panics says neither that it passed nor that it failed.
  assert.deepEqual(all.filter(name => !passed.includes(name)).sort(), expected.sort(), 'tests that fail, and http2-expected.txt');
  return `${passed.length} of ${all.length}`;
}
