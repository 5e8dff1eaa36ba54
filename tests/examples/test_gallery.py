"""Every script of examples/scripts does what it says, for an agent with the official package."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.examples.conftest import ADA, EVERYTHING, GALLERY, Gallery
from tests.gateway.test_interception import EACH_WIRE, FUNCTION, STREAMED, WIRES, Speaks, only, read
from tests.scripts.standing import plain

from bawn.scripts.shelf import Shelf
from bawn.wire.editing import Said

HAIKU = "anthropic/claude-haiku-4-5"
TOOL = {"type": "function", "function": FUNCTION}


async def chat(agent: openai.AsyncOpenAI, text: str, *, stream: bool = False, model: str = HAIKU, **more: Any) -> str:
    """What the assistant says."""
    messages: Any = [{"role": "user", "content": text}]
    if not stream:
        answer = await agent.chat.completions.create(model=model, messages=messages, **more)
        return answer.choices[0].message.content or ""
    parts = []
    async for chunk in await agent.chat.completions.create(model=model, messages=messages, stream=True, **more):
        assert chunk.choices, "an agent that did not ask for usage gets none"
        parts.append(chunk.choices[0].delta.content or "")
    return "".join(parts)


async def called(gallery: Gallery, speaks: Speaks, stream: bool, tool: str, arguments: dict[str, Any]) -> Said:
    """What the agent gets when its model calls a tool, on any wire."""
    asking = speaks.asking(f"call {tool} with {json.dumps(arguments)}", stream)
    asking["json"] = json.loads(json.dumps(asking["json"]).replace('"bash"', json.dumps(tool)))
    async with gallery.client() as client:
        answer = await client.post(**asking)
    assert answer.status_code == 200, answer.text
    return read(speaks, stream, answer)


def test_every_file_loads_and_has_a_test(tmp_path: Path) -> None:
    tests = Path(__file__).read_text()
    shelf = Shelf(tmp_path)
    files = sorted(GALLERY.glob("**/*.py"))
    assert len(files) >= 22
    for file in files:
        name = str(file.relative_to(GALLERY)).removesuffix(".py")
        assert re.search(rf'put\(\s*"{name}"', tests), name
        shelf.write("default", "1", "api/v1/[...path].py", file.read_text())
    shelf.refresh()
    assert not shelf.stock.troubles


def test_the_table_of_the_gallery_names_every_file() -> None:
    table = (GALLERY / "README.md").read_text()
    for file in GALLERY.glob("**/*.py"):
        assert f"({file.relative_to(GALLERY)})" in table, file


@STREAMED
async def test_the_basic_script_passes_everything_on_and_logs_it(gallery: Gallery, stream: bool) -> None:
    gallery.put("basic")
    async with gallery.agent() as agent:
        assert await chat(agent, "good morning", stream=stream) == "good morning"
        assert [model.id async for model in agent.models.list()]
        with pytest.raises(openai.NotFoundError):
            await chat(agent, "x", model="nobody/nothing")
    await _until(lambda: "404, model nobody/nothing, 0 tokens" in gallery.standing.log("1", "default"))
    lines = [line for line in gallery.standing.log("1", "default").splitlines() if f"200, model {HAIKU}" in line]
    assert " 0 tokens" not in lines[-1], "a stream is counted too"


async def test_high_stakes_are_pending_until_a_person_has_answered(gallery: Gallery) -> None:
    gallery.put("approval_gate")
    async with gallery.agent() as agent:
        assert await chat(agent, "what is a word?") == "what is a word?"
        gallery.asked()
        with pytest.raises(openai.APIStatusError, match="waits for a person"):
            await chat(agent, "deploy it to production", stream=True)
        with pytest.raises(openai.APIStatusError) as pending:
            await chat(agent, "deploy it to production", stream=True)
        assert not gallery.asked(), "no model is asked meanwhile"
        ticket = await gallery.ticket()
        assert ticket.id in pending.value.message
        await gallery.desk.approve(ticket.id, ticket.digest, ADA)
        assert await chat(agent, "deploy it to production", stream=True) == "deploy it to production"
        with pytest.raises(openai.APIStatusError):
            await chat(agent, "drop the table")
        ticket = await gallery.ticket()
        await gallery.desk.reject(ticket.id, ticket.digest, ADA)
        with pytest.raises(openai.PermissionDeniedError, match="rejected"):
            await chat(agent, "drop the table")


@STREAMED
async def test_an_urgent_request_is_held_until_a_person_approves_it(gallery: Gallery, stream: bool) -> None:
    gallery.put("stall_and_notify")
    urgent: dict[str, Any] = {"extra_body": {"urgent": True}}
    async with gallery.agent() as agent:
        assert await chat(agent, "no hurry", stream=stream) == "no hurry"
        held = asyncio.create_task(chat(agent, "restart it", stream=stream, **urgent))
        ticket = await gallery.ticket()
        [notice] = await gallery.told()
        assert "A request waits for you" in notice["title"] + notice["message"], notice
        assert not held.done()
        await gallery.desk.approve(ticket.id, ticket.digest, ADA)
        assert await held == "restart it"
        assert all("urgent" not in body for body in gallery.asked())


async def test_an_urgent_request_is_refused_when_a_person_says_no_and_when_nobody_answers(gallery: Gallery) -> None:
    gallery.put("stall_and_notify", change=("WAIT_S = 240", "WAIT_S = 0.5"))
    urgent: dict[str, Any] = {"extra_body": {"urgent": True}}
    async with gallery.agent() as agent:
        held = asyncio.create_task(chat(agent, "stop it", **urgent))
        ticket = await gallery.ticket()
        await gallery.desk.reject(ticket.id, ticket.digest, ADA)
        with pytest.raises(openai.PermissionDeniedError, match="rejected"):
            await held
        with pytest.raises(openai.APIStatusError, match="in time") as late:
            await chat(agent, "end it", **urgent)
        assert late.value.status_code == 408
        assert not gallery.asked()


@EACH_WIRE
@STREAMED
async def test_a_file_is_written_beneath_the_sandbox(gallery: Gallery, speaks: Speaks, stream: bool) -> None:
    gallery.put("sandbox_writes")
    for path, became in (("/etc/hosts", "/sandbox/etc/hosts"), ("/sandbox/../x", "/sandbox/x")):
        said = await called(gallery, speaks, stream, "write_file", {"path": path, "content": "x"})
        assert only(said) == ("write_file", {"path": became, "content": "x"})
    said = await called(gallery, speaks, stream, "read_file", {"path": "/etc/hosts"})
    assert only(said) == ("read_file", {"path": "/etc/hosts"})


async def test_the_script_of_the_page_does_the_same(gallery: Gallery) -> None:
    page = (GALLERY.parents[1] / "docs" / "interception.md").read_text()
    [text] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    gallery.shelf.write("default", "1", EVERYTHING, text)
    for stream in (False, True):
        said = await called(gallery, WIRES[0], stream, "write_file", {"path": "/etc/hosts"})
        assert only(said) == ("write_file", {"path": "/sandbox/etc/hosts"})


@EACH_WIRE
@STREAMED
async def test_a_critical_file_is_not_deleted_without_a_confirmation(
    gallery: Gallery, speaks: Speaks, stream: bool
) -> None:
    gallery.put("delete_confirmation")
    name, arguments = only(await called(gallery, speaks, stream, "delete_file", {"path": "/srv/.env"}))
    assert name == "confirm_delete"
    assert arguments == {"path": "/srv/.env", "warning": "Deleting a critical file needs a confirmation."}
    said = await called(gallery, speaks, stream, "delete_file", {"path": "/srv/notes"})
    assert only(said) == ("delete_file", {"path": "/srv/notes"})


@EACH_WIRE
@STREAMED
async def test_a_dangerous_command_is_blocked_with_its_reason(gallery: Gallery, speaks: Speaks, stream: bool) -> None:
    gallery.put("command_blocking")
    name, arguments = only(await called(gallery, speaks, stream, "bash", {"command": "rm -rf /srv"}))
    assert name == "blocked_command"
    assert arguments == {"original": "rm -rf /srv", "reason": "This command is dangerous, and was stopped."}
    said = await called(gallery, speaks, stream, "bash", {"command": "ls /srv"})
    assert only(said) == ("bash", {"command": "ls /srv"})


async def test_the_official_package_reads_a_call_that_was_changed_in_a_stream(gallery: Gallery) -> None:
    gallery.put("command_blocking")
    async with gallery.agent() as agent:
        stream = agent.chat.completions.stream(
            model="scripted/agent",
            messages=[{"role": "user", "content": 'call bash with {"command": "sudo reboot"}'}],
            tools=[TOOL],  # type: ignore[list-item]
        )
        async with stream as events:
            answer = await events.get_final_completion()
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].function.name == "blocked_command"


def history(tool: str, arguments: dict[str, Any], result: str) -> list[Any]:
    """A conversation whose agent has just run a tool."""
    call = {"id": "call_1", "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}
    return [
        {"role": "user", "content": "go on"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": result},
    ]


@STREAMED
async def test_what_an_agent_wrote_is_committed(gallery: Gallery, stream: bool) -> None:
    gallery.put("versioned_writes")
    work = gallery.services.home / f"work{stream}"
    work.mkdir()
    (work / "notes.md").write_text("a word\n")
    arguments = {"path": str(work / "notes.md"), "content": "a word\n", "description": "write a word; $(reboot)"}
    messages = history("write_file", arguments, "written")
    messages[1]["tool_calls"][0]["id"] = messages[2]["tool_call_id"] = f"call_{stream}"
    async with gallery.agent() as agent:
        for _ in range(2):
            made: Any = await agent.chat.completions.create(model=HAIKU, messages=messages, stream=stream)
            if stream:
                assert [chunk async for chunk in made]
    log = subprocess.run(["git", "log", "--format=%s", "--stat"], cwd=work, capture_output=True, text=True, check=True)
    assert log.stdout.count("AI: ") == 1, "once, however often the history comes"
    assert "AI: write a word; $(reboot)" in log.stdout
    assert "notes.md" in log.stdout


CODE = "def add(one, two):\n    return one + two\n\n\nprint(add(1, 2))\n"


@pytest.mark.parametrize("wire", ["openai", "anthropic", "responses"])
async def test_a_model_reads_files_with_documentation_in_them(gallery: Gallery, wire: str) -> None:
    gallery.put("documentation_on_read")
    forms: dict[str, tuple[str, dict[str, Any]]] = {
        "openai": ("chat/completions", {"messages": history("read_file", {"path": "add.py"}, CODE)}),
        "anthropic": (
            "messages",
            {
                "max_tokens": 99,
                "messages": [
                    {"role": "user", "content": "go on"},
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "t", "name": "read_file", "input": {"path": "add.py"}}],
                    },
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": CODE}]},
                ],
            },
        ),
        "responses": (
            "responses",
            {
                "input": [
                    {"role": "user", "content": "go on"},
                    {"type": "function_call", "call_id": "t", "name": "read_file", "arguments": '{"path":"add.py"}'},
                    {"type": "function_call_output", "call_id": "t", "output": CODE},
                ]
            },
        ),
    }
    path, body = forms[wire]
    async with gallery.client() as client:
        answer = await client.post(f"/v1/{path}", json={"model": "scripted/agent", **body})
        assert answer.status_code == 200, answer.text
        last = json.dumps(gallery.asked()[-1])
        assert "Adds two numbers" in last
        assert "print(add" not in last
        await client.post(f"/v1/{path}", json={"model": "scripted/agent", **body})
        assert len(gallery.asked()) == 1, "the second time it is known"


@STREAMED
async def test_an_agent_hands_work_to_another_one(gallery: Gallery, stream: bool) -> None:
    gallery.put("agent_cascade")
    async with gallery.agent() as agent:
        said = await chat(agent, "delegate this", stream=stream)
        assert "write the tests" in said
        assert "Task ID: task_1" in said
        assert await chat(agent, "look at the code", stream=stream) == "ANALYZE_CODE: all of it"
        assert await chat(agent, "do it yourself", stream=stream) == "do it yourself"
        delegated, analysis = gallery.services.tasks
        assert delegated["prompt"] == "write the tests"
        assert delegated["callback_url"] == "http://exec-1.bawn.internal/api/v1/task-complete"
        assert "security" in analysis["prompt"]
        report = {"taskId": f"task_{stream}", "status": "completed", "exitCode": 0, "output": "There are 12 tests now."}
        async with gallery.client() as client:
            assert (await client.post("/api/v1/task-complete", json=report)).status_code == 200
        gallery.asked()
        await chat(agent, "what came of it?", stream=stream)
        assert "12 tests now" in json.dumps(gallery.asked()[0]["messages"]), "the model hears of it"


@STREAMED
async def test_the_model_fits_the_question(gallery: Gallery, stream: bool) -> None:
    gallery.put("model_routing")
    async with gallery.agent() as agent:
        for text in ("what is a word?", "a class of words", "deploy it now", "word " * 60):
            assert await chat(agent, text, stream=stream, model="openai/gpt-4") == text
    models = [body["model"] for body in gallery.asked()]
    assert models == ["claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-1", "gpt-4o"]


@EACH_WIRE
@STREAMED
async def test_the_model_fits_the_question_on_each_wire(gallery: Gallery, speaks: Speaks, stream: bool) -> None:
    gallery.put("model_routing")
    async with gallery.client() as client:
        answer = await client.post(**speaks.asking("what is a word?", stream))
    assert answer.status_code == 200, answer.text
    settled = await gallery.yard.settled(2)
    assert {each.model for each in gallery.yard.books.settlements} >= {"claude-haiku-4-5"}, settled


@EACH_WIRE
async def test_the_knowledge_base_stands_in_the_system_text(gallery: Gallery, speaks: Speaks) -> None:
    gallery.put("knowledge_context")
    items = [
        {"key": "kb/holidays.md", "value": "We close on the first of May."},
        {"key": "kb/food.md", "value": "There is soup."},
    ]
    told = await gallery.standing.request(
        "POST", "/kv/batch/set", {}, json.dumps({"items": items}).encode(), "1", "default"
    )
    assert told.status == 200
    async with gallery.client() as client:
        answer = await client.post(**speaks.asking('When do we close? " OR * NEAR(', stream=False))
        assert answer.status_code == 200, answer.text
        asked = json.dumps(gallery.asked()[0])
        assert "first of May" in asked
        assert "holidays.md" in asked
        assert "soup" not in asked
        await client.post(**speaks.asking("xyzzy", stream=False))
        assert "knowledge base" not in json.dumps(gallery.asked()[0])


async def test_the_second_call_comes_from_the_cache(gallery: Gallery) -> None:
    gallery.put("response_cache")
    async with gallery.agent() as agent:
        for stream in (True, False, True):
            assert await chat(agent, "a word to keep", stream=stream) == "a word to keep"
        assert len(gallery.asked()) == 1
        again = await agent.chat.completions.create(
            model=HAIKU, messages=[{"role": "user", "content": "a word to keep"}]
        )
        assert again.model_extra is not None
        assert again.model_extra["cached"] is True
        assert again.usage is not None, "also of what had been streamed"
        await chat(agent, "a word to keep", temperature=0.5)
        assert len(gallery.asked()) == 1, "whatever else it says is in the key"
        for _ in range(2):
            await chat(agent, 'call bash with {"command": "ls"}', model="scripted/agent", tools=[TOOL])
        assert len(gallery.asked()) == 2, "a turn with a tool is never kept"


VERBOSE = 'Could you please look at   the file?\n```\nthe  code\n```\nIt says "the   word" and {"a":  1}.'


@STREAMED
async def test_prose_is_compressed_and_nothing_else(gallery: Gallery, stream: bool) -> None:
    gallery.put("prompt_compression")
    async with gallery.agent() as agent:
        said = await chat(agent, VERBOSE, stream=stream)
    assert said == 'look at file?\n```\nthe  code\n```\nIt says "the   word" and {"a":  1}.'


@STREAMED
async def test_every_request_is_in_the_log(gallery: Gallery, stream: bool) -> None:
    gallery.put("request_log")
    async with gallery.agent() as agent:
        await chat(agent, f"write this down {stream}", stream=stream)
        with pytest.raises(openai.APIStatusError):
            await chat(agent, f"fall down {stream}")
    sql = "SELECT container, model, status, response, tokens > 0, cost_usd > 0 FROM ai_log WHERE prompt = ?"
    assert rows(gallery, "ai_log", sql, f"write this down {stream}") == [
        ("dev", HAIKU, 200, f"write this down {stream}", 1, 1)
    ]
    [fallen] = rows(gallery, "ai_log", sql, f"fall down {stream}")
    assert fallen[2] >= 500


def rows(gallery: Gallery, name: str, sql: str, *values: Any) -> list[Any]:
    [file] = gallery.standing.home.glob(f"**/db/{name}.db")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        return connection.execute(sql, values).fetchall()


@STREAMED
async def test_another_provider_answers_when_one_is_down(gallery: Gallery, stream: bool) -> None:
    gallery.put("failover")
    async with gallery.agent() as agent:
        assert await chat(agent, "still here", model="down/gpt-4o", stream=stream) == "still here"
        assert len(gallery.down.heard) == 1
        with pytest.raises(openai.NotFoundError):
            await chat(agent, "x", model="nobody/nothing")


@STREAMED
async def test_code_is_explained_behind_it(gallery: Gallery, stream: bool) -> None:
    gallery.put("response_enhancement")
    async with gallery.agent() as agent:
        said = await chat(agent, "some code", stream=stream)
        assert said == "```python\nprint('word')\n```\n\n**How this works:**\nIt prints a word."
        assert await chat(agent, "no program", stream=stream) == "no program"


@STREAMED
async def test_people_are_told_of_code_of_failures_and_of_many_tokens(gallery: Gallery, stream: bool) -> None:
    gallery.put("device_alerts")
    async with gallery.agent() as agent:
        await chat(agent, "hello", stream=stream)
        assert not await gallery.told()
        await chat(agent, "much code", stream=stream)
        with pytest.raises(openai.APIStatusError):
            await chat(agent, "fall down", stream=stream)
    told = {notice["title"]: notice["message"] for notice in await gallery.told()}
    assert set(told) == {"An agent has written code", "A request took many tokens", "A call to a model failed"}
    assert "50400 tokens" in told["A request took many tokens"]


async def test_the_history_is_kept_and_each_container_reads_its_own(gallery: Gallery) -> None:
    gallery.put("prompt_history")
    async with gallery.agent() as agent, gallery.client() as client:
        await chat(agent, "the first word")
        await chat(agent, "the second word", stream=True)
        recent = (await client.get("/api/v1/history/recent")).json()
        assert [row["prompt"] for row in recent] == ["the second word", "the first word"]
        assert all(row["tokens"] for row in recent)
        [by_model] = (await client.get("/api/v1/history/models")).json()
        assert by_model["tokens"] == sum(row["tokens"] for row in recent)
    assert rows(gallery, "ai-history", "SELECT DISTINCT container FROM prompts") == [("dev",)]


async def test_a_customer_has_a_quota_and_models_of_its_own(gallery: Gallery) -> None:
    gallery.put("customer_quota", change=("20_000", "50"))
    async with gallery.agent() as agent:
        await chat(agent, "one word", model="anthropic/claude-opus-4-1", stream=True)
        assert gallery.asked()[0]["model"] == "claude-haiku-4-5", "the default model in the place of another"
        await chat(agent, "many words " * 40)
        gallery.asked()
        with pytest.raises(openai.RateLimitError, match="quota of trial"):
            await chat(agent, "one more")
        assert not gallery.asked()


async def test_each_environment_has_rules_of_its_own(gallery: Gallery) -> None:
    gallery.put("environments", "dev")
    gallery.put("environments", "prod")
    async with gallery.agent("dev") as dev, gallery.agent("prod") as prod:
        await chat(dev, "a word for dev", model="openai/gpt-4o", stream=True)
        await chat(prod, "a word for prod", model="openai/gpt-4o")
        assert [body["model"] for body in gallery.asked()] == ["claude-haiku-4-5", "claude-opus-4-1"]
        assert not await gallery.told()
        for agent in (dev, prod):
            with pytest.raises(openai.APIStatusError):
                await chat(agent, "fall down")
    assert [notice["priority"] for notice in await gallery.told()] == ["urgent"]
    await _until(lambda: "a word for dev" in gallery.standing.log("dev", "default"))
    assert "a word for prod" not in gallery.standing.log("prod", "default")


ELSEWHERE = {
    "id": "chatcmpl-7", "object": "chat.completion", "created": 1, "model": "house",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "from elsewhere"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip


@STREAMED
async def test_any_gateway_may_answer_by_the_egress_of_the_container(gallery: Gallery, stream: bool) -> None:
    gallery.put(
        "any_gateway", file="api/v1/chat/completions.py", change=("https://gateway.example.org", "http://gateway.test")
    )
    heads: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heads.append(head)
        writer.write(plain(200, ELSEWHERE, content_type="application/json"))
        await writer.drain()
        writer.close()

    folder = gallery.standing.home / "run/scripts/egress/default"
    server = await asyncio.start_unix_server(proxy, folder / "7.sock")
    async with server, gallery.agent() as agent:
        assert await chat(agent, "hello", stream=stream) == "from elsewhere"
        assert [model.id async for model in agent.models.list()], "other paths go on as before"
    assert heads[0].startswith("POST http://gateway.test/v1/chat/completions")
    assert "Bearer sk-gateway-1" in heads[0]
    assert not gallery.asked()


async def test_three_layers_do_one_thing_each(gallery: Gallery) -> None:
    gallery.put("layers/log", "1")
    gallery.put("layers/cache", "2")
    gallery.put("layers/route", "3")
    async with gallery.agent() as agent:
        for stream in (False, True):
            assert await chat(agent, "a word in layers", model="openai/gpt-4o", stream=stream) == "a word in layers"
    assert [body["model"] for body in gallery.asked()] == ["claude-haiku-4-5"], "routed once, then kept"
    await _until(lambda: gallery.standing.log("1", "default").count("dev openai/gpt-4o 200") == 2)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.01)
