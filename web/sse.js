// The browser's side of a stream: an EventSource that de-duplicates by message id, tells gaps apart from events, and
// comes back with its cursor even where the browser itself gives up (any answer but 200 ends an EventSource for good).
//
//   import { connect } from '/sse.js';
//   const stream = connect('/api/sse/stream?clientId=a&topics=news', {
//     onEvent: (envelope, event) => …,      // every message once; with format=data, only type and data are known
//     onGap: gap => …,                      // something cannot be replayed: fetch the state again
//     onState: (state, why) => …,           // 'open', 'reconnecting', 'closed'
//   });
//   stream.close();

const REMEMBERED = 1000; // message ids; a message is repeated soon after its first delivery or not at all
const GIVEN_UP_RETRY_MS = 5000; // until a new EventSource is made; doubled up to a minute, with full jitter
const DEFAULT_TYPES = ['MESSAGE', 'DIRECT', 'SERVER_MESSAGE', 'CLIENT_ON_SERVER', 'message', 'ENVELOPE'];
const CONTROL = ['CONNECTION', 'GAP', 'SYNC', 'CURSOR', 'CLOSE', 'HEARTBEAT'];

export function connect(url, { types = [], onEvent = () => {}, onGap = () => {}, onState = () => {} } = {}) {
  const seen = new Set();
  let cursor = '';
  let source = null;
  let timer = null;
  let failures = 0;
  let isBare = false; // the payload comes without its envelope, but in an event ENVELOPE

  const message = event => {
    if (event.lastEventId) cursor = event.lastEventId;
    const data = JSON.parse(event.data);
    if (isBare && event.type !== 'ENVELOPE') return onEvent({ type: event.type, data }, event);
    const envelope = data;
    if (seen.has(envelope.id)) return;
    seen.add(envelope.id);
    if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
    onEvent(envelope, event);
  };

  const control = {
    CONNECTION: (event, data) => { failures = 0; isBare = data.format === 'data'; onState('open', data); },
    GAP: (event, data) => onGap(data),
    // Whoever must not come back would send away the stream that took over, which would do the same in turn.
    CLOSE: (event, data) => data.reconnect === false ? stop(data) : onState('reconnecting', data),
  };

  const stop = why => {
    clearTimeout(timer);
    source.close();
    onState('closed', why);
  };

  const open = () => {
    const target = new URL(url, location.href);
    if (cursor) target.searchParams.set('lastEventId', cursor);
    source = new EventSource(target);
    for (const type of CONTROL) {
      source.addEventListener(type, event => {
        if (event.lastEventId) cursor = event.lastEventId;
        control[type]?.(event, event.data ? JSON.parse(event.data) : null);
      });
    }
    for (const type of new Set([...DEFAULT_TYPES, ...types])) {
      source.addEventListener(type, message);
    }
    source.onerror = () => {
      onState('reconnecting', null);
      if (source.readyState !== EventSource.CLOSED) return; // the browser comes back by itself, with its cursor
      const cap = Math.min(GIVEN_UP_RETRY_MS * 2 ** failures, 60000);
      failures += 1;
      timer = setTimeout(open, Math.random() * cap);
    };
  };

  open();
  return {
    close() { stop(null); },
    get cursor() { return cursor; },
  };
}
