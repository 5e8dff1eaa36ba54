"""One script, other rules for each environment: development logs everything on a cheap model, production gets the best one
and tells you when a call fails.

    bawn scripts write 'default/dev/api/v1/[...path].py' examples/scripts/environments.py
    bawn scripts write 'default/prod/api/v1/[...path].py' examples/scripts/environments.py

Agents in development use http://exec-dev.bawn.internal/api/v1, those in production http://exec-prod.bawn.internal/api/v1.
"""

from bawn.scripts.api import Context, Request, Response

CHEAP = "anthropic/claude-haiku-4-5"
BEST = "anthropic/claude-opus-4-1"


async def handle(req: Request, res: Response, ctx: Context) -> object:
    if req.talk is None:
        return await ctx.upstream(req)
    if ctx.metadata.exec_id == "dev":
        ctx.log(f"request: {req.body.decode()}")
        req.model = CHEAP
    if ctx.metadata.exec_id == "prod":
        req.model = BEST
    said = await res.relay(await ctx.upstream(req))
    if ctx.metadata.exec_id == "prod" and not said.ok:
        await ctx.notify("Production: a call to a model failed", f"status {said.status}", priority="urgent")
    return said
