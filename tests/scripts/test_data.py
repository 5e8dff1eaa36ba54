"""What scripts keep: values and databases, with any number of writers."""

from __future__ import annotations

import asyncio
import json
import time

from tests.scripts.standing import Standing

WRITER = """
async def handle(req, res, ctx):
    base = ctx.db("history")
    await base.execute("CREATE TABLE IF NOT EXISTS seen (id INTEGER PRIMARY KEY, who TEXT, n INTEGER)")
    for n in range(25):
        await base.execute("INSERT INTO seen (who, n) VALUES (?, ?)", (req.json["who"], n))
        await base.run([("INSERT INTO seen (who, n) VALUES ('pair', ?)", (n,)), ("UPDATE seen SET n = n + 1 WHERE id = 1", ())])
        await ctx.kv.add("count")
        await ctx.kv.set(f"{req.json['who']}/{n}", n)
    return {}
"""
READER = """
async def handle(req, res, ctx):
    base = ctx.db("history")
    return {"rows": (await base.query("SELECT count(*) AS n FROM seen"))[0]["n"], "count": await ctx.kv.get("count"),
            "first": (await base.query("SELECT n FROM seen WHERE id = :id", {"id": 1}))[0]["n"],
            "keys": len(await ctx.kv.list("w"))}
"""


async def kv(standing: Standing, operation: str, said: object) -> tuple[int, object]:
    reply = await standing.request("POST", f"/kv/{operation}", {}, json.dumps(said).encode())
    return reply.status, await reply.json()


async def test_eight_writers_in_two_processes_lose_nothing(standing: Standing) -> None:
    for exec_id in ("1", "2"):
        standing.write(WRITER, exec_id=exec_id)
        standing.write(READER, "api/v1/read.py", exec_id=exec_id)
        await standing.start(exec_id, limits={"cpus": 2})
    done = await asyncio.gather(*(standing.call({"who": f"w{n}"}, exec_id=str(n % 2 + 1)) for n in range(8)))
    assert done == [(200, {})] * 8
    for exec_id in ("1", "2"):
        status, said = await standing.call(script="api/v1/read.py", exec_id=exec_id)
        assert status == 200
        assert said["rows"] == 8 * 25 * 2
        assert said["count"] == 8 * 25
        assert said["keys"] == 8 * 25
        assert said["first"] >= 8 * 25


async def test_what_is_kept_outlives_the_worker_and_belongs_to_its_project(standing: Standing) -> None:
    text = "async def handle(req, res, ctx):\n    return {'was': await ctx.kv.add('n')}\n"
    standing.write(text)
    standing.write(text, project="other")
    await standing.start()
    assert await standing.call() == (200, {"was": 1})
    await standing.stop()
    await standing.start()
    await standing.start(project="other")
    assert await standing.call() == (200, {"was": 2})
    assert await standing.call(project="other") == (200, {"was": 1})


async def test_values_are_reached_over_http_as_well(standing: Standing) -> None:
    await standing.start()
    assert await kv(standing, "set", {"key": "a", "value": {"x": [1, "é"]}}) == (200, {"ok": True})
    assert await kv(standing, "get", {"key": "a"}) == (200, {"key": "a", "found": True, "value": {"x": [1, "é"]}})
    assert await kv(standing, "get", {"key": "b"}) == (200, {"key": "b", "found": False, "value": None})
    items = [{"key": "b", "value": 1}, {"key": "ab", "value": None}]
    assert await kv(standing, "batch/set", {"items": items}) == (200, {"ok": True, "count": 2})
    status, said = await kv(standing, "batch/get", {"keys": ["ab", "b", "c"]})
    assert isinstance(said, dict)
    assert (status, [item["found"] for item in said["items"]]) == (200, [True, True, False])
    assert await kv(standing, "list", {"prefix": "a"}) == (200, {"keys": ["a", "ab"]})
    assert await kv(standing, "delete", {"key": "a"}) == (200, {"deleted": True})
    assert await kv(standing, "delete", {"key": "a"}) == (200, {"deleted": False})


async def test_a_value_is_gone_after_its_time(standing: Standing) -> None:
    await standing.start()
    await kv(standing, "set", {"key": "a", "value": 1, "ttl": 0.2})
    assert (await kv(standing, "list", {}))[1] == {"keys": ["a"]}
    await asyncio.sleep(0.25)
    assert (await kv(standing, "list", {}))[1] == {"keys": []}
    assert (await kv(standing, "delete", {"key": "a"}))[1] == {"deleted": False}


async def test_values_that_cannot_be_meant_are_refused(standing: Standing) -> None:
    await standing.start()
    for operation, said in (
        ("set", {"key": "", "value": 1}), ("set", {"key": 5, "value": 1}), ("set", {"key": "a", "value": 1, "ttl": -1}),
        ("get", []), ("batch/get", {"keys": "a"}), ("batch/get", {"keys": [1]}), ("batch/set", {"items": [1]}),
        ("list", {"prefix": 1}), ("set", {"key": "a" * 600, "value": 1}),
    ):  # fmt: skip
        assert (await kv(standing, operation, said))[0] == 400, (operation, said)
    assert (await kv(standing, "drop", {}))[0] == 404


async def test_a_query_that_runs_on_is_interrupted_with_its_request(standing: Standing) -> None:
    standing.write("""# @timeout 0.5
async def handle(req, res, ctx):
    if req.json.get("quick"):
        return {"n": (await ctx.db("a").query("SELECT 1 AS n"))[0]["n"]}
    return await ctx.db("a").query("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c")
""")
    await standing.start(limits={"cpus": 2})
    failed = await asyncio.gather(*(standing.failed({}) for _ in range(10)))
    assert {code for code, _ in failed} == {"script.timeout"}
    begun = time.monotonic()
    assert await standing.call({"quick": True}) == (200, {"n": 1})
    assert time.monotonic() - begun < 2


async def test_a_failed_transaction_leaves_nothing_and_holds_nobody_up(standing: Standing) -> None:
    standing.write("""
async def handle(req, res, ctx):
    base = ctx.db("a")
    await base.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER UNIQUE)")
    try:
        await base.run([("INSERT INTO t VALUES (1)", ()), ("INSERT INTO t VALUES (1)", ())])
    except Exception as error:
        why = type(error).__name__
    await base.execute("INSERT INTO t VALUES (2)")
    return {"why": why, "rows": await base.query("SELECT n FROM t")}
""")
    await standing.start()
    assert await standing.call() == (200, {"why": "IntegrityError", "rows": [{"n": 2}]})
