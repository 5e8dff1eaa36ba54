# @timeout 300
"""Hold an urgent request until a person has answered: 403 when they say no, 408 when nobody answers in four minutes.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/stall_and_notify.py

The agent marks the request with `"urgent": true` in its body. Whoever `notify:` of the configuration names gets a notice with
the question, and answers it with `bawn approvals`. A stream is kept alive meanwhile.
"""

from bawn.scripts.api import Context, Request, Response

WAIT_S = 240
"""Less than the timeout above, so that it is this script that says so."""


async def handle(req: Request, res: Response, ctx: Context) -> object:
    # Ours, so it does not go to the provider.
    urgent = isinstance(req.json, dict) and req.json.pop("urgent", False) is True
    if urgent:
        ticket = await ctx.approvals.ask(
            "A request waits for you", req.last_text, wait_seconds=WAIT_S, payload=req.json
        )
        if ticket.status == "rejected":
            return res.status(403).json({"error": "A person has rejected this request."})
        if not ticket.approved:
            return res.status(408).json({"error": "Nobody has approved this request in time."})
    return await ctx.upstream(req)
