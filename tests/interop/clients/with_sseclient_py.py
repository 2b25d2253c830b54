"""sseclient-py over requests: yields events of one connection; coming back is the caller's job."""
import json
import sys

import requests
import sseclient

url, _, last_id = sys.argv[1:4]
session = requests.Session()
session.trust_env = False
headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
response = session.get(url, headers=headers, stream=True)
response.raise_for_status()
# The bytes as they come: iter_content() without a size would wait for 1 byte at a time, with one for a full buffer.
chunks = response.raw.stream(65536, decode_content=True)
for event in sseclient.SSEClient(chunks).events():
    print(json.dumps({"type": event.event, "id": event.id, "data": event.data}), flush=True)
