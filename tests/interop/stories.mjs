// What every client lives through, each with a node of its own. Nothing here has a tight time: it waits for what must
// come, and at the end compares everything that came.
import assert from 'node:assert/strict';

import { RETRY_MS, until } from './node.mjs';

// Odd JSON on purpose: what arrives must be this text, byte by byte.
const PAYLOAD = String.raw`{"text":"Grüße 🌍 漢字 \u2028","lines":"a\nb\r\nc","big":123456789012345678901234567890.10,"empty":""}`;
// Over several lines the text may change its line ends, the value may not.
const PRETTY = '{\r\n  "list": [\n    1,\r\n\n    "x: y"\r  ]\n}';

const data = event => JSON.parse(event.data).data;
const ids = events => events.map(event => event.id);

/** The events of the numbers, exactly once, in order, and nothing else. */
function assertNumbers(client, expected) {
  const messages = client.messages();
  assert.deepEqual(messages.map(event => `${event.type} ${data(event)}`), expected.map((_, n) => `MESSAGE ${n}`));
  assert.deepEqual(ids(messages), expected);
}

/** A last event behind all others: what came twice or late is there by now. */
async function last(node, client, expected) {
  const n = expected.length;
  const all = [...expected, ...(await node.publishNumbers(n, n + 1))];
  await client.until('last event', () => client.messages().some(event => event.id === all[n]));
  assertNumbers(client, all);
}

async function hello({ node, client }) {
  await client.until('CONNECTION', () => client.events.length === 1);
  const { clientId, resumed } = JSON.parse(client.events[0].data);
  assert.deepEqual({ type: client.events[0].type, clientId, resumed }, { type: 'CONNECTION', clientId: client.id, resumed: 'live' });

  const answers = [
    await node.publish('/broadcast', PAYLOAD),
    await node.publish(`/broadcast/${client.id}`, PAYLOAD),
  ];
  await node.publish('/broadcast/someone-else', PAYLOAD);
  answers.push(await node.publish('/broadcast', PRETTY, 'order.created'));
  await client.until('third message', () => client.messages().length === 3);

  const messages = client.messages();
  assert.deepEqual(messages.map(event => event.type), ['MESSAGE', 'DIRECT', 'order.created']);
  assert.deepEqual(ids(messages), ids(answers));
  assert.deepEqual(messages.map(event => JSON.parse(event.data).id), answers.map(answer => answer.messageId));
  for (const event of messages.slice(0, 2)) {
    assert.ok(event.data.includes(`"data":${PAYLOAD}`), `changed on the way: ${event.data}`);
  }
  assert.deepEqual(data(messages[2]), JSON.parse(PRETTY));
}

async function quiet({ node, client }) {
  await client.until('CONNECTION', () => client.events.length === 1);
  const bytes = async () => (await node.streams(client.id))[0].bytes;
  for (let beat = 0, before = await bytes(); beat < 4; beat++) {
    before = await until('heartbeat', async () => { const now = await bytes(); return now > before && now; });
  }
  const { id } = await node.publish('/broadcast/someone-else', '1');
  await client.until('CURSOR', () => client.of('CURSOR').length === 1);
  assert.deepEqual(client.events.slice(1).map(({ type, id, data }) => ({ type, id, data })), [{ type: 'CURSOR', id, data: '' }]);

  await killAndWait({ node, client });
  await node.start();
  await client.until('second CONNECTION', () => client.of('CONNECTION').length === 2);
  assert.equal(JSON.parse(client.of('CONNECTION')[1].data).resumed, 'replayed');
  const marker = await node.publish('/broadcast', '"after"');
  await client.until('message', () => client.of('MESSAGE').length === 1);
  assert.deepEqual(ids(client.messages()), [id, marker.id]);
}

/** Until the client has met the dead node at least once. */
async function killAndWait({ node, client }) {
  const before = client.failures;
  await node.stop('SIGKILL');
  await client.until('failed attempt', () => client.failures >= before + 2);
}

async function kill({ node, client }) {
  await client.until('CONNECTION', () => client.events.length === 1);
  const sent = await node.publishNumbers(0, 10);
  await client.until('first message', () => client.of('MESSAGE').length > 0);
  await killAndWait({ node, client });
  await node.start();
  sent.push(...(await node.publishNumbers(10, 60)));
  await client.until('all messages', () => client.messages().length >= 60);
  await last(node, client, sent);
}

async function drain({ node, client, row }) {
  await client.until('CONNECTION', () => client.events.length === 1);
  const sent = await node.publishNumbers(0, 5);
  await client.until('all messages', () => client.messages().length >= 5);
  assert.equal(await node.stop('SIGTERM'), 0, 'exit code of a drained node');
  await client.until('CLOSE', () => client.of('CLOSE').length > 0);
  const { code, reconnect } = JSON.parse(client.of('CLOSE')[0].data);
  assert.deepEqual({ code, reconnect }, { code: 3001, reconnect: true });
  await node.start();
  sent.push(...(await node.publishNumbers(5, 10)));
  await client.until('all messages', () => client.messages().length >= 10);
  if (row.exitAfterAbort !== undefined) assert.equal(client.exits[0], row.exitAfterAbort, 'exit code after an abort');
  await last(node, client, sent);
}

/** The node has one place. The client comes second, waits, gets in, is put out, and waits again. */
async function reject({ node, client, holder }) {
  const closes = code => client.of('CLOSE').filter(event => JSON.parse(event.data).code === code).length;
  await client.until('second rejection', () => closes(3504) >= 2);
  holder();
  await client.until('CONNECTION', () => client.of('CONNECTION').length > 0);
  const sent = await node.publishNumbers(0, 1);
  await client.until('message', () => client.messages().length === 1);

  const release = await until('place', async () => {
    for (const stream of await node.streams(client.id)) {
      await node.ask(`/api/sse/connections/${stream.connectionId}`, { method: 'DELETE' }).catch(() => null);
    }
    return node.occupy();
  });
  const before = closes(3504);
  await client.until('rejection', () => closes(3504) > before);
  assert.ok(closes(3503) >= 1, 'the operator\'s CLOSE arrived');
  sent.push(...(await node.publishNumbers(1, 6)));
  release();
  await client.until('all messages', () => client.messages().length >= 6);
  await last(node, client, sent);
  assertWaits(client);
}

/** `retry:` is obeyed. A slow machine makes waits longer, never shorter. */
function assertWaits(client) {
  client.events.forEach((event, index) => {
    if (event.type !== 'CLOSE' || index + 1 === client.events.length) return;
    const { retryMs } = JSON.parse(event.data);
    const waited = client.events[index + 1].at - event.at;
    assert.equal(retryMs, RETRY_MS);
    assert.ok(waited >= retryMs * 0.8, `came back after ${waited} ms instead of ${retryMs} ms`);
  });
}

export const stories = {
  hello: { run: hello },
  quiet: { run: quiet, settings: ['--heartbeat', '150ms', '--cursor-every', '400ms'] },
  kill: { run: kill },
  drain: { run: drain },
  reject: { run: reject, settings: ['--max-connections', '1'], occupied: true },
};
