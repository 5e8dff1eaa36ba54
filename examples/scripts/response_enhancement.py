# @timeout 300
"""Code gets an explanation behind it, by a second and cheaper model.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/response_enhancement.py

The answer flows on while it comes; the explanation follows it, in the same answer. Answers with tool calls stay as they are.
"""

from bawn.scripts.api import Context, Request, Response, Said

MODEL = "anthropic/claude-haiku-4-5"


async def handle(req: Request, res: Response, ctx: Context) -> object:
    async def explanation(said: Said) -> str:
        if "```" not in said.text or said.calls:
            return ""
        asked = Request(
            json={
                "model": MODEL,
                "messages": [{"role": "user", "content": f"Explain this in simple terms:\n{said.text}"}],
            }
        )
        answer = await ctx.upstream(asked)
        # An answer without an explanation is better than none.
        return f"**How this works:**\n{(await asked.read(answer)).text}" if answer.ok else ""

    return await res.relay(await ctx.upstream(req), ending=explanation)
