"""A notice on your devices when an agent writes much code, when a call fails, and when one took many tokens.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/device_alerts.py

Where notices go is said under `notify:` in the configuration. The transform `alert` does the same from the configuration.
"""

from bawn.scripts.api import Context, Request, Response

CODE_CHARACTERS = 500
TOKENS = 50_000


async def handle(req: Request, res: Response, ctx: Context) -> object:
    said = await res.relay(await ctx.upstream(req.counted()))
    who = ctx.metadata.container.name
    if not said.ok:
        await ctx.notify("A call to a model failed", f"{who}: status {said.status}", priority="high")
    if "```" in said.text and len(said.text) > CODE_CHARACTERS:
        await ctx.notify("An agent has written code", f"{who}: {len(said.text)} characters")
    if said.tokens > TOKENS:
        await ctx.notify("A request took many tokens", f"{who}: {said.tokens} tokens")
    return said
