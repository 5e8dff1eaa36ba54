"""A worker in its box answers as its scripts say."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.scripts.standing import CHUNKED, CONTAINER, Came, Standing, chunk, plain

from bawn.scripts.worker.client import Broken

PASS = "async def handle(req, res, ctx):\n    return await ctx.upstream(req)\n"
CHANGED = """
async def handle(req, res, ctx):
    answer = await ctx.upstream(req)
    res.like(answer)
    async for event in answer.events():
        if event.json and event.json["n"] == 2:
            event.json["n"] = 20
        await res.write(event)
"""


def event(n: int) -> bytes:
    return b'event: tick\ndata: { "n": %d }\n\n' % n


async def test_a_script_that_changes_nothing_passes_request_and_answer_byte_for_byte(standing: Standing) -> None:
    standing.write(PASS)
    await standing.start()
    body = b'{ "model" : "m",  "messages": [ ] }'
    standing.door.always(
        "/api/v1/chat/completions?a=1", plain(203, b'{ "x" :1}', content_type="a/b", x_request_id="r1")
    )
    reply = await standing.begun(body, path="/api/v1/chat/completions?a=1")
    assert (reply.status, await reply.body()) == (203, b'{ "x" :1}')
    assert (reply.headers["content-type"], reply.headers["x-request-id"]) == ("a/b", "r1")
    came = standing.door.came[0]
    assert came.body == body
    assert came.headers["authorization"] == "Bearer ticket-1"
    assert came.headers["content-type"] == "application/json"


async def test_a_script_changes_the_request_and_the_answer(standing: Standing) -> None:
    standing.write("""
async def handle(req, res, ctx):
    req.json["model"] = "other/" + req.model
    req.messages.append({"role": "user", "content": req.last_text.upper()})
    answer = await ctx.upstream(req, provider="spare", next="2")
    data = await answer.json()
    data["by"] = [ctx.metadata.subdomain, ctx.metadata.exec_id, ctx.metadata.container.name, *ctx.metadata.parameters.path]
    return data
""")
    await standing.start()
    status, said = await standing.call()
    assert status == 200
    assert said["echo"]["model"] == "other/m"
    assert said["echo"]["messages"][1]["content"] == "HELLO"
    assert said["by"] == ["exec-1", "1", "seven", "chat", "completions"]
    assert standing.door.came[0].headers["x-bawn-provider"] == "spare"
    assert standing.door.came[0].headers["x-bawn-next"] == "2"


async def test_a_script_answers_by_itself_as_in_other_frameworks(standing: Standing) -> None:
    standing.write('async def handle(req, res, ctx):\n    return res.status(403).json({"error": "no"})\n')
    await standing.start()
    assert await standing.call() == (403, {"error": "no"})
    assert standing.door.came == []


async def test_events_pass_as_they_come_and_only_what_is_changed_is_written_anew(standing: Standing) -> None:
    standing.write(CHANGED)
    await standing.start()
    go_on = asyncio.Event()

    async def answer(_: Came, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(event(1)))
        await go_on.wait()
        writer.write(chunk(event(2)[:9]))
        await asyncio.sleep(0.01)
        writer.write(chunk(event(2)[9:]) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    standing.door.otherwise = answer
    reply = await standing.begun()
    pieces = reply.chunks()
    assert await anext(pieces) == event(1)
    go_on.set()
    rest = b"".join([piece async for piece in pieces])
    assert rest == b'event: tick\ndata: {"n":20}\n\ndata: [DONE]\n\n'
    assert reply.headers["content-type"] == "text/event-stream"


async def test_an_agent_that_reads_slowly_slows_the_model(standing: Standing) -> None:
    standing.write(CHANGED)
    await standing.start()
    sent = 0

    async def answer(_: Came, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(CHUNKED)
        for _number in range(4000):
            writer.write(chunk(b'data: {"n": 0, "x": "%b"}\n\n' % (b"x" * 16384)))
            await writer.drain()
            sent += 1
        writer.write(b"0\r\n\r\n")

    standing.door.otherwise = answer
    reply = await standing.begun()
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 1000
    assert sum([len(piece) async for piece in reply.chunks()]) > 4000 * 16384
    assert sent == 4000


async def test_when_the_agent_leaves_the_script_ends_and_so_does_its_call_to_the_model(standing: Standing) -> None:
    standing.write("""
import asyncio
async def handle(req, res, ctx):
    if req.model == "look":
        return {"ended": ctx.shared.get("ended", "")}
    answer = await ctx.upstream(req)
    try:
        async for event in answer.events():
            await res.write(event)
    except asyncio.CancelledError:
        ctx.shared["ended"] = "cancelled"
        raise
""")
    await standing.start()

    async def answer(came: Came, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(event(1)))
        await asyncio.wait_for(came.left.wait(), 5)

    standing.door.otherwise = answer
    reply = await standing.begun()
    assert await anext(reply.chunks()) == event(1)
    reply.leave()
    for _ in range(100):
        if standing.door.came[0].left.is_set():
            break
        await asyncio.sleep(0.02)
    assert standing.door.came[0].left.is_set()
    assert await standing.call({"model": "look"}) == (200, {"ended": "cancelled"})


async def test_what_is_shared_lives_across_requests_and_belongs_to_one_container(standing: Standing) -> None:
    standing.write(
        'async def handle(req, res, ctx):\n    ctx.shared["n"] = ctx.shared.get("n", 0) + 1\n    return {"n": ctx.shared["n"]}\n'
    )
    await standing.start()
    other = CONTAINER | {"uuid": "c-8", "number": 8}
    assert [(await standing.call(container=each))[1]["n"] for each in (CONTAINER, CONTAINER, other)] == [1, 2, 1]


async def test_a_script_knows_role_and_tags_of_the_container_that_asks(standing: Standing) -> None:
    standing.write(
        "async def handle(req, res, ctx):\n    asking = ctx.metadata.container\n"
        '    return {"role": asking.role, "tags": asking.tags}\n'
    )
    await standing.start()
    planner = CONTAINER | {"role": "planner", "tags": ["night", "prod"]}
    assert (await standing.call(container=planner))[1] == {"role": "planner", "tags": ["night", "prod"]}
    assert (await standing.call())[1] == {"role": "", "tags": []}


async def test_the_operators_values_are_in_ctx_env_and_nothing_else_is(standing: Standing) -> None:
    standing.write("""
import os
async def handle(req, res, ctx):
    return {"ctx": dict(ctx.env), "os": sorted(os.environ)}
""")
    await standing.start(env={"TOKEN": "s3cret"})
    _, said = await standing.call()
    assert said["ctx"] == {"TOKEN": "s3cret"}
    assert set(said["os"]) <= {
        "PATH", "LANG", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "HOME", "PWD", "LC_CTYPE",
    }  # fmt: skip


async def test_services_of_the_gateway_are_asked_in_the_name_of_the_call(standing: Standing) -> None:
    standing.write("""
from bawn.scripts.api import Refused
async def handle(req, res, ctx):
    told = await ctx.notify("title", "text", priority="high", actions=[])
    ticket = await ctx.approvals.ask("may it?", wait_seconds=5)
    again = await ctx.approvals.get(ticket.id)
    task = await ctx.agents.task("do it", mode="quick")
    ran = await ctx.containers.exec("ls", cwd="/workspace")
    data = await ctx.files.read("/workspace/a")
    try:
        await ctx.containers.exec(["rm"])
    except Refused as refused:
        no = [refused.status, refused.code, refused.message]
    return {"told": told, "ticket": [ticket.id, ticket.status, again.approved], "task": task["taskId"],
            "ran": [ran.exit, ran.stdout, ran.ok], "data": data.decode(), "no": no}
""")
    await standing.start()
    door = standing.door
    door.always("/_bawn/notify", plain(200, {"ok": True}))
    door.always("/_bawn/approvals/ask", plain(200, {"id": "a-1", "status": "open"}))
    door.always("/_bawn/approvals/get", plain(200, {"id": "a-1", "status": "approved"}))
    door.always("/_bawn/tasks", plain(200, {"taskId": "t-1"}))
    door.always("/_bawn/files/read", plain(200, {"content": "aGVsbG8="}))

    async def execute(came: Came, writer: asyncio.StreamWriter) -> None:
        if "argv" in came.json:
            writer.write(plain(403, {"error": {"code": "tool.refused", "message": "not here"}}))
        else:
            writer.write(plain(200, {"exit": 0, "stdout": came.json["cwd"], "stderr": ""}))

    door.answers["/_bawn/exec"] = execute
    assert await standing.call() == (
        200,
        {
            "told": {"ok": True}, "ticket": ["a-1", "open", True], "task": "t-1", "ran": [0, "/workspace", True],
            "data": "hello", "no": [403, "tool.refused", "not here"],
        },
    )  # fmt: skip
    assert {came.headers["authorization"] for came in door.came} == {"Bearer ticket-1"}
    assert door.came[0].json == {"title": "title", "message": "text", "priority": "high", "actions": []}


NO_ANSWER = [
    ("async def handle(req, res, ctx):\n    x = {}\n    return x['key']\n", "script.crashed", ":3: KeyError: 'key'"),
    ("import sys\nasync def handle(req, res, ctx):\n    sys.exit(3)\n", "script.crashed", ":3: SystemExit: 3"),
    ("async def handle(req, res, ctx):\n    return 5\n", "script.crashed", "handle returned int"),
    ("async def handle(req, res, ctx):\n    pass\n", "script.no_answer", "handle returned None"),
    (
        "async def handle(req, res, ctx):\n    res.json(1)\n    res.json(2)\n",
        "script.answered_twice",
        "[...path].py:3: there was an answer already",
    ),
    (
        "async def handle(req, res, ctx):\n    res.json(1)\n    return {'a': 2}\n",
        "script.answered_twice",
        "there was an answer already",
    ),
    (
        "async def handle(req, res, ctx):\n    res.json(1)\n    try:\n        res.json(2)\n    except Exception: pass\n",
        "script.answered_twice",
        "[...path].py:4: there was an answer already",
    ),
    (
        "# @timeout 0.2\nimport asyncio\nasync def handle(req, res, ctx):\n    await asyncio.sleep(60)\n",
        "script.timeout",
        "no answer within 0.2 s",
    ),
    (
        "async def handle(req, res, ctx):\n    return res.header('a', 'b\\r\\nc: d').json(1)\n",
        "script.crashed",
        "one line",
    ),
]


async def test_a_script_that_gives_no_answer_is_told_with_its_reason(standing: Standing) -> None:
    await standing.start()
    for text, code, cause in NO_ANSWER:
        standing.write(text)
        found, why = await standing.failed()
        assert (found, cause in why) == (code, True), (text, found, why)
    standing.write('async def handle(req, res, ctx):\n    return {"well": True}\n')
    assert await standing.call() == (200, {"well": True})


async def test_a_script_that_ignores_its_end_is_told_of_as_too_slow_all_the_same(standing: Standing) -> None:
    standing.write("""# @timeout 0.2
import asyncio
async def handle(req, res, ctx):
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
""")
    await standing.start()
    assert (await standing.failed())[0] == "script.timeout"


async def test_a_stream_that_goes_wrong_is_cut_and_never_ended_as_if_it_were_whole(standing: Standing) -> None:
    await standing.start()
    for end in ("raise ValueError('late')", "await asyncio.sleep(60)", "await res.write(5)"):
        standing.write(
            f"# @timeout 0.3\nimport asyncio\nasync def handle(req, res, ctx):\n    await res.write('data: 1\\n\\n')\n    {end}\n"
        )
        reply = await standing.begun()
        with pytest.raises(Broken):
            await reply.body()


async def test_a_second_answer_after_a_stream_changes_nothing_of_the_first(standing: Standing) -> None:
    standing.write("""
async def handle(req, res, ctx):
    await res.write('data: 1\\n\\n')
    try:
        res.json({})
    except Exception as error:
        print("told", type(error).__name__)
""")
    await standing.start()
    assert await (await standing.begun()).body() == b"data: 1\n\n"
    await asyncio.sleep(0.1)
    assert "told AnsweredTwice" in standing.log()
    assert "script.answered_twice" in standing.log()


async def test_a_model_that_ends_in_the_middle_ends_the_answer_in_the_middle(standing: Standing) -> None:
    standing.write(PASS)
    await standing.start()

    async def answer(_: Came, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + chunk(event(1)))
        await writer.drain()
        writer.transport.abort()

    standing.door.otherwise = answer
    reply = await standing.begun()
    with pytest.raises(Broken):
        await reply.body()


async def test_a_script_cannot_speak_as_the_worker_or_the_gateway(standing: Standing) -> None:
    standing.write("""
async def handle(req, res, ctx):
    return res.header("X-Bawn-Script-Fault", "script.crashed").header("content-length", "1").header("x-own", "1").json({})
""")
    await standing.start()
    reply = await standing.begun()
    assert await reply.json() == {}
    assert reply.headers["x-own"] == "1"
    assert not [name for name in reply.headers if name.startswith("x-bawn-")]


async def test_what_is_printed_and_logged_is_told_with_the_call_it_belongs_to(standing: Standing) -> None:
    standing.write("""
async def handle(req, res, ctx):
    print("one")
    ctx.log("two")
    ctx.log.debug("three")
    return {}
""")
    await standing.start()
    await standing.call()
    await asyncio.sleep(0.1)
    lines = [json.loads(line) for line in standing.logs["shop", "1"]]
    said = {(line["level"], line["line"]) for line in lines if line["call"] == "call-1"}
    assert {("print", "one"), ("info", "two")} <= said
    assert "three" not in standing.log()


async def test_a_flood_of_print_harms_the_log_alone(standing: Standing) -> None:
    standing.write("async def handle(req, res, ctx):\n    for n in range(30_000): print('x' * 500)\n    return {}\n")
    await standing.start()
    assert (await standing.call())[0] == 200


async def test_a_request_that_is_no_json_is_the_scripts_to_look_at(standing: Standing) -> None:
    standing.write("""
async def handle(req, res, ctx):
    try:
        req.json
    except ValueError:
        return {"bytes": len(req.body)}
""")
    await standing.start()
    assert await standing.call(b"\xff{") == (200, {"bytes": 2})


async def test_many_requests_run_at_once(standing: Standing) -> None:
    standing.write(
        "import asyncio\nasync def handle(req, res, ctx):\n    await asyncio.sleep(0.3)\n    return req.json\n"
    )
    await standing.start()
    await standing.health()
    begun = asyncio.get_running_loop().time()
    said = await asyncio.gather(*(standing.call({"n": n}) for n in range(50)))
    assert [each[1]["n"] for each in said] == list(range(50))
    assert asyncio.get_running_loop().time() - begun < 3


async def test_an_answer_without_a_body_passes_as_one(standing: Standing) -> None:
    standing.write(PASS)
    await standing.start()
    standing.door.always("/api/v1/chat/completions", b"HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n")
    reply = await standing.begun()
    assert (reply.status, reply.headers, await reply.body()) == (204, {"x-a": "b"}, b"")


async def test_the_gateways_limit_of_time_counts_where_it_is_shorter(standing: Standing) -> None:
    standing.write("import asyncio\nasync def handle(req, res, ctx):\n    await asyncio.sleep(60)\n")
    await standing.start()
    headers = {"x-bawn-script": "api/v1/[...path].py", "x-bawn-timeout": "0.2"}
    reply = await standing.request("POST", "/handle", headers, b"{}")
    assert (await reply.json())["cause"] == "api/v1/[...path].py: no answer within 0.2 s"


async def test_the_smallest_worker_still_has_room_for_all_that_scripts_use(standing: Standing) -> None:
    standing.write("""
import asyncio, ssl
async def handle(req, res, ctx):
    ssl.create_default_context()
    await asyncio.gather(*(ctx.kv.set(f"k{n}", "x" * 1000) for n in range(40)))
    await asyncio.gather(*(ctx.db("a").query("SELECT 1") for n in range(40)))
    return {"keys": len(await ctx.kv.list())}
""")
    await standing.start(limits={"memory_bytes": 64 << 20, "pids": 16})
    assert await standing.call() == (200, {"keys": 40})
