// A server of others under the bench, through the profile that is shipped for its kind.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { freePort, until } from './node.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const profile = join(here, '../../scenarios/any-server/eventsource.toml');

/** Runs while `work` does, with so many events kept. */
async function withServer({ dir, installed, kept }, work) {
  await mkdir(dir, { recursive: true });
  const port = await freePort();
  const log = openSync(join(dir, 'server.log'), 'a');
  const env = { ...process.env, PYTHONPATH: join(installed, 'python') };
  const script = join(here, 'servers/starlette_events.py');
  const server = spawn('python3', [script, port, kept], { stdio: ['ignore', log, log], env });
  closeSync(log);
  const url = `http://127.0.0.1:${port}`;
  try {
    await until('answer of the server', async () => {
      assert.equal(server.exitCode, null, `the server ended at once, see ${dir}/server.log`);
      return fetch(url).catch(() => null);
    });
    return await work(url);
  } finally {
    server.kill('SIGKILL');
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
  }
}

/** The exit code of the bench, and the summary of its report. */
async function judge(program, dir, url) {
  const sets = ['duration=8s', 'faults.0.at=4s', 'publishers.main.rate=100', 'thresholds={}'];
  const args = ['run', '--quiet', profile, '--target', url, '--out', join(dir, 'out'), ...sets.map(set => `--set=${set}`)];
  const bench = spawn(program, args, { stdio: 'ignore' });
  const [code] = await once(bench, 'exit');
  const { summary } = JSON.parse(await readFile(join(dir, 'out/report.json'), 'utf8'));
  return { code, summary };
}

/** What it keeps is delivered, and what it does not is told. */
export async function starlette({ program, dir, installed }) {
  const run = (name, kept) => {
    const into = join(dir, name);
    return withServer({ dir: into, installed, kept }, url => judge(program, into, url));
  };
  const kept = await run('kept', 100_000);
  assert.equal(kept.code, 0, JSON.stringify(kept.summary));
  assert.ok(kept.summary.events_ok > 1000 && kept.summary.events_ok === kept.summary.events_expected);
  const forgotten = await run('forgotten', 1);
  assert.equal(forgotten.code, 120, JSON.stringify(forgotten.summary));
  assert.ok(forgotten.summary.failed.includes('lost'), JSON.stringify(forgotten.summary));
}
