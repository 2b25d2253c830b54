// schemathesis makes requests from the description of the interface, right ones and wrong ones, and compares the answers
// with it: once for each role, against a node that checks tokens, and against one that checks none.
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

import { Node } from './node.mjs';

const run = promisify(execFile);
const CONFIG = resolve(import.meta.dirname, 'schemathesis.toml');
const SECRET = 'a secret of this test, and of no other';

/** What the credential of each role is made of; a node without roles checks none. */
export const ROLES = {
  'without tokens': null,
  nobody: [],
  subscriber: ['--secret', SECRET, '--user', 'reader', '--topics', '*', '--clients', '*'],
  publisher: ['--api-key', 'shop', '--publish', '*'],
  operator: ['--secret', SECRET, '--user', 'root', '--operator'],
};

/** The credential, and the line of its hash if it is an API key. */
async function credential(program, role) {
  const made = ROLES[role]?.length ? (await run(program, ['token', ...ROLES[role]])).stdout.trim().split('\n') : [];
  return { token: made[0], keys: made[1] ?? '' };
}

/** Runs it for one role; returns a word about it. */
export async function schemathesis(role, { program, dir, installed }) {
  await mkdir(dir, { recursive: true });
  const { token, keys } = await credential(program, role);
  await writeFile(join(dir, 'api-keys'), `${keys}\n`);
  const access = ROLES[role] ? ['--token-secret', SECRET, '--api-keys', join(dir, 'api-keys')] : [];
  const node = await new Node(program, dir, ['--max-body', '8KiB', '--max-payload', '2KiB', ...access]).start();
  try {
    const options = ['-m', 'schemathesis.cli', '--config-file', CONFIG, 'run', `${node.url}/openapi.json`, '--no-color'];
    if (token) options.push('--header', `Authorization: Bearer ${token}`);
    const env = { ...process.env, PYTHONPATH: join(installed, 'python') };
    const { stdout, code } = await run('python3', options, { env, cwd: dir, maxBuffer: 1 << 26 }).catch(failed => failed);
    await writeFile(join(dir, 'schemathesis.log'), stdout ?? '');
    if (code) throw new Error(`schemathesis, ${role}, found:\n${stdout.slice(stdout.indexOf('= FAILURES'))}`);
    return stdout.match(/(\d+) generated/)[0];
  } finally {
    await node.stop('SIGKILL');
  }
}
