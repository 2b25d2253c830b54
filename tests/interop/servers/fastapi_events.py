"""An EventSource endpoint as people write one with FastAPI and sse-starlette: `/events` and `/publish`, with a history.

Usage: fastapi_events.py PORT HISTORY
"""
import asyncio
import sys

import uvicorn
from fastapi import FastAPI, Header, Request
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
kept = {}  # the data of the newest events by their ids, which count from 1
newest = 0
history = int(sys.argv[2])
listeners = set()


@app.post("/publish", status_code=202)
async def publish(request: Request):
    global newest
    data = (await request.body()).decode()
    newest += 1
    kept[newest] = data
    kept.pop(newest - history, None)
    for wake in listeners:
        wake.set()


@app.get("/events")
async def events(last_event_id: int | None = Header(default=None)):
    async def follow():
        wake = asyncio.Event()
        listeners.add(wake)
        had = newest if last_event_id is None else last_event_id
        try:
            while True:
                wake.clear()
                while had < newest:
                    had += 1
                    if had in kept:
                        yield {"id": str(had), "data": kept[had]}
                await wake.wait()
        finally:
            listeners.discard(wake)

    return EventSourceResponse(follow())


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
