"""Fewer words for the same meaning: spaces, articles and pleasantries go out of what the user wrote.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/prompt_compression.py

Prose only: blocks of code, lines that are indented, quotations, JSON, system text and results of tools stay as they are.
The transform `compress` does the same from the configuration and reports what it saved.
"""

import re

from bawn.scripts.api import Context, Request, Response

NOT_PROSE = re.compile(
    r"(```.*?(?:```|\Z)|`[^`\n]*`|\"[^\"\n]*\"|^[ \t]+\S.*$|[{\[<].*[}\]>])", re.DOTALL | re.MULTILINE
)
FILLING = re.compile(r"\b(?:the|an|a|please|kindly|could you|would you)\b[ \t]*", re.IGNORECASE)


async def handle(req: Request, res: Response, ctx: Context) -> object:
    before = after = 0
    for spot in req.texts:
        if spot.said == "user" and not spot.attached:
            shorter = compressed(spot.text)
            before, after = before + len(spot.text), after + len(shorter)
            req.set_text(spot, shorter)
    ctx.log.debug(f"{before} characters became {after}")
    return await ctx.upstream(req)


def compressed(text: str) -> str:
    # Every second part is what the pattern found.
    parts = NOT_PROSE.split(text)
    prose = [re.sub(r"[ \t]+", " ", re.sub(r"\n{3,}", "\n\n", FILLING.sub("", part))) for part in parts[::2]]
    parts[::2] = prose
    return "".join(parts).strip() or text
