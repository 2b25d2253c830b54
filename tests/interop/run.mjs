// Runs every client through every story and prints one table. `run.mjs PROGRAM INTO [word ...]`: the node, where the
// clients are installed and the logs go, and words that select rows.
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';

import { CLIENTS, Client } from './client.mjs';
import { http2 } from './http2.mjs';
import { nginx } from './nginx.mjs';
import { Node } from './node.mjs';
import { page } from './page.mjs';
import { pages } from './pages.mjs';
import { PEERS, peer } from './peers.mjs';
import { report } from './report.mjs';
import { ROLES, schemathesis } from './schemathesis.mjs';
import { stories } from './stories.mjs';
import * as toxiproxy from './toxiproxy.mjs';

const [program, installed, ...words] = process.argv.slice(2);
const node = (script, ...args) => ['node', join(CLIENTS, script), ...args];
const python = script => ['python3', join(CLIENTS, script)];

const curl = { command: node('curl.mjs'), reconnects: false };
const eventsource = name => ({ command: node('eventsource.cjs', name), reconnects: true });
const browser = how => ({ command: node('browser.mjs', how), reconnects: true });

const rows = [
  { name: 'curl -N', client: curl, exitAfterAbort: 18 },
  { name: 'npm eventsource 4.1.1', client: eventsource('eventsource-4') },
  { name: 'npm eventsource 2.0.2', client: eventsource('eventsource-2') },
  { name: 'undici EventSource 7.30.2', client: eventsource('undici') },
  { name: 'httpx-sse 0.4.3', client: { command: python('with_httpx_sse.py'), reconnects: false } },
  { name: 'sseclient-py 1.9.0', client: { command: python('with_sseclient_py.py'), reconnects: false } },
  { name: 'Chromium EventSource', client: browser('native') },
  { name: 'fetch-event-source 2.0.1', client: browser('fetch') },
  { name: 'nginx defaults, curl', client: curl, proxy: 'defaults' },
  { name: 'nginx defaults, eventsource 2', client: eventsource('eventsource-2'), proxy: 'defaults' },
  { name: 'nginx streams, curl', client: curl, proxy: 'streams', exitAfterAbort: 18 },
  { name: 'nginx streams, eventsource 4', client: eventsource('eventsource-4'), proxy: 'streams' },
  { name: 'nginx streams, Chromium', client: browser('native'), proxy: 'streams' },
];

/** Tells one story; what it started is stopped whatever happens. */
async function tell(row, name, number) {
  const { run, settings, occupied } = stories[name];
  const dir = join(installed, 'runs', row.name.replace(/[^\w.]+/g, '-'), name);
  const started = [];
  try {
    const server = await new Node(program, dir, settings).start();
    started.push(() => server.stop('SIGKILL'));
    const front = row.proxy ? await nginx(row.proxy, server, join(dir, 'nginx')) : server;
    if (row.proxy) started.push(() => front.stop());
    const holder = occupied ? await server.occupy() : null;
    const id = `client-${number}`;
    const client = await new Client(row.client, { id, url: front.url, dir, installed }).start();
    started.push(() => client.stop());
    await run({ node: server, client, row, holder });
  } finally {
    for (const stop of started.reverse()) await stop();
  }
}

async function showPage() {
  const dir = join(installed, 'runs', 'page');
  const server = await new Node(program, dir).start();
  try {
    await page({ node: server, dir, installed, picture: join(installed, 'page.png') });
  } finally {
    await server.stop('SIGKILL');
  }
}

function faults(client, name) {
  const dir = join(installed, 'runs', name);
  return () => client({ program: join(dirname(program), 'sse-bench'), dir, installed });
}

function judged(suite, name) {
  const dir = join(installed, 'runs', name.replace(/[^\w.]+/g, '-'));
  return () => suite({ program, dir, installed });
}

/** The servers of others with what is said of each. */
async function showPeers(peers) {
  const front = { false: 'alone', true: 'nginx' };
  for (const name of peers) {
    for (const proxied of [false, true]) {
      const dir = join(installed, 'runs', 'peers', `${name.replace(/[^\w.]+/g, '-')}-${front[proxied]}`);
      let said = '';
      const cell = await outcome(`${name}, ${front[proxied]}`, async () => {
        said = await peer(name, proxied, { program, dir, installed });
      });
      console.log(`${name.padEnd(44)}${front[proxied]}  ${cell}  ${said}`);
    }
  }
}

// Ends as usual, so that what was started is ended too.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const failures = [];
async function outcome(label, work) {
  try {
    await work();
    return 'pass';
  } catch (error) {
    failures.push(`${label}: ${error.stack}`);
    return 'FAIL';
  }
}

await rm(join(installed, 'runs'), { recursive: true, force: true });
const chosen = rows.filter(row => words.every(word => row.name.includes(word)));
const results = new Map();
const waiting = [...chosen];
async function work() {
  for (let row = waiting.shift(); row; row = waiting.shift()) {
    const cells = {};
    for (const name of Object.keys(stories)) {
      cells[name] = await outcome(`${row.name}, ${name}`, () => tell(row, name, rows.indexOf(row)));
    }
    results.set(row, cells);
    console.error(`interop: ${row.name}: ${Object.values(cells).every(cell => cell === 'pass') ? 'pass' : 'FAIL'}`);
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, work));

const width = Math.max(...rows.map(row => row.name.length));
const line = (name, cells) => console.log(`${name.padEnd(width)}  ${cells.map(cell => cell.padEnd(6)).join('  ')}`);
line('', Object.keys(stories));
for (const row of chosen) line(row.name, Object.values(results.get(row)));
const read = () => report({ program, dir: join(installed, 'runs', 'report'), installed });
const besides = Object.entries({
  "the node's own page": showPage,
  "a run's histograms": read,
  'pages of other origins in Chromium': judged(pages, 'pages'),
  'HTTP/2 conformance, httpwg 0.2.5': judged(http2, 'http2'),
  ...Object.fromEntries(Object.keys(ROLES).map(role => {
    const name = `schemathesis 4.32.5, ${role}`;
    return [name, judged(options => schemathesis(role, options), name)];
  })),
  'toxiproxy-node-client 4.1.0': faults(toxiproxy.inNode, 'toxiproxy-node-client'),
  'toxiproxy-python 0.1.1': faults(toxiproxy.inPython, 'toxiproxy-python'),
});
const also = besides.filter(([name]) => words.every(word => name.includes(word)));
for (const [name, work] of also) {
  let said = '';
  line(name, [await outcome(name, async () => { said = (await work()) ?? ''; }), said]);
}
const peers = Object.keys(PEERS).filter(name => words.every(word => name.includes(word)));
await showPeers(peers);

for (const failure of failures) console.log(`\n${failure}`);
const isNobody = chosen.length + also.length + peers.length === 0;
if (isNobody) console.log(`no client has ${words.join(' and ')} in its name`);
process.exit(failures.length > 0 || isNobody ? 1 : 0);
