# @next 2
"""First of three layers, each of which does one thing: log → cache → route → model.

    bawn scripts write 'default/3/api/v1/[...path].py' examples/scripts/layers/route.py
    bawn scripts write 'default/2/api/v1/[...path].py' examples/scripts/layers/cache.py
    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/layers/log.py

`# @next 2` names the exec that stands behind this one: what this script asks for passes that one's script first. Agents use
http://exec-1.bawn.internal/api/v1.
"""

import time

from bawn.scripts.api import Context, Request, Response

SLOW_S = 1.0


async def handle(req: Request, res: Response, ctx: Context) -> object:
    begun = time.monotonic()
    said = await res.relay(await ctx.upstream(req.counted()))
    took_s = time.monotonic() - begun
    line = f"{ctx.metadata.container.name} {req.model} {said.status} {said.tokens} tokens {took_s * 1000:.0f} ms"
    (ctx.log.warning if took_s > SLOW_S else ctx.log.info)(line)
    return said
