// Pages of other origins in Chromium, and a node that checks tokens. A page of a listed origin gets its stream, resumes it,
// and renews its token. Others can neither read nor change anything, even while the browser sends an operator's cookie along.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { promisify } from 'node:util';

import { chromium } from './chromium.mjs';
import { Node, until } from './node.mjs';
import { attach } from './page.mjs';

const run = promisify(execFile);
const SECRET = 'a secret of this test, and of no other';

/** What a page does. `withCookie` sends cookies of the site of the node along, as they are when it reconnects. */
const SCRIPT = `
  const seen = [];
  const cookie = token => { document.cookie = 'sse_token=' + token + '; path=/; SameSite=Strict'; };
  function stream(url, withCookie, renewed) {
    const source = new EventSource(url, { withCredentials: withCookie });
    for (const type of ['CONNECTION', 'DIRECT', 'GAP', 'CLOSE', 'error']) {
      source.addEventListener(type, event => {
        const data = event.data ? JSON.parse(event.data) : {};
        seen.push(type === 'DIRECT' ? 'DIRECT ' + data.data : type === 'CLOSE' ? 'CLOSE ' + data.code : type);
        if (type !== 'CLOSE' || data.code !== 3005 || !renewed) return;
        if (withCookie) return cookie(renewed);
        source.close();
        stream(url.replace(/token=[^&]*/, 'token=' + renewed) + '&lastEventId=' + event.lastEventId, false);
      });
    }
  }
  async function attempts(node, token) {
    const outcome = (name, work) => work.then(() => seen.push(name + ' READ'), () => seen.push(name + ' refused'));
    const body = JSON.stringify({ data: 'of a foreign page' });
    const credentials = 'include';
    const json = { 'content-type': 'application/json' };
    await outcome('history', fetch(node + '/api/sse/history', { credentials }));
    await outcome('with a token', fetch(node + '/api/sse/history', { headers: { authorization: 'Bearer ' + token } }));
    await outcome('publish', fetch(node + '/api/sse/broadcast', { method: 'POST', body, credentials, headers: json }));
    for (const path of ['/api/sse/broadcast', '/admin/drain', '/api/sse/ack']) {
      await fetch(node + path, { method: 'POST', mode: 'no-cors', credentials, body }).catch(() => 0);
      await fetch(node + path, { method: 'POST', mode: 'no-cors', credentials }).catch(() => 0);
    }
    await new Promise(done => {
      const image = new Image();
      image.onload = image.onerror = done;
      image.src = node + '/api/sse/stream?clientId=img&userId=bob&ack=written&lastEventId=earliest';
    });
    seen.push('done');
  }`;

async function site() {
  const page = `<!doctype html><title>page</title><script>${SCRIPT}</script>`;
  const server = createServer((_, answer) => answer.setHeader('content-type', 'text/html').end(page)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

export async function pages({ program, dir, installed }) {
  const [own, other] = [await site(), await site()];
  const at = (host, { port }) => `http://${host}:${port}`;
  const listed = at('127.0.0.1', own.address());
  const settings = ['--token-secret', SECRET, '--token-leeway', '0s', '--cors-origins', listed];
  const node = await new Node(program, dir, settings).start();
  const token = async (...claims) => (await run(program, ['token', '--secret', SECRET, ...claims])).stdout.trim();
  const operator = await token('--user', 'root', '--operator', '--publish', '*');
  node.headers = { authorization: `Bearer ${operator}` };
  const browser = await chromium('about:blank', dir);
  try {
    const tab = await attach(browser, installed);
    const show = async url => {
      await tab.call('Page.navigate', { url });
      await until(`page ${url}`, () => tab.evaluate(`location.href.startsWith('${url}') && typeof seen === 'object'`));
    };
    const seen = () => tab.evaluate('seen');
    const saw = what => until(`${what} in the page`, async () => (await seen())?.includes(what));
    const all = { node, token, tab, show, seen, saw, listed };
    for (const how of ['cookie', 'query']) {
      await resumes(all, how);
      await renews(all, how);
    }
    // The first is of the same site, so that the cookie goes along; the second is of another one.
    for (const host of ['127.0.0.1', 'localhost']) await isKeptOut(all, at(host, other.address()), operator);
    tab.close();
  } finally {
    await browser.close();
    await node.stop('SIGKILL');
    own.close();
    other.close();
  }
}

/** Opens a stream of alice in the page of the listed origin. */
async function open({ node, tab, show, listed }, how, first, renewed = '') {
  await show(`${listed}/${how}`);
  await tab.evaluate(`cookie('${how === 'cookie' ? first : ''}')`);
  const url = `${node.url}/api/sse/stream?clientId=alice:${how}${how === 'query' ? `&token=${first}` : ''}`;
  await tab.evaluate(`stream('${url}', ${how === 'cookie'}, '${renewed}')`);
}

const send = (node, text) => node.publish('/users/alice', JSON.stringify(text));
const messages = events => events.filter(event => event.startsWith('DIRECT'));

async function resumes(all, how) {
  const { node, seen, saw } = all;
  await open(all, how, await all.token('--user', 'alice'));
  await saw('CONNECTION');
  await send(node, 'one');
  await saw('DIRECT one');
  await node.stop('SIGKILL');
  await saw('error');
  await node.start();
  for (const text of ['two', 'three']) await send(node, text);
  await saw('DIRECT three');
  assert.deepEqual(messages(await seen()), ['DIRECT one', 'DIRECT two', 'DIRECT three'], how);
}

async function renews(all, how) {
  const { node, seen, saw } = all;
  await open(all, how, await all.token('--user', 'alice', '--ttl', '5s'), await all.token('--user', 'alice'));
  await saw('CONNECTION');
  await send(node, 'four');
  await saw('CLOSE 3005');
  await send(node, 'five');
  await saw('DIRECT five');
  const came = (await seen()).filter(event => event !== 'error');
  assert.deepEqual(came, ['CONNECTION', 'DIRECT four', 'CLOSE 3005', 'CONNECTION', 'DIRECT five'], how);
}

async function isKeptOut({ node, tab, show, seen, saw, listed }, origin, operator) {
  // The browser has an operator's cookie of the host of the node.
  await show(listed);
  await tab.evaluate(`cookie('${operator}')`);
  const mail = await node.ask('/api/sse/users/bob', { method: 'POST', body: '{"data":"kept","qos":1}', headers: node.headers });
  const before = (await node.ask('/api/sse/history?limit=1000')).events.length;
  await show(origin);
  await tab.evaluate(`stream('${node.url}/api/sse/stream?clientId=root', true)`);
  await tab.evaluate(`stream('${node.url}/api/sse/stream?clientId=root&token=${operator}', false)`);
  await tab.evaluate(`attempts('${node.url}', '${operator}').then(() => 0)`);
  await saw('done');
  assert.deepEqual((await seen()).sort(), ['done', 'error', 'error', 'history refused', 'publish refused', 'with a token refused']);
  assert.equal((await node.ask('/api/sse/history?limit=1000')).events.length, before, 'events that a foreign page published');
  assert.equal((await node.ask('/admin/drain')).draining, false);
  const { messages } = await node.ask('/api/sse/users/bob/pending');
  assert.ok(messages.some(message => message.id === mail.id), 'mail that a foreign page confirmed');
}
