"""Every file that an agent writes goes beneath /sandbox, whatever path its model chose.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/sandbox_writes.py

The tool call is changed before the agent sees it, so the tool itself writes there. Every wire, plain and streamed.
"""

import posixpath

from bawn.scripts.api import Call, Context, Request, Response

ROOT = "/sandbox"
WRITES = {"write_file": "path", "write": "filePath", "edit": "filePath", "Write": "file_path", "Edit": "file_path"}
"""The tools that write, and which of their arguments is the path."""


async def handle(req: Request, res: Response, ctx: Context) -> object:
    return await res.relay(await ctx.upstream(req), call=into_the_sandbox)


def into_the_sandbox(call: Call) -> None:
    if call.name in WRITES:
        argument = WRITES[call.name]
        call.arguments[argument] = beneath(call.arguments[argument])


def beneath(path: str) -> str:
    # Dots are resolved first: /sandbox/../etc is no path of the sandbox.
    clean = posixpath.normpath("/" + path)
    return clean if clean.startswith(f"{ROOT}/") else posixpath.normpath(f"{ROOT}/{clean}")
