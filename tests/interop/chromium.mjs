// The installed Chromium, headless, with a profile of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

export async function chromium(url, dir) {
  const profile = join(dir, 'profile');
  await mkdir(profile, { recursive: true });
  const args = [
    '--headless', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--no-proxy-server', '--window-size=1000,640',
    '--disable-background-networking', '--disable-component-update', '--remote-debugging-port=0', `--user-data-dir=${profile}`,
  ];
  // Its sandbox refuses to run as root.
  if (process.getuid() === 0) args.push('--no-sandbox');
  const log = openSync(join(dir, 'chromium.log'), 'a');
  // A group of its own, so that its children end with it.
  const browser = spawn('chromium', [...args, url], { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  const exited = once(browser, 'exit');
  const kill = () => {
    try { process.kill(-browser.pid, 'SIGKILL'); } catch { /* It is gone already. */ }
  };
  process.once('exit', kill);
  return {
    /** Where its DevTools listen, null until they do. */
    async devtools() {
      const text = await readFile(join(profile, 'DevToolsActivePort'), 'utf8').catch(() => '');
      return text ? `http://127.0.0.1:${text.split('\n')[0]}` : null;
    },
    async close() {
      kill();
      await exited;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
