// Any npm package with an EventSource. First argument: the package.
const [name, url, types] = process.argv.slice(2);
const loaded = require(name);
const EventSource = loaded.EventSource ?? loaded;

// Some packages leave their timer unreferenced: a process that waits for nothing else would end between two attempts.
process.stdin.resume().on('end', () => process.exit(0));

const say = line => console.log(JSON.stringify(line));
const source = new EventSource(url);
for (const type of types.split(',')) {
  source.addEventListener(type, event => say({ type: event.type, id: event.lastEventId, data: event.data, at: Date.now() }));
}
source.onerror = event => {
  console.error(event.message ?? event);
  say({ note: source.readyState === 2 ? 'closed for good' : 'error' });
};
