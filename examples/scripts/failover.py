# @timeout 300
"""Another provider answers when the first one fails: what it said is not passed on, and the next one is asked.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/failover.py

Providers of the configuration that have the same model, in their order. The chains of the configuration do this without
code, with backoff and in the middle of a stream; a script is for rules of your own.
"""

from bawn.scripts.api import Context, Request, Response

PROVIDERS = ("openai", "backup")
"""Asked behind the one that the request's own model names."""


async def handle(req: Request, res: Response, ctx: Context) -> object:
    answer = await ctx.upstream(req)
    if req.talk is None:
        return answer
    for provider in PROVIDERS:
        if answer.status < 500:
            break
        ctx.log.warning(f"status {answer.status}; {provider} is asked instead")
        await answer.close()
        answer = await ctx.upstream(req, provider=provider)
    return answer
