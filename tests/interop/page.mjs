// The node's own page in Chromium: it shows that it is connected, sends what is typed, and shows what comes back.
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { chromium } from './chromium.mjs';
import { until } from './node.mjs';

/** Speaks the DevTools protocol with the first page. */
export async function attach(browser, installed) {
  const { WebSocket } = createRequire(join(installed, 'package.json'))('undici');
  const page = await until('page in Chromium', async () => {
    const devtools = await browser.devtools();
    const targets = devtools && (await fetch(`${devtools}/json`).then(answer => answer.json(), () => null));
    return targets?.find(target => target.type === 'page');
  });
  const socket = new WebSocket(page.webSocketDebuggerUrl);
  await new Promise((resolve, fail) => { socket.onopen = resolve; socket.onerror = fail; });
  const waiting = new Map();
  socket.onmessage = ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    if (error) waiting.get(id)?.fail(new Error(error.message));
    else waiting.get(id)?.resolve(result);
  };
  let count = 0;
  const call = (method, params = {}) => new Promise((resolve, fail) => {
    waiting.set(++count, { resolve, fail });
    socket.send(JSON.stringify({ id: count, method, params }));
  });
  const evaluate = async expression => (await call('Runtime.evaluate', { expression, returnByValue: true })).result.value;
  return { call, evaluate, close: () => socket.close() };
}

export async function page({ node, dir, installed, picture }) {
  const browser = await chromium(`${node.url}/?types=order.created`, dir);
  try {
    const tab = await attach(browser, installed);
    await until('open stream', () => tab.evaluate('document.querySelector("#state")?.textContent === "open"'));
    await tab.evaluate('document.querySelector("#text").focus()');
    await tab.call('Input.insertText', { text: 'Grüße <b>🌍</b>' });
    await tab.evaluate('document.querySelector("#send button").click()');
    const client = await tab.evaluate('document.querySelector("#client").textContent');
    const rows = () => tab.evaluate('[...document.querySelectorAll("#events tr")].map(row => row.textContent)');
    await until('broadcast in the table', async () => (await rows()).some(row => row.includes('Grüße <b>🌍</b>')));
    await node.publish(`/broadcast/${client}`, '{"order":4711,"lines":["two tables","one lamp"],"note":"to this page alone"}');
    const last = await node.publish('/broadcast', '{"temperature":21.5}', 'order.created');
    await until('event of an own type', async () => (await rows()).some(row => row.includes('order.created')));
    assert.equal((await rows()).length, 4, 'CONNECTION and three messages');
    assert.equal(await tab.evaluate('document.querySelector("#last").textContent'), last.id);

    // It says so when the node leaves, and when the node that comes back has another log.
    assert.equal(await node.stop('SIGTERM'), 0);
    await until('CLOSE in the table', async () => (await rows()).some(row => row.includes('3001 the node is leaving')));
    await until('word of it', () => tab.evaluate('document.querySelector("#state").textContent === "reconnecting"'));
    await rm(node.log, { recursive: true });
    await node.start();
    await until('GAP in the table', async () => (await rows()).some(row => row.includes('epoch: some events cannot be replayed')));
    await until('open stream', () => tab.evaluate('document.querySelector("#state").textContent === "open"'));
    const { data } = await tab.call('Page.captureScreenshot', { format: 'png' });
    await writeFile(picture, Buffer.from(data, 'base64'));
    tab.close();
  } finally {
    await browser.close();
  }
}
