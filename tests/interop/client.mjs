// A client under test as a process. It gets the URL of the stream, the event types to listen for and perhaps a last
// id, and prints one line of JSON for everything it sees: {"type","id","data"} for an event, {"note":"error"} for the
// end of a connection or a failed attempt, another note if it will not come back. A client that does not reconnect exits instead, and is started again here.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { RETRY_MS, until } from './node.mjs';

export const CLIENTS = join(dirname(fileURLToPath(import.meta.url)), 'clients');
const TYPES = ['message', 'CONNECTION', 'MESSAGE', 'DIRECT', 'GAP', 'CURSOR', 'CLOSE', 'HEARTBEAT', 'order.created'];

export class Client {
  constructor({ command, reconnects }, { id, url, dir, installed }) {
    Object.assign(this, { command, reconnects, id, url, dir, installed });
    this.events = [];
    this.exits = [];
    this.failures = 0;
    this.lastId = '';
  }

  async start() {
    await mkdir(this.dir, { recursive: true });
    this.#spawn();
    return this;
  }

  #spawn() {
    const [program, ...args] = this.command;
    const log = openSync(join(this.dir, 'client.log'), 'a');
    const env = {
      ...process.env,
      NO_PROXY: '127.0.0.1',
      NODE_PATH: join(this.installed, 'node_modules'),
      PYTHONPATH: join(this.installed, 'python'),
      INTEROP_DIR: this.dir,
    };
    const url = `${this.url}/api/sse/stream?clientId=${this.id}`;
    const child = spawn(program, [...args, url, TYPES.join(','), this.lastId], { env, stdio: ['pipe', 'pipe', log] });
    closeSync(log);
    child.on('error', error => { this.broken = error; });
    createInterface({ input: child.stdout }).on('line', line => this.#heard(JSON.parse(line)));
    this.closed = new Promise(resolve => child.on('close', code => resolve(this.#ended(code))));
    this.process = child;
  }

  #heard(line) {
    if (line.note) {
      this.failures += 1;
      if (line.note !== 'error') this.broken = new Error(`the client gave up: ${line.note}`);
      return;
    }
    this.events.push({ ...line, at: line.at ?? Date.now() });
    if (line.id) this.lastId = line.id;
  }

  #ended(code) {
    if (this.stopping || this.broken) return;
    this.exits.push(code);
    this.failures += 1;
    if (this.reconnects) this.broken = new Error(`the client exited with ${code}, see ${this.dir}/client.log`);
    else this.timer = setTimeout(() => this.#spawn(), RETRY_MS);
  }

  /** Those that wrap or are a whole program leave when their input ends; the others are told to. */
  async stop() {
    this.stopping = true;
    clearTimeout(this.timer);
    this.process.stdin.end();
    if (!this.reconnects) this.process.kill();
    await this.closed;
  }

  of(...types) {
    return this.events.filter(event => types.includes(event.type));
  }

  /** Everything but what the node says about the stream itself. */
  messages() {
    return this.events.filter(event => !['CONNECTION', 'CLOSE'].includes(event.type));
  }

  async until(what, ask) {
    await until(what, () => {
      if (this.broken) throw this.broken;
      return ask();
    }).catch(error => {
      const seen = this.events.slice(-5).map(event => `${event.type} ${event.id ?? ''} ${event.data}`.slice(0, 120));
      throw new Error(`${error.message}; saw ${this.events.length} events, the last: ${seen.join(' | ')}`);
    });
  }
}
