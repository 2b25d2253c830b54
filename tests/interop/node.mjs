// A real node as a process: started, killed and started again on the same port and the same log.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

export const RETRY_MS = 1000;

/** A port that was free a moment ago. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Asks until the answer is truthy. The deadline is for a machine that hangs, not for a slow one. */
export async function until(what, ask, seconds = 45) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`no ${what} within ${seconds} s`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

export class Node {
  constructor(program, dir, settings = []) {
    const cors = settings.includes('--cors-origins') ? [] : ['--cors-origins', '*'];
    Object.assign(this, { program, dir, settings: [...cors, ...settings], log: join(dir, 'log'), headers: {} });
  }

  async start() {
    await mkdir(this.dir, { recursive: true });
    this.port ??= await freePort();
    this.url = `http://127.0.0.1:${this.port}`;
    const output = openSync(join(this.dir, 'node.log'), 'a');
    this.process = spawn(this.program, [
      'serve', '--die-with-parent', '--listen', `127.0.0.1:${this.port}`, '--broker', `file:${this.log}`,
      '--retry', `${RETRY_MS}ms`, '--retry-jitter', '0ms', '--drain-over', '300ms', ...this.settings,
    ], { stdio: ['ignore', output, output] });
    closeSync(output);
    this.exited = once(this.process, 'exit');
    await until('ready node', async () => {
      if (this.process.exitCode !== null) throw new Error(`the node ended at once, see ${this.dir}/node.log`);
      return this.isReady();
    });
    return this;
  }

  async isReady() {
    return (await fetch(`${this.url}/health/ready`).catch(() => null))?.ok;
  }

  /** Sends a signal and waits for the end; returns the exit code, null after SIGKILL. */
  async stop(signal) {
    this.process.kill(signal);
    const [code] = await this.exited;
    return code;
  }

  async ask(path, options) {
    const response = await fetch(this.url + path, { headers: this.headers, ...options });
    const text = await response.text();
    if (!response.ok) throw new Error(`${options?.method ?? 'GET'} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  /** Publishes; `data` is JSON text, so that what must arrive is exactly known. The SSE id is `id` of the answer. */
  publish(path, data, type) {
    const body = type ? `{"type":${JSON.stringify(type)},"data":${data}}` : `{"data":${data}}`;
    return this.ask(`/api/sse${path}`, { method: 'POST', body });
  }

  /** Broadcasts the numbers from..to; returns the SSE ids. */
  async publishNumbers(from, to) {
    const ids = [];
    for (let n = from; n < to; n++) ids.push((await this.publish('/broadcast', String(n))).id);
    return ids;
  }

  /** The open streams of a client. */
  async streams(client) {
    return (await this.ask(`/api/sse/connections?filter=client:${client}`)).clients;
  }

  /** Opens a stream of another client and leaves it open; null if the node refuses it. */
  async occupy() {
    const abort = new AbortController();
    const response = await fetch(`${this.url}/api/sse/stream?clientId=holder`, { signal: abort.signal });
    const first = new TextDecoder().decode((await response.body.getReader().read()).value);
    if (first.includes('event: CONNECTION')) return () => abort.abort();
    abort.abort();
    return null;
  }
}
