# @timeout 120
"""Chat completions go to a gateway of your choice, with a key of your own; everything else goes on as before.

    bawn scripts write default/1/api/v1/chat/completions.py examples/scripts/any_gateway.py
    bawn scripts secret gateway-key
    bawn egress allow dev gateway.example.org:443

and in the configuration, so that the script has the key:

    scripts:
      env:
        default/1: {GATEWAY_KEY: gateway-key}

Prefer a provider of the configuration, which Bawn prices and fails over: `ctx.upstream(req, provider=…)`. What is fetched
here passes the egress policy of the calling container instead, and no budget counts it.
"""

from bawn.scripts.api import Context, FetchFailed, Request, Response

URL = "https://gateway.example.org/v1/chat/completions"


async def handle(req: Request, res: Response, ctx: Context) -> object:
    headers = {"authorization": f"Bearer {ctx.env['GATEWAY_KEY']}", "content-type": "application/json"}
    try:
        answer = await ctx.fetch(URL, method="POST", headers=headers, body=req.body, timeout=100)
    except FetchFailed as failed:
        return res.status(502).json({"error": f"The gateway cannot be reached: {failed}"})
    return await res.relay(answer)
