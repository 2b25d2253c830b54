// Servers of other people's making under the bench, alone and behind nginx with its defaults: what the verdict is, and what
// DIAGNOSIS says. The servers speak one small protocol, that of scenarios/any-server/eventsource.toml.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { nginx } from './nginx.mjs';
import { freePort, until } from './node.mjs';

const HERE = import.meta.dirname;
const PROFILE = resolve(HERE, '../../scenarios/any-server/eventsource.toml');
const SERVERS = join(HERE, 'servers');

const express = kind => ({ command: port => ['node', join(SERVERS, 'express_events.mjs'), port, kind] });
const fastapi = kept => ({ command: port => ['python3', join(SERVERS, 'fastapi_events.py'), port, kept] });
// Room for three events: whoever reads one burst later than that lags.
const axum = { command: (port, program) => [join(dirname(program), 'examples/axum_events'), port, 3] };
const nchan = {
  async command(port, _, dir) {
    const file = join(dir, 'nchan.conf');
    await writeFile(file, (await readFile(join(HERE, 'nginx/nchan.conf'), 'utf8')).replaceAll('${PORT}', port).replaceAll('${DIR}', dir));
    return ['/usr/sbin/nginx', '-e', join(dir, 'error.log'), '-c', file];
  },
};

/** Each server with what must be said of it: the verdict and causes of DIAGNOSIS, alone and behind nginx. */
export const PEERS = {
  'Express 5.3.0': { server: express('plain'), alone: ['PASS'], behind: ['ERROR', 'no_head'] },
  'Express with compression() 1.8.2': { server: express('compression'), alone: ['FAIL', 'compressed'], behind: ['ERROR', 'no_head'] },
  'Express without flushHeaders()': { server: express('unflushed'), alone: ['ERROR', 'no_head'], behind: ['ERROR', 'no_head'] },
  'better-sse 0.16.1': { server: express('better-sse'), alone: ['PASS'], behind: ['PASS'] },
  'FastAPI 0.165.0 with sse-starlette 3.7.0': { server: fastapi(100_000), alone: ['PASS'], behind: ['PASS'] },
  'the same with twenty events kept': { server: fastapi(20), alone: ['FAIL', 'replay_limit'], behind: ['FAIL', 'replay_limit'] },
  'axum Sse over a broadcast': { server: axum, alone: ['FAIL', 'no_ids'], behind: ['ERROR', 'no_head'] },
  'nchan': { server: nchan, alone: ['PASS'], behind: ['ERROR', 'no_head'] },
};

async function start({ command }, { program, dir, installed }) {
  const port = await freePort();
  const log = openSync(join(dir, 'server.log'), 'a');
  const env = { ...process.env, PYTHONPATH: join(installed, 'python'), NODE_PATH: join(installed, 'node_modules') };
  const [name, ...args] = await command(String(port), program, dir);
  const server = spawn(name, args, { stdio: ['ignore', log, log], env });
  closeSync(log);
  const url = `http://127.0.0.1:${port}`;
  await until('answer of the server', () => {
    assert.equal(server.exitCode, null, `the server ended at once, see ${dir}/server.log`);
    return fetch(`${url}/`).catch(() => null);
  });
  return {
    url,
    async stop() {
      server.kill('SIGTERM');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    },
  };
}

async function judge(program, dir, url) {
  const sets = ['duration=8s', 'faults.0.at=4s', 'clients.everybody.clients=20', 'thresholds={}'];
  const args = ['run', '--quiet', PROFILE, '--target', url, '--out', join(dir, 'out'), ...sets.map(set => `--set=${set}`)];
  const bench = spawn(join(dirname(program), 'sse-bench'), args, { stdio: 'ignore' });
  await once(bench, 'close');
  const report = JSON.parse(await readFile(join(dir, 'out/report.json'), 'utf8'));
  return { verdict: report.summary.verdict, causes: report.diagnosis.map(({ cause }) => cause) };
}

/** Judges one server; with `proxied`, through an nginx that nobody set up for streams. */
export async function peer(name, proxied, { program, dir, installed }) {
  await mkdir(dir, { recursive: true });
  const { server, alone, behind } = PEERS[name];
  const started = [];
  try {
    const running = await start(server, { program, dir, installed });
    started.push(running);
    let { url } = running;
    if (proxied) {
      const front = await nginx('defaults', running, join(dir, 'nginx'));
      started.push(front);
      ({ url } = front);
    }
    const { verdict, causes } = await judge(program, dir, url);
    const said = [verdict, ...causes];
    const missing = (proxied ? behind : alone).filter(word => !said.includes(word));
    assert.deepEqual(missing, [], `the report says ${said.join(', ')}, see ${dir}/out`);
    return said.join(', ');
  } finally {
    for (const each of started.reverse()) await each.stop();
  }
}
