// nginx in front of a node, with one of the configurations in nginx/.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { freePort, until } from './node.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));

export async function nginx(name, node, dir) {
  await mkdir(dir, { recursive: true });
  const port = await freePort();
  const text = await readFile(join(HERE, 'nginx', `${name}.conf`), 'utf8');
  const server = text.replaceAll('${PORT}', port).replaceAll('${NODE}', node.url);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(kind => `${kind}_temp_path ${dir}/${kind};`);
  await writeFile(join(dir, 'nginx.conf'), `
    daemon off; worker_processes 1; pid ${dir}/nginx.pid; error_log ${dir}/error.log info;
    events {}
    http { access_log ${dir}/access.log; ${temporary.join(' ')}\n${server}\n}`);
  const proxy = spawn('nginx', ['-e', `${dir}/error.log`, '-c', join(dir, 'nginx.conf')], { stdio: 'ignore' });
  const exited = once(proxy, 'exit');
  const url = `http://127.0.0.1:${port}`;
  await until('nginx', async () => {
    if (proxy.exitCode !== null) throw new Error(`nginx ended at once, see ${dir}/error.log`);
    return fetch(url).then(answer => answer.status < 500, () => false);
  });
  return { url, async stop() { proxy.kill('SIGTERM'); await exited; } };
}
