"""Third layer: short questions go to a cheap model. See `log.py`, and `model_routing.py` for more rules."""

from bawn.scripts.api import Context, Request, Response

CHEAP = "anthropic/claude-haiku-4-5"
WORDS = 50


async def handle(req: Request, res: Response, ctx: Context) -> object:
    if req.talk is not None and len(req.last_text.split()) < WORDS:
        req.model = CHEAP
    return await ctx.upstream(req)
