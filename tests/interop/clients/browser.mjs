// Chromium with a page from another origin than the node's; the page sends here what it sees. First argument: how it
// reads the stream, native or fetch (@microsoft/fetch-event-source). Leaves when its input ends.
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from '../chromium.mjs';

const [how, stream, types] = process.argv.slice(2);
const modules = join(process.env.NODE_PATH, '@microsoft/fetch-event-source/lib/esm');
const page = join(dirname(fileURLToPath(import.meta.url)), 'browser.html');

const server = createServer(async (request, response) => {
  if (request.method === 'POST') {
    // One request at a time, so the lines are in order.
    for await (const chunk of request.setEncoding('utf8')) process.stdout.write(chunk);
    response.end();
  } else if (request.url.startsWith('/fetch-event-source/')) {
    // The package's imports have no endings.
    const name = request.url.split('/')[2].replace(/(\.js)?$/, '.js');
    response.setHeader('content-type', 'text/javascript').end(await readFile(join(modules, name)));
  } else {
    response.setHeader('content-type', 'text/html').end(await readFile(page));
  }
}).listen(0, '127.0.0.1');
await once(server, 'listening');

const query = new URLSearchParams({ how, stream, types });
const browser = await chromium(`http://127.0.0.1:${server.address().port}/?${query}`, process.env.INTEROP_DIR);
process.stdin.resume().on('end', async () => {
  await browser.close();
  process.exit(0);
});
