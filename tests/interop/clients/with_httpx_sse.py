"""httpx-sse: yields events of one connection; coming back is the caller's job."""
import json
import sys

import httpx
from httpx_sse import connect_sse

url, _, last_id = sys.argv[1:4]
headers = {"Last-Event-ID": last_id} if last_id else {}
with httpx.Client(timeout=None, trust_env=False) as client, connect_sse(client, "GET", url, headers=headers) as source:
    source.response.raise_for_status()
    for event in source.iter_sse():
        print(json.dumps({"type": event.event, "id": event.id, "data": event.data}), flush=True)
