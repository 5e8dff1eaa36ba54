# @mode worker
# @log-level standard
"""Pass everything on, and say in the log what passed: where every script begins.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/basic.py
    bawn scripts logs 1 --follow

A catch-all: chat completions, responses, messages, embeddings, lists of models, streamed or not.
"""

from bawn.scripts.api import Context, Request, Response


async def handle(req: Request, res: Response, ctx: Context) -> object:
    path = "/".join(ctx.metadata.parameters.path)
    # What you want done to a request goes here.
    said = await res.relay(await ctx.upstream(req.counted()))
    ctx.log(f"{req.method} {path}: {said.status}, model {req.model or 'none'}, {said.tokens} tokens")
    return said
