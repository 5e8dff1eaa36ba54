"""The same request of the same container is answered from the cache for an hour, and costs nothing.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/response_cache.py

All that the request says is in the key, and so is the container: answers are never shared between containers. A plain and a
streamed request share one answer. Turns with tool calls are never kept, since a tool may say something else tomorrow.
The transform `cache` does the same from the configuration.
"""

import hashlib
import json

from bawn.scripts.api import Context, Request, Response

KEPT_S = 3600
NOT_IN_KEY = ("stream", "stream_options")
"""How the answer is wanted, not what it says."""


async def handle(req: Request, res: Response, ctx: Context) -> object:
    if req.talk is None:
        return await ctx.upstream(req)
    key = key_of(req, ctx)
    kept = await ctx.kv.get(key)
    if kept is not None:
        ctx.log("cache hit")
        return kept | {"cached": True}
    said = await res.relay(await ctx.upstream(req.counted()))
    if said.ok and said.finished == "stop" and not said.calls:
        await ctx.kv.set(key, said.json, ttl=KEPT_S)
    return said


def key_of(req: Request, ctx: Context) -> str:
    asked = {name: value for name, value in req.json.items() if name not in NOT_IN_KEY}
    told = json.dumps([ctx.metadata.container.uuid, req.path, asked], sort_keys=True)
    return "cache/" + hashlib.sha256(told.encode()).hexdigest()
