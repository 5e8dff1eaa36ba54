# @timeout 120
"""A model sees every file with documentation in it: what a tool has read is documented by a second model on its way.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/documentation_on_read.py

It is the result of the tool that is changed, in the request that brings it to the model. The file stays as it is, and so
does what the agent has. The same content is documented once and kept for a week.
"""

import hashlib

from bawn.scripts.api import Context, Request, Response

READS = {"read_file", "read", "Read"}
MODEL = "anthropic/claude-haiku-4-5"
SHORTEST = 40
"""Characters; there is nothing to explain in less."""


async def handle(req: Request, res: Response, ctx: Context) -> object:
    for result in req.results:
        if result.call.name in READS and len(result.text) >= SHORTEST:
            req.set_text(result.spot, await documented(result.text, ctx))
    return await ctx.upstream(req)


async def documented(code: str, ctx: Context) -> str:
    key = "documented/" + hashlib.sha256(code.encode()).hexdigest()
    known = await ctx.kv.get(key)
    if known is not None:
        return str(known)
    asked = Request(
        json={
            "model": MODEL,
            "messages": [
                {"role": "user", "content": f"Add inline documentation to this code, change nothing else:\n{code}"}
            ],
        }
    )
    answer = await ctx.upstream(asked)
    if not answer.ok:
        return code
    text = (await asked.read(answer)).text
    await ctx.kv.set(key, text, ttl=7 * 24 * 3600)
    return text
