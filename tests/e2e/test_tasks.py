"""A task from the request to the callback: a real agent in a fresh container, which is gone afterwards."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from tests.e2e.installation import Container, Installation, until

PROMPT = "--help me: say hello"
"""Begins as an option does, and is none."""

COMMANDS = """\
  commands:
    code: [opencode, run, --, "{prompt}"]
    sleep: [sleep, "{prompt}"]
"""


def cascade(door: str) -> dict[str, str]:
    """Files of a script that has another agent work, whose calls pass it as well, and that is told what came of it."""
    return {
        "[...path].py": """
async def handle(req, res, ctx):
    ctx.log.info("passed for " + ctx.metadata.container.name)
    return await ctx.upstream(req)
""",
        "delegate.py": f"""
async def handle(req, res, ctx):
    config = {{"base_url": "{door}/v1", "api_key": "container-1", "model": "scripted/agent"}}
    return await ctx.agents.task("say hello", mode="code", ai_config=config, callback_url="{door}/task-complete")
""",
        "task-complete.py": f"""
async def handle(req, res, ctx):
    await ctx.kv.set("{door}", req.json)
    return {{}}
""",
        "done.py": f"""
async def handle(req, res, ctx):
    return {{"done": await ctx.kv.get("{door}")}}
""",
    }


@dataclass
class Hook:
    """An address of the operator's that is told of ends."""

    url: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def hook(yard: Installation, runtime: str) -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    before = yard.config.read_text()
    said = f"tasks:\n  runtime: {runtime}\n  image: agent\n  callbacks: ['{hook.url}']\n"
    yard.config.write_text(before + said + COMMANDS)
    yard.done("config", "reload")
    yield hook
    yard.config.write_text(before)
    yard.done("config", "reload")
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_agent_answers_the_callback_is_told_and_the_container_is_gone(
    yard: Installation, runtime: str, hook: Hook
) -> None:
    if yard.bawn("run", "--rm", "--runtime", runtime, "--", "sh", "-c", "command -v opencode").code != 0:
        pytest.skip("the image has no OpenCode: npm is not installed on this machine")
    words = ("--model", "scripted/agent", "--callback", f"{hook.url}/done", "--wait", "-o", "json", "--", PROMPT)
    task = yard.bawn("tasks", "run", *words, wait_s=120).json()
    assert (task["state"], task["exit_code"]) == ("completed", 0), task
    until(lambda: bool(hook.heard), "the callback is told")
    [told] = hook.heard
    assert (told["taskId"], told["status"], told["exitCode"]) == (task["id"], "completed", 0)
    assert told["output"] == task["output"] != ""
    assert told["usage"]["input_tokens"] == task["input_tokens"] > 0
    assert "\x1b" not in told["output"]
    assert told["container"] not in [each["name"] for each in yard.json("containers", "list")]
    until(lambda: yard.json("tasks", "show", task["id"])["callback_state"] == "sent", "the task tells of the callback")


def test_a_cancelled_task_leaves_no_container(yard: Installation, runtime: str, hook: Hook) -> None:
    id_ = yard.json("tasks", "run", "600", "--mode", "sleep")["id"]
    until(lambda: bool(yard.json("tasks", "show", id_)["container"]), "its container is made")
    name = yard.json("tasks", "show", id_)["container"]
    after = yard.json("tasks", "cancel", id_)
    assert after["state"] == "cancelled"
    assert name not in [each["name"] for each in yard.json("containers", "list")]


def test_a_script_has_another_agent_work_and_is_told_what_came_of_it(
    yard: Installation, runtime: str, dev: Container, hook: Hook
) -> None:
    if dev.sh("command -v opencode").code != 0:
        pytest.skip("the image has no OpenCode: npm is not installed on this machine")
    name = f"cascade-{runtime}"
    door = f"http://exec-{name}.bawn.internal/api"
    files = cascade(door)
    for file, text in files.items():
        yard.done("scripts", "write", f"default/{name}/api/v1/{file}", "-", stdin=text)
    # An exec with a name of its own is known to containers that start after it was written.
    yard.done("containers", "stop", dev.name)
    yard.done("containers", "start", dev.name)

    def asked(path: str) -> dict[str, Any]:
        line = f"curl -s -H 'authorization: Bearer {dev.token}' {door}/v1/{path}"
        told: dict[str, Any] = json.loads(dev.sh(line).out)
        return told

    try:
        begun = asked("delegate")
        assert begun.get("status") == "running", begun
        id_ = begun["taskId"]
        until(lambda: asked("done")["done"] is not None, "the script is told", wait_s=90)
        told = asked("done")["done"]
        task = yard.json("tasks", "show", id_)
        assert (told["taskId"], told["status"], told["output"]) == (id_, "completed", task["output"]), task
        assert (task["by"], task["parent_id"]) == (
            f"internal:container-{yard.get(dev.name)['number']}",
            yard.get(dev.name)["id"],
        )
        assert f"passed for {told['container']}" in yard.done("scripts", "logs", name).out
    finally:
        for file in files:
            yard.bawn("scripts", "remove", f"default/{name}/api/v1/{file}")
