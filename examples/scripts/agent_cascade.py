# @timeout 120
"""A model that answers `DELEGATE: …` has that done by another agent, in a container of its own.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/agent_cascade.py

`ANALYZE_CODE:` starts a reviewer beside the answer. The answer has to be whole before it can be decided what it is, so a
stream reaches the agent in one piece. How deep agents may start agents is limited by the configuration.
"""

import re

from bawn.scripts.api import Context, Request, Response

DELEGATE = re.compile(r"DELEGATE: (.+)")


async def handle(req: Request, res: Response, ctx: Context) -> object:
    answer = await ctx.upstream(req)
    if req.talk is None or not answer.ok:
        return answer
    said = await req.read(answer)
    if "ANALYZE_CODE:" in said.text:
        await ctx.agents.task("Analyse the code for security problems, and report them.")
    delegated = DELEGATE.search(said.text)
    if delegated is None:
        return said.json
    task = await ctx.agents.task(delegated[1], auto_execute=True, mode="code")
    ctx.log(f"{ctx.metadata.container.name} delegated {delegated[1]!r} as {task['taskId']}")
    return req.answer(
        f"Task delegated to another agent: {delegated[1]}\nTask ID: {task['taskId']}\nStatus: in progress"
    )
