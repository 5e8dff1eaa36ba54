"""Simple questions go to a cheap model, code to a better one, deployments to the best.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/model_routing.py

Put in the models that your providers have. The transform `route` does the same from the configuration, without code.
"""

import re

from bawn.scripts.api import Context, Request, Response

CHEAP = "anthropic/claude-haiku-4-5"
GENERAL = "openai/gpt-4o"
BALANCED = "anthropic/claude-sonnet-4-5"
BEST = "anthropic/claude-opus-4-1"

DEPLOYMENT = re.compile(r"\b(deploy|production|release)", re.IGNORECASE)
CODE = re.compile(r"```|\b(function|class|import|async|await|def)\b")
STEPS = re.compile(r"\b(step|then|after|finally|workflow)\b", re.IGNORECASE)


async def handle(req: Request, res: Response, ctx: Context) -> object:
    if req.talk is not None:
        req.model = fitting(req.last_text)
        ctx.log.debug(f"routed to {req.model}")
    return await ctx.upstream(req)


def fitting(text: str) -> str:
    if DEPLOYMENT.search(text):
        return BEST
    if CODE.search(text) or STEPS.search(text):
        return BALANCED
    return CHEAP if len(text.split()) < 50 else GENERAL
