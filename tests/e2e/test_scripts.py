"""Scripts of an operator between an agent with the official package and its model, in both kinds of container."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.e2e.installation import Container, Installation, until

AI = "http://ai.bawn.internal/api/v1"
ALL = "api/v1/[...path].py"
PASS = """
async def handle(req, res, ctx):
    ctx.log.info("passed " + "/".join(ctx.metadata.parameters.path))
    return await ctx.upstream(req)
"""
LOUD = """
async def handle(req, res, ctx):
    req.json["messages"][-1]["content"] = req.json["messages"][-1]["content"].upper()
    return await ctx.upstream(req)
"""
ACTING = """
from bawn.scripts.api import FetchFailed, Refused

async def handle(req, res, ctx):
    ran = await ctx.containers.exec("id -un; echo to stderr >&2; exit 3")
    said = {"ran": [ran.exit, ran.stdout, ran.stderr], "read": (await ctx.files.read("found")).decode()}
    try:
        await ctx.files.read("nothing-here")
    except Refused as refused:
        said["refused"] = refused.code
    try:
        answer = await ctx.fetch("https://not-allowed.example/")
        said["fetched"] = f"{answer.status}"
    except FetchFailed as failed:
        said["fetched"] = str(failed)
    return said
"""
GUARD = """
async def handle(req, res, ctx):
    if b"good morning" in req.body.lower():
        return res.status(403).json({"error": {"message": "not in the morning"}})
    return await ctx.upstream(req)
"""


def url(name: str) -> str:
    return f"http://exec-{name}.bawn.internal/api/v1"


def put(yard: Installation, name: str, text: str, file: str = ALL) -> None:
    yard.done("scripts", "write", f"default/{name}/{file}", "-", stdin=text)


@pytest.fixture(scope="module")
def scripts(yard: Installation) -> Iterator[Installation]:
    yield yard
    for script in yard.json("scripts", "list"):
        yard.bawn("scripts", "remove", script["path"])


def test_the_url_chooses_a_script_and_what_it_passes_on_is_as_before(scripts: Installation, dev: Container) -> None:
    put(scripts, "1", PASS)
    put(scripts, "2", LOUD, "api/v1/chat/completions.py")
    plain, passed, loud = dev.found("use_scripts", AI, url("1"), url("2"))
    assert passed == plain
    assert plain["plain"] == plain["streamed"]
    assert loud["plain"] == loud["streamed"] == plain["plain"].upper()
    assert loud["models"] == plain["models"]
    until(lambda: "passed chat/completions" in scripts.done("scripts", "logs", "1").out, "the log has the lines")


def test_a_script_that_is_saved_anew_holds_at_once_and_one_that_does_not_load_leaves_the_old_one(
    scripts: Installation, dev: Container
) -> None:
    put(scripts, "3", PASS)
    assert "refused" not in dev.found("use_scripts", url("3"))[0]
    broken = scripts.bawn(
        "scripts", "write", f"default/3/{ALL}", "-", stdin="async def handle(req, res, ctx):\n  return (\n"
    )
    assert broken.code != 0
    assert "line 2" in broken.err
    assert "refused" not in dev.found("use_scripts", url("3"))[0]
    put(scripts, "3", GUARD)
    status, message = dev.found("use_scripts", url("3"))[0]["refused"]
    assert status == 403
    assert "not in the morning" in message


def test_a_script_that_ends_its_worker_harms_its_own_call_alone(scripts: Installation, dev: Container) -> None:
    put(scripts, "4", "import os\nasync def handle(req, res, ctx):\n    os._exit(1)\n", "api/v1/chat/completions.py")
    put(scripts, "1", PASS)
    fallen, passed = dev.found("use_scripts", url("4"), url("1"))
    assert fallen["refused"][0] == 502
    assert "refused" not in passed
    put(scripts, "4", PASS, "api/v1/chat/completions.py")
    until(lambda: "refused" not in dev.found("use_scripts", url("4"))[0], "the worker is there again")


def test_no_url_leads_round_a_required_script(scripts: Installation, dev: Container) -> None:
    before = scripts.config.read_text()
    put(scripts, "guard", GUARD)
    put(scripts, "1", PASS)
    try:
        scripts.config.write_text(f"{before}scripts:\n  required:\n    {dev.name}: [guard]\n")
        scripts.done("config", "reload")
        found = dev.found("use_scripts", AI, "http://ai.bawn.internal/v1", url("1"), url("7"))
        assert [said["refused"][0] for said in found] == [403, 403, 403, 404]
        assert all("not in the morning" in said["refused"][1] for said in found[:3])
    finally:
        scripts.config.write_text(before)
        scripts.done("config", "reload")
    assert "refused" not in dev.found("use_scripts", AI)[0]


def test_what_a_container_sends_reaches_no_script_of_management(scripts: Installation, dev: Container) -> None:
    for path in ("exec/scripts", "exec/scripts/content?path=default/1/api", "sqlite/kv/list"):
        for host in ("ai", "exec-2"):
            line = f"curl -s -o /dev/null -w '%{{http_code}}' -H 'authorization: Bearer {dev.token}' http://{host}.bawn.internal/api/v1/{path}"
            assert dev.sh(line).out == "404"


def test_a_script_acts_in_the_calling_container_and_fetches_by_its_rules(scripts: Installation, dev: Container) -> None:
    put(scripts, "6", ACTING, "api/v1/act.py")
    ask = f"curl -s -H 'authorization: Bearer {dev.token}' http://exec-6.bawn.internal/api/v1/act"
    assert dev.sh("echo by-the-agent > /tmp/found; cp /tmp/found found").code == 0
    told = json.loads(dev.sh(ask).out)
    assert told["ran"] == [3, "agent\n", "to stderr\n"]
    assert told["read"] == "by-the-agent\n"
    assert told["refused"] == "files.not_found"
    assert "egress" in told["fetched"] or "not allowed" in told["fetched"], told


def test_what_scripts_keep_is_read_and_written_from_outside(scripts: Installation, dev: Container) -> None:
    put(
        scripts,
        "5",
        "async def handle(req, res, ctx):\n    return {'seen': await ctx.kv.get('seen')}\n",
        "api/v1/seen.py",
    )
    line = f"curl -s -H 'authorization: Bearer {dev.token}' http://exec-5.bawn.internal/api/v1/seen"
    assert dev.sh(line).out == '{"seen":null}'
    tried = scripts.done("scripts", "test", "5", dev.name, "--path", "/api/v1/seen", "--method", "GET", "-o", "json")
    assert tried.json()["body"] == '{"seen":null}'
