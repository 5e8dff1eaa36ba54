"""A worker in its box answers as its scripts say."""

from __future__ import annotations

import asyncio

from tests.scripts.standing import CHAT, CHUNKED, Came, Standing, chunk, plain

PASS = "async def handle(req, res, ctx):\n    return await ctx.upstream(req)\n"


async def test_a_script_that_changes_nothing_passes_request_and_answer_byte_for_byte(standing: Standing) -> None:
    standing.write(PASS)
    await standing.start()
    body = b'{ "model" : "m",  "messages": [ ] }'
    standing.door.always("/api/v1/chat/completions?a=1", plain(200, b'{ "x" :1}', content_type="application/json"))
    reply = await standing.begun(body, path="/api/v1/chat/completions?a=1")
    assert (reply.status, await reply.body()) == (200, b'{ "x" :1}')
    came = standing.door.came[0]
    assert came.body == body
    assert came.headers["authorization"] == "Bearer ticket-1"
    assert came.headers["content-type"] == "application/json"
