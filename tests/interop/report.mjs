// A run's reports in other people's hands: HdrHistogram's own reader (Python) for the log, Chromium for the page.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

import { CLIENTS } from './client.mjs';

const run = promisify(execFile);
const SCENARIO = resolve(import.meta.dirname, '../../scenarios/basic.toml');

/** Runs a small scenario with the bench beside the node, and reads what it wrote. */
export async function report({ program, dir, installed }) {
  const bench = join(dirname(program), 'sse-bench');
  await run(bench, ['run', SCENARIO, '--out', dir, '-z', '3s', '--quiet', '--format', 'text,html,hlog'], { timeout: 120_000 });
  const env = { ...process.env, PYTHONPATH: join(installed, 'python') };
  const { stdout } = await run('python3', [join(CLIENTS, 'with_hdrhistogram.py'), dir], { env, timeout: 30_000 });
  assert.match(stdout, /^\d+ metrics, \d+ deliveries$/m);
  const page = await readFile(join(dir, 'report.html'), 'utf8');
  assert.ok(!/https?:\/\//.test(page), 'the page asks no network for anything');
}
