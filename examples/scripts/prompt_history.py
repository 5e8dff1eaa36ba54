"""A history of all prompts and answers in SQLite, with what each cost, and a report of it for the operator.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/prompt_history.py
    bawn scripts test 1 audit --method GET --path /api/v1/history/models

The reports are `recent`, `models`, `expensive` and `containers`. A container that asks gets its own lines only; the
containers whose names stand in READERS get all of them.
"""

from bawn.scripts.api import Context, Request, Response

READERS = {"audit"}
USD_PER_TOKEN = 0.000003
"""An example; `bawn usage` knows the real prices."""
TABLE = """CREATE TABLE IF NOT EXISTS prompts (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT DEFAULT CURRENT_TIMESTAMP, container TEXT, model TEXT, prompt TEXT,
  response TEXT, tokens INTEGER, cost_usd REAL)"""
INSERT = "INSERT INTO prompts (container, model, prompt, response, tokens, cost_usd) VALUES (?, ?, ?, ?, ?, ?)"
REPORTS = {
    "recent": "SELECT model, prompt, tokens FROM mine ORDER BY id DESC LIMIT 10",
    "models": "SELECT model, SUM(tokens) AS tokens FROM mine GROUP BY model ORDER BY tokens DESC",
    "expensive": "SELECT prompt, cost_usd FROM mine ORDER BY cost_usd DESC LIMIT 5",
    "containers": "SELECT container, COUNT(*) AS requests, SUM(tokens) AS tokens FROM mine GROUP BY container",
}
MINE = "WITH mine AS (SELECT * FROM prompts WHERE ? OR container = ?) "


async def handle(req: Request, res: Response, ctx: Context) -> object:
    history, who = ctx.db("ai-history"), ctx.metadata.container.name
    if not ctx.shared.get("ready"):
        index = "CREATE INDEX IF NOT EXISTS by_container ON prompts (container)"
        await history.run([(TABLE, ()), (index, ())])
        ctx.shared["ready"] = True
    match ctx.metadata.parameters.path:
        case ["history", report] if report in REPORTS:
            return await history.query(MINE + REPORTS[report], (who in READERS, who))
    said = await res.relay(await ctx.upstream(req.counted()))
    if said.text or said.calls:
        told = (who, req.model, req.last_text, said.text, said.tokens, said.tokens * USD_PER_TOKEN)
        await history.execute(INSERT, told)
    return said
