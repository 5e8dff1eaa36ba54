# @timeout 120
"""Every file that an agent writes is committed to git, with what the agent said it did as the message.

    bawn scripts write 'default/1/api/v1/[...path].py' examples/scripts/versioned_writes.py

A write can be committed when it has been done, which is when the agent sends the tool's result with its next request. The
commit is made in the agent's own container, in the repository that holds the file; without one there it is begun.
"""

from bawn.scripts.api import Call, Context, Request, Response

WRITES = {"write_file": "path", "write": "filePath", "edit": "filePath", "Write": "file_path", "Edit": "file_path"}
COMMIT = """
cd "$(dirname "$1")" || exit 1
git rev-parse --git-dir >/dev/null 2>&1 || git init -q || exit 1
git add -- "$1" && git -c user.name=agent -c user.email=agent@localhost commit -q -m "$2" -- "$1"
"""


async def handle(req: Request, res: Response, ctx: Context) -> object:
    for result in req.results:
        if result.call.name in WRITES:
            await committed(result.call, ctx)
    return await ctx.upstream(req)


async def committed(call: Call, ctx: Context) -> None:
    # The history comes with every request; each call in it is committed once.
    if await ctx.kv.add(f"committed/{ctx.metadata.container.uuid}/{call.id}", ttl=7 * 24 * 3600) > 1:
        return
    path = call.arguments[WRITES[call.name]]
    message = f"AI: {call.arguments.get('description') or 'saved'}"
    # As words of a list: nothing that a model wrote is read by a shell.
    ran = await ctx.containers.exec(["sh", "-c", COMMIT, "commit", path, message])
    ctx.log(f"{path}: {message}" if ran.ok else f"{path}: {ran.stderr.strip()}")
