// curl -N, its output cut into events. Exits as curl does: 18 after an abort, 22 after a status of 400 or more.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const [url, , lastId] = process.argv.slice(2);
const header = lastId ? ['-H', `Last-Event-ID: ${lastId}`] : [];
const curl = spawn('curl', ['-sSfN', '--noproxy', '*', ...header, url], { stdio: ['ignore', 'pipe', 'inherit'] });
process.on('SIGTERM', () => { curl.kill(); process.exit(0); });

let block = { type: 'message', data: [] };
createInterface({ input: curl.stdout, crlfDelay: Infinity }).on('line', line => {
  if (line === '') {
    // Without `data:` it is no event; a heartbeat must not even end a block.
    if (block.data.length > 0) console.log(JSON.stringify({ ...block, data: block.data.join('\n') }));
    block = { type: 'message', data: [] };
    return;
  }
  const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
  if (field === 'data') block.data.push(value);
  else if (field === 'id') block.id = value;
  else if (field === 'event') block.type = value;
});
curl.on('close', code => process.exit(code ?? 1));
