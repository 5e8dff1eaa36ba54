"""Dangerous commands become calls of `blocked_command`, with what was asked and why it does not run.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/command_blocking.py

A rail, not a wall: a model that wants to can write the same command in another way. What the container may do at all is
decided by its walls, and what must never run by a policy.
"""

import re

from bawn.scripts.api import Call, Context, Request, Response

COMMANDS = {"execute_command", "bash", "Bash", "shell"}
DANGEROUS = re.compile(r"\brm\s+(-\w*[rf]\w*\s*)+|\bsudo\b|\bchmod\s+(-R\s+)?0?777\b")


async def handle(req: Request, res: Response, ctx: Context) -> object:
    def without_danger(call: Call) -> None:
        if call.name in COMMANDS and DANGEROUS.search(command := str(call.arguments["command"])):
            ctx.log.warning(f"{ctx.metadata.container.name}: blocked {command!r}")
            call.name = "blocked_command"
            call.arguments = {"original": command, "reason": "This command is dangerous, and was stopped."}

    return await res.relay(await ctx.upstream(req), call=without_danger)
