"""Every request and every answer in a database: who, which model, what was asked and said, tokens, time, cost.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/request_log.py

A request is on record before the model is asked, so one that never got an answer is there too. The database is the project's
(`ctx.db("ai_log")`); any number of containers write to it at once.
"""

import time

from bawn.scripts.api import Context, Request, Response

TABLE = """CREATE TABLE IF NOT EXISTS ai_log (
  request_id TEXT PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP, container TEXT, model TEXT, prompt TEXT,
  status INTEGER, response TEXT, tokens INTEGER, duration_ms INTEGER, cost_usd REAL)"""
BEFORE = "INSERT INTO ai_log (request_id, container, model, prompt) VALUES (?, ?, ?, ?)"
AFTER = "UPDATE ai_log SET status = ?, response = ?, tokens = ?, duration_ms = ?, cost_usd = ? WHERE request_id = ?"
USD_PER_TOKEN = 0.000003
"""An example; `bawn usage` knows the real prices."""


async def handle(req: Request, res: Response, ctx: Context) -> object:
    if req.talk is None:
        return await ctx.upstream(req)
    log, call = ctx.db("ai_log"), ctx.metadata.call
    await log.run([(TABLE, ()), (BEFORE, (call, ctx.metadata.container.name, req.model, req.last_text))])
    begun = time.monotonic()
    said = await res.relay(await ctx.upstream(req.counted()))
    took_ms = int((time.monotonic() - begun) * 1000)
    await log.execute(AFTER, (said.status, said.text, said.tokens, took_ms, said.tokens * USD_PER_TOKEN, call))
    return said
