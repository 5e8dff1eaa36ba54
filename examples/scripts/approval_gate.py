# @timeout 60
"""High stakes wait for a person: the agent is told at once that its request is pending, and asks again later.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/approval_gate.py
    bawn approvals watch

Nothing waits meanwhile, so this fits agents and jobs that come back; `stall_and_notify.py` holds the request instead. The
same request made again joins the same question: approved, it goes to the model; rejected, it is refused with 403.
"""

import re

from bawn.scripts.api import Context, Request, Response

HIGH_STAKES = re.compile(r"\b(deploy|delete|drop|production|payment|transfer)", re.IGNORECASE)


async def handle(req: Request, res: Response, ctx: Context) -> object:
    if not HIGH_STAKES.search(req.last_text):
        return await ctx.upstream(req)
    ticket = await ctx.approvals.ask("An agent wants to do something of high stakes", req.last_text, payload=req.json)
    if ticket.approved:
        return await ctx.upstream(req)
    if ticket.status != "open":
        return res.status(403).json({"error": f"A person did not allow this: {ticket.status}."})
    return {
        "status": "pending_approval",
        "requestId": ticket.id,
        "message": "This is of high stakes and waits for a person. Ask again later.",
        "estimatedWait": "2-10 minutes",
    }
