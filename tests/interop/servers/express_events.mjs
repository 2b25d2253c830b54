// EventSource endpoints as people write them with Express: `/events` and `/publish`, with a history.
// Usage: express_events.mjs PORT plain|compression|unflushed|better-sse, with NODE_PATH where express is installed
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.NODE_PATH}/`);
const express = require('express');
const [port, kind] = process.argv.slice(2);

const app = express();
if (kind === 'compression') app.use(require('compression')());

const kept = [];
const listeners = new Set();

function publish(data) {
  const event = { id: kept.length + 1, data };
  kept.push(event);
  for (const listener of listeners) listener(event);
}

const missedBy = id => kept.slice(Number(id ?? kept.length));

const streams = {
  // By hand: the head, then each event as it comes. Without flushHeaders, Node keeps the head until the first event.
  byHand(request, response) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    if (kind !== 'unflushed') response.flushHeaders();
    const send = ({ id, data }) => response.write(`id: ${id}\ndata: ${data}\n\n`);
    missedBy(request.get('last-event-id')).forEach(send);
    listeners.add(send);
    response.on('close', () => listeners.delete(send));
  },

  async betterSse(request, response) {
    const { createSession } = await import(require.resolve('better-sse'));
    const session = await createSession(request, response, { serializer: text => text });
    const send = ({ id, data }) => session.push(data, 'message', String(id));
    missedBy(request.get('last-event-id')).forEach(send);
    listeners.add(send);
    session.once('disconnected', () => listeners.delete(send));
  },
};

app.get('/events', kind === 'better-sse' ? streams.betterSse : streams.byHand);
app.post('/publish', express.text({ type: () => true, limit: '2mb' }), (request, response) => {
  publish(request.body);
  response.sendStatus(202);
});
app.listen(Number(port), '127.0.0.1');
