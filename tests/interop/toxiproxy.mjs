// Clients of toxiproxy against `sse-bench proxy`: what they ask for is answered, and happens to a real connection.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { closeSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { CLIENTS } from './client.mjs';

/** `sse-bench proxy` on a free port; its address is the first thing that it says. */
async function startProxy(program, dir) {
  await mkdir(dir, { recursive: true });
  const log = openSync(join(dir, 'proxy.log'), 'a');
  const child = spawn(program, ['proxy', '--listen', '127.0.0.1:0', '--seed', '7'], { stdio: ['ignore', 'pipe', log] });
  closeSync(log);
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => ['it ended'])]);
  const url = /^api +(http:\S+)$/.exec(line)?.[1];
  assert.ok(url, `instead of its address it said: ${line}`);
  const stop = async () => {
    const exited = once(child, 'exit');
    child.kill('SIGINT');
    assert.deepEqual(await exited, [0, null], 'it ends in order');
    process.removeListener('exit', kill);
  };
  return { url, stop };
}

/** A connection of which one can say what it is told back. */
async function dial(address) {
  const [host, port] = address.split(':');
  const socket = connect(Number(port), host);
  await once(socket, 'connect');
  socket.setEncoding('utf8');
  const heard = { text: '', ended: null };
  socket.on('data', text => (heard.text += text));
  socket.on('error', error => (heard.ended ??= error.code));
  socket.on('close', () => (heard.ended ??= 'closed'));
  const until = async what => {
    const deadline = Date.now() + 30_000;
    while (!what(heard)) {
      assert.ok(Date.now() < deadline, `it did not come: ${what}, but ${JSON.stringify(heard)}`);
      await new Promise(resolve => setTimeout(resolve, 5));
    }
  };
  return { socket, heard, until };
}

/** Says something and waits for its echo; milliseconds. */
async function echo(address, text = 'hello') {
  const { socket, until } = await dial(address);
  const began = performance.now();
  socket.write(text);
  await until(heard => heard.text === text || heard.ended);
  socket.destroy();
  return performance.now() - began;
}

async function scenes(api, upstream) {
  assert.match(await api.getVersion(), /"version": ?"2\./);
  const proxy = await api.createProxy({ name: 'echo', listen: '127.0.0.1:0', upstream });
  const address = proxy.listen;
  await echo(address);
  await assert.rejects(api.createProxy({ name: 'echo', listen: '127.0.0.1:0', upstream }), /409/);
  await assert.rejects(api.get('nobody'), /404/);

  const latency = await proxy.addToxic({
    name: 'slow', type: 'latency', stream: 'downstream', toxicity: 1, attributes: { latency: 200, jitter: 0 },
  });
  assert.ok(await echo(address) >= 200, 'it is slow');
  const slower = await latency.update({ attributes: { latency: 400 }, toxicity: 1 });
  assert.deepEqual(slower.attributes, { latency: 400, jitter: 0 });
  assert.ok(await echo(address) >= 400, 'it is slower');
  assert.equal((await proxy.getToxic('slow')).type, 'latency');
  await latency.remove();
  await assert.rejects(proxy.getToxic('slow'), /404/);
  await assert.rejects(proxy.addToxic({ type: 'noise', stream: 'upstream' }), /400/);

  const line = await dial(address);
  const stall = await proxy.addToxic({ name: 'gone', type: 'stall', stream: 'upstream', toxicity: 1, attributes: {} });
  line.socket.write('not lost');
  assert.equal(await Promise.race([line.until(heard => heard.text), new Promise(go => setTimeout(go, 300, 'silent'))]), 'silent');
  await stall.remove();
  await line.until(heard => heard.text === 'not lost');

  await proxy.addToxic({ name: 'reset', type: 'reset_peer', stream: 'downstream', toxicity: 1, attributes: { timeout: 0 } });
  await line.until(heard => heard.ended === 'ECONNRESET');
  await api.reset();
  await echo(address);

  await proxy.addToxic({ name: 'few', type: 'limit_data', stream: 'downstream', toxicity: 1, attributes: { bytes: 3 } });
  const short = await dial(address);
  short.socket.write('hello');
  await short.until(heard => heard.ended);
  assert.equal(short.heard.text, 'hel');
  await api.reset();

  const off = await proxy.update({ enabled: false, listen: address, upstream });
  assert.equal(off.enabled, false);
  await assert.rejects(echo(address), /ECONNREFUSED/);
  await api.reset();
  await echo(address);
  const all = await api.getAll();
  assert.deepEqual(Object.keys(all), ['echo']);
  const more = await api.populate([{ name: 'second', listen: '127.0.0.1:0', upstream, enabled: true }]);
  await echo(more.second.listen);
  await more.second.remove();
  assert.deepEqual(Object.keys(await api.getAll()), ['echo']);
}

/** The proxy, and an echo server that it can stand before, for as long as somebody uses them. */
async function before({ program, dir }, use) {
  const server = createServer(socket => socket.on('error', () => {}).pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy = await startProxy(program, dir);
  try {
    await use(proxy, `127.0.0.1:${server.address().port}`);
  } finally {
    server.close();
    await proxy.stop();
  }
}

/** The client for Node. */
export async function inNode(place) {
  const { Toxiproxy } = createRequire(join(place.installed, 'package.json'))('toxiproxy-node-client');
  await before(place, async (proxy, upstream) => {
    await scenes(new Toxiproxy(proxy.url), upstream);
    const metrics = await (await fetch(`${proxy.url}/metrics`)).text();
    assert.match(metrics, /toxiproxy_proxy_received_bytes_total\{direction="upstream",.*proxy="echo".*\} [1-9]/);
    const browser = { headers: { 'user-agent': 'Mozilla/5.0' } };
    assert.equal((await fetch(`${proxy.url}/proxies`, browser)).status, 403);
  });
}

/** The client for Python. */
export async function inPython(place) {
  const env = { ...process.env, PYTHONPATH: join(place.installed, 'python') };
  await before(place, async (proxy, upstream) => {
    const words = [join(CLIENTS, 'with_toxiproxy_python.py'), new URL(proxy.url).host, upstream];
    const { stdout } = await promisify(execFile)('python3', words, { env, timeout: 60_000 });
    assert.equal(stdout, 'all of it\n');
  });
}
