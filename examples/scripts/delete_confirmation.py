"""An agent that would delete a critical file gets a call of its tool `confirm_delete` instead, with a warning.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/delete_confirmation.py

For agents that have such a tool. For others, `call.say("…")` tells the agent in words, and an approval asks a person.
"""

import re

from bawn.scripts.api import Call, Context, Request, Response

CRITICAL = re.compile(r"config|production|\.env|package\.json")


async def handle(req: Request, res: Response, ctx: Context) -> object:
    return await res.relay(await ctx.upstream(req), call=confirmed)


def confirmed(call: Call) -> None:
    if call.name == "delete_file" and CRITICAL.search(call.arguments["path"]):
        call.name = "confirm_delete"
        call.arguments["warning"] = "Deleting a critical file needs a confirmation."
