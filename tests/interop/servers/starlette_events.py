"""A plain EventSource endpoint as people write one with sse-starlette: `/events` and `/publish`, with a short history.

Usage: starlette_events.py PORT HISTORY
"""
import asyncio
import sys

import uvicorn
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

port, history = int(sys.argv[1]), int(sys.argv[2])
kept = []  # (number, data), the oldest first
number = 0
listeners = set()


async def publish(request):
    global number
    number += 1
    event = (number, (await request.body()).decode())
    kept.append(event)
    del kept[:-history]
    for queue in listeners:
        queue.put_nowait(event)
    return PlainTextResponse(str(number))


async def events(request):
    last = int(request.headers.get("last-event-id") or number)
    queue = asyncio.Queue()

    async def follow():
        listeners.add(queue)
        missed = [event for event in kept if event[0] > last]
        had = last
        try:
            while True:
                count, data = missed.pop(0) if missed else await queue.get()
                if count > had:
                    had = count
                    yield {"id": str(count), "data": data}
        finally:
            listeners.discard(queue)

    return EventSourceResponse(follow())


app = Starlette(routes=[Route("/events", events), Route("/publish", publish, methods=["POST"])])
uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
