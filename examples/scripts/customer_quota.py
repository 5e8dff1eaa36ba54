"""Each customer has tokens for a day and models of its own: 429 when they are used up, the default model for any other.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/customer_quota.py

Which customer asks is told by the container's name, which an agent cannot choose. Make the script required, so that no URL
avoids it (`scripts.required`). The transform `quota` does the same from the configuration.
"""

import time
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bawn.scripts.api import Context, Request, Response

DAY_S = 24 * 3600


@dataclass(frozen=True)
class Customer:
    name: str
    containers: str
    """A pattern of their names."""
    tokens_a_day: int
    models: tuple[str, ...]
    """The first is the default."""


CUSTOMERS = (
    Customer("acme", "acme-*", 200_000, ("anthropic/claude-sonnet-4-5", "anthropic/claude-haiku-4-5")),
    Customer("trial", "*", 20_000, ("anthropic/claude-haiku-4-5",)),
)


async def handle(req: Request, res: Response, ctx: Context) -> object:
    if req.talk is None:
        return await ctx.upstream(req)
    customer = next(each for each in CUSTOMERS if fnmatchcase(ctx.metadata.container.name, each.containers))
    key = f"quota/{customer.name}/{int(time.time() // DAY_S)}"
    if await ctx.kv.get(key, 0) >= customer.tokens_a_day:
        return res.status(429).json({"error": f"The quota of {customer.name} for today is used up."})
    if req.model not in customer.models:
        req.model = customer.models[0]
    said = await res.relay(await ctx.upstream(req.counted()))
    await ctx.kv.add(key, said.tokens, ttl=2 * DAY_S)
    return said
