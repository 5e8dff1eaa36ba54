"""The examples that people copy, through a real container, the official package and a real agent."""

from __future__ import annotations

import json
import os
import pwd
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import machine
from tests.e2e.conftest import Planted, Provider, end
from tests.e2e.installation import INSIDE, Container, Installation, until
from tests.e2e.test_agents import PROMPT
from tests.rules.examples import EXAMPLES, example

REMINDER = example("dev-context-inject")["action"]["content"]
SETTINGS = """\
rules:
  private_webhooks: [127.0.0.1]
  container_tags: {"*": [prod, dev, api-mode]}
models:
  default: keyless/agent
notify:
  sinks:
    told: {kind: file}
transforms:
  log: {}
"""
"""The model that agents begin with is one of which every request is on record."""


class Receiver(BaseHTTPRequestHandler):
    told: list[tuple[str, dict[str, str], dict[str, Any]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.told.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Nothing."""


@pytest.fixture(scope="module")
def received() -> Iterator[tuple[str, list[tuple[str, dict[str, str], dict[str, Any]]]]]:
    told: list[tuple[str, dict[str, str], dict[str, Any]]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OfThisModule", (Receiver,), {"told": told}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", told
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def ruled(yard: Installation, received: tuple[str, Any], provider: Provider) -> Iterator[Installation]:
    """The seven examples as they are written, but for where webhooks go."""
    before = yard.config.read_text()
    place = yard.config.parent / "hoody.jsonc"
    text = EXAMPLES.replace("https://your-tracking.example.com", f"http://{received[0]}")
    place.write_text(
        '// copied\n{"mitm": {"rules": ' + text.replace("https://events.pagerduty.com", f"http://{received[0]}") + "}}"
    )
    own = f"  keyless: {{kind: openai-compatible, base_url: {provider.url}/v1, models: [agent], key: none}}\n"
    own += f"  keyless2: {{kind: anthropic, base_url: {provider.url}, models: [agent], key: none}}"
    with_own = before.replace("providers:", f"providers:\n{own}").replace(
        '"mock/*"', '"mock/*", "keyless/*", "keyless2/*"'
    )
    yard.config.write_text(with_own + SETTINGS)
    yard.done("config", "reload")
    yield yard
    place.unlink()
    yard.config.write_text(before)
    yard.done("config", "reload")


def replayed_as_it_was(yard: Installation, uuid: str) -> int:
    """The same rules fire on what a container's sessions were recorded to be; how many sessions."""
    live = [each for each in yard.json("rules", "log", "--limit", "2000") if each["container"] == uuid]
    sessions = {each["session"] for each in live}
    for session in sessions:
        acts = [each for each in live if each["session"] == session and not each["effect"].endswith(("done", "failed"))]
        told = yard.json("rules", "test", "--replay", session, "--container", uuid)
        again = [(each["rule"], each["event"], each["effect"]) for call in told["calls"] for each in call["fired"]]
        assert sorted(again) == sorted((each["rule"], each["event"], each["effect"]) for each in acts), told
        assert not any(call["untold"] for call in told["calls"]), told
    return len(sessions)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def system_of(asked: dict[str, Any]) -> str:
    return json.dumps([asked.get("system"), *(each for each in asked["messages"] if each["role"] == "system")])


def parts_of(asked: dict[str, Any]) -> list[tuple[str, str]]:
    """Who said what, piece by piece: a result of a tool is one of `tool`, in whichever form it comes."""
    parts: list[tuple[str, str]] = []
    for each in asked["messages"]:
        content = each.get("content")
        for part in content if isinstance(content, list) else [content]:
            result = isinstance(part, dict) and part.get("type") == "tool_result"
            parts.append(("tool" if result else each["role"], json.dumps(part)))
    return parts


@pytest.mark.parametrize(("program", "model"), [("use_rules", "keyless"), ("use_rules_anthropic", "keyless2")])
def test_the_seven_examples_do_what_they_say(
    ruled: Installation, dev: Container, provider: Provider, received: tuple[str, Any], program: str, model: str
) -> None:
    seen, told = len(provider.heard().splitlines()), len(received[1])
    notices, log = ruled.home / "state/notices-told.jsonl", ruled.home / "workers/rules/log/ai-file-access.log"
    noticed, logged = len(lines(notices)), len(lines(log))
    found = dev.found(program, model)
    assert found[-1][0] >= 500, found
    assert "rule" not in found[-1][1], found
    entries = (json.loads(line) for line in provider.heard().splitlines()[seen:])
    asked = [json.loads(entry["body"]) for entry in entries if "request" in entry]
    talk = [each for each in asked if "call read" in json.dumps(each["messages"])]
    for each in talk:
        assert system_of(each).count("CRITICAL: Never execute destructive commands") == 1
        assert system_of(each).count("You MUST respond in valid JSON") == 1
    assert talk, (found, [each["messages"] for each in asked])
    last = parts_of(talk[-1])
    reminders = [at for at, (who, text) in enumerate(last) if who != "assistant" and "this container has Post" in text]
    assert [last[at][0] for at in reminders] == ["user"]
    assert last[reminders[0] - 1][0] == "tool", "behind the result of the call"

    def hooks(path: str) -> list[Any]:
        return [each for each in received[1][told:] if each[0] == path]

    until(lambda: len(hooks("/api/ai-usage")) == 2, "each result is told")
    assert {body["toolName"] for _, _, body in hooks("/api/ai-usage")} == {"read", "bash"}
    assert hooks("/api/ai-usage")[0][1]["authorization"] == "Bearer YOUR_TRACKING_TOKEN"
    until(lambda: len(hooks("/v2/enqueue")) == 1, "the error is told")
    assert hooks("/v2/enqueue")[0][2]["error"] == f"upstream_error ({found[-1][0]})"

    def wrote() -> bool:
        return any('file={"path"' in line and "session=" in line for line in lines(log)[logged:])

    until(lambda: any("Production Deploy Detected" in line for line in lines(notices)[noticed:]), "the notice is there")
    until(wrote, "the file has the line")
    listed = {rule["id"]: rule for rule in ruled.json("rules", "list")}
    assert all(listed[rule["id"]]["fired"] >= 1 for rule in json.loads(EXAMPLES))
    assert {rule["source"] for rule in listed.values()} == {"hoody.jsonc"}
    uuid = next(each["id"] for each in ruled.json("containers", "list") if each["name"] == dev.name)
    assert replayed_as_it_was(ruled, uuid) >= 1


def test_rules_fire_on_what_a_real_agent_does(
    ruled: Installation, runtime: str, workspace: Path, provider: Provider, received: tuple[str, Any]
) -> None:
    if ruled.bawn("run", "--rm", "--runtime", runtime, "--", "sh", "-c", "command -v opencode").code != 0:
        pytest.skip("the image has no OpenCode: npm is not installed on this machine")
    box = ("--runtime", runtime, "--image", "agent", "--mount", str(workspace), "--workspace", "live", "--task", PROMPT)
    name = f"ruled-{runtime}"
    seen, told = len(provider.heard().splitlines()), len(received[1])
    said = ruled.done("run", "--name", name, *box, "--", "opencode", "run", PROMPT)
    assert REMINDER in said.out, "the scripted model says what it is told last"
    # Words without a space, of which OpenCode makes one sentence; others it puts into quotes.
    read = 'opencode run call read with "{\\"filePath\\":\\"$PWD/tally/mean.py\\"}"'
    ruled.done("containers", "start", name)
    said = ruled.done("exec", name, "--", "sh", "-c", read)
    assert "The tool read said:" in said.out
    firings = ruled.json("rules", "log", "--limit", "1000")
    uuid = next(each["id"] for each in ruled.json("containers", "list") if each["name"] == name)
    fired = {each["rule"] for each in firings if each["container"] == uuid}
    assert {"safety-guardrail", "json-enforcer", "cost-watchdog", "dev-context-inject", "file-access-log"} <= fired

    def hooks() -> list[Any]:
        return [body for path, _, body in received[1][told:] if path == "/api/ai-usage"]

    until(lambda: len(hooks()) >= 2, "each result of a tool is told")
    assert [body["toolName"] for body in hooks()] == ["bash", "read"]
    session = hooks()[-1]["sessionID"]
    log = ruled.home / "workers/rules/log/ai-file-access.log"

    def ended() -> list[Any]:
        logged = ruled.json("rules", "log", "--rule", "file-access-log")
        return [each for each in logged if each["session"] == session and each["effect"] not in ("", "shell")]

    until(ended, "the command ended", wait_s=60)
    assert [each["effect"] for each in ended()] == ["shell done"], ended()
    [line] = [line for line in lines(log) if f"session={session} " in line]
    at, _, file = line.partition(f" session={session} file=")
    assert datetime.fromisoformat(at).tzinfo is not None
    assert json.loads(file)["filePath"].endswith("/tally/mean.py")
    entries = (json.loads(each) for each in provider.heard().splitlines()[seen:])
    asked = [json.loads(entry["body"]) for entry in entries if "request" in entry]
    talk = [each["messages"] for each in asked if any(part["role"] == "tool" for part in each["messages"])]
    assert len(talk) >= 2
    for messages in talk:
        system = json.dumps([part for part in messages if part["role"] == "system"])
        assert system.count("CRITICAL: Never execute destructive commands") == 1
        assert system.count("You MUST respond in valid JSON") == 1
        reminders = [
            at for at, part in enumerate(messages) if part["role"] == "user" and REMINDER in str(part["content"])
        ]
        called = [call["function"]["name"] for part in messages for call in part.get("tool_calls") or ()]
        behind = ["tool"] if "bash" in called else []
        assert [messages[at - 1]["role"] for at in reminders] == behind, "behind the result of the command"
    assert replayed_as_it_was(ruled, uuid) >= 1
    ruled.done("containers", "delete", name)


def test_rules_are_added_tried_and_taken_away_by_the_command_line(
    ruled: Installation, dev: Container, tmp_path: Path
) -> None:
    rule = example("safety-guardrail", id="mine", action={"type": "block", "reason": "not today"})
    rule["trigger"] = {"event": "chat.message", "role": "user", "contentMatch": "stop here"}
    place, event = tmp_path / "rule.json", tmp_path / "event.json"
    place.write_text(json.dumps(rule))
    event.write_text(json.dumps({"event": "chat.message", "messageRole": "user", "messageContent": "stop here"}))
    ruled.done("rules", "add", str(place))
    assert "not today" in ruled.done("rules", "test", "--event", str(event)).out
    assert dev.ask("stop here")[0] == 403
    assert dev.ask("go on")[0] == 200
    ruled.done("rules", "disable", "mine")
    assert dev.ask("stop here")[0] == 200
    ruled.done("rules", "enable", "mine")
    assert dev.ask("stop here")[0] == 403
    ruled.done("rules", "delete", "mine")
    assert dev.ask("stop here")[0] == 200
    place.write_text('{"mitm": {"rules": [{}]}}')
    assert ruled.bawn("rules", "check", str(place)).code == 1


def test_a_pack_s_words_reach_the_model_until_it_is_removed(
    ruled: Installation, dev: Container, provider: Provider
) -> None:
    def system() -> str:
        assert dev.ask("hello", model="keyless/agent")[0] == 200
        last = [json.loads(line) for line in provider.heard().splitlines() if '"request"' in line][-1]
        return json.dumps([each for each in json.loads(last["body"])["messages"] if each["role"] == "system"])

    assert "Security, credentials:" not in system()
    added = ruled.done("rules", "add", "@security-directives")
    assert "security-directives:credentials" in added.out
    assert "was added already; nothing changed" in ruled.done("rules", "add", "@security-directives").err
    assert [pack["added"] for pack in ruled.json("rules", "packs") if pack["name"] == "security-directives"] == [True]
    assert system().count("Security, credentials:") == 1
    ruled.done("rules", "remove", "@security-directives")
    assert "Security, credentials:" not in system()
    assert ruled.bawn("rules", "remove", "@security-directives").code == 1


def test_a_command_runs_on_the_host_only_after_a_start_with_the_operator_s_word(
    planted: Planted, provider: Provider
) -> None:
    if reason := machine.lacking():
        pytest.skip(reason)
    made = Installation(machine.new_place())
    planted.places.append(made.place)
    user = pwd.getpwuid(os.geteuid()).pw_name
    made.config.write_text("profile: starter\n")
    written = made.place / "written"
    rule = {"id": "h", "trigger": {"event": "session.created"}}
    place = made.place / "rule.json"
    place.write_text(json.dumps({**rule, "action": {"type": "shell", "command": f"id -un > {written}", "host": True}}))
    try:
        made.up()
        box = made.box("dev", "bubblewrap", "host")
        assert "rules.host_user" in made.bawn("rules", "add", str(place)).err
        made.config.write_text(f"profile: starter\nrules: {{host_user: {user}}}\n")
        made.done("config", "reload")
        made.done("rules", "add", str(place))
        assert any("it takes a restart" in each for each in made.json("status")["degraded"])
        assert box.ask("one")[0] == 200
        until(lambda: "a change takes a restart" in str(made.json("rules", "list")[0]["failed"]), "it was refused")
        assert not written.exists()
        made.done("down")
        made.up()
        assert any(f"as {user}" in each for each in made.json("status")["unsafe"])
        made.done("containers", "start", "dev")
        assert box.ask("two")[0] == 200
        until(lambda: written.exists() and written.read_text() == f"{user}\n", "it ran")
        made.config.write_text("profile: starter\n")
        assert "state/rules.json" in made.bawn("config", "reload").err
    finally:
        end(made)


def test_roles_conditions_and_tags_hold_in_a_real_container(ruled: Installation, runtime: str, tmp_path: Path) -> None:
    on = {"event": "chat.message", "role": "user"}
    when = (
        'event.messageContent.contains("stop here") && event.containerRole == "planner" && "made" in event.operatorTags'
    )
    tells = {"type": "notification", "title": "told"}
    for rule in (
        {"id": "when", "trigger": on | {"when": when}, "action": {"type": "block", "reason": "not today"}},
        {"id": "made", "trigger": on | {"roles": ["plan*"], "tags": ["made"]}, "action": tells},
        {"id": "late", "trigger": on | {"tags": ["late"], "when": '!("late" in event.operatorTags)'}, "action": tells},
    ):
        place = tmp_path / f"{rule['id']}.json"
        place.write_text(json.dumps(rule))
        ruled.done("rules", "add", str(place))
    name = f"tagged-{runtime}"
    box = ("--name", name, "--runtime", runtime, "--image", "agent", "--role", "planner", "--tag", "made")
    assert ruled.done("run", *box, "--", "sh", "-c", "echo $BAWN_TAGS").out.strip() == "made"
    shown = next(each for each in ruled.json("containers", "list") if each["name"] == name)
    assert (shown["role"], shown["tags"]) == ("planner", ["made"])
    record = ruled.done("audit", "tail", "-n", "200").out
    [made_on_record] = [line for line in record.splitlines() if '"container.created"' in line and shown["id"] in line]
    assert '"planner"' in made_on_record
    assert '"made"' in made_on_record

    def fired(rule: str) -> int:
        log = ruled.json("rules", "log", "--rule", rule)
        return len([each for each in log if (each["container"], each["effect"]) == (shown["id"], "notification")])

    made = Container(ruled, name, runtime)
    assert made.found("use_tags", "go on") == [["go on", "go on"], "made"]
    assert (fired("made"), fired("late")) == (2, 0)
    assert made.found("use_tags", "stop here") == [[403, 403], "made"]
    program = (INSIDE / "use_tags.py").read_text()
    said = ruled.done("exec", name, "-e", "BAWN_TAGS=late", "--", "python3", "-c", program, "come back")
    assert json.loads(said.out.splitlines()[-1]) == [["come back", "come back"], "late"]
    assert fired("late") == 2, "named by what runs inside, through the packages' own variables"
    for id_ in ("when", "made", "late"):
        ruled.done("rules", "delete", id_)
    ruled.done("containers", "delete", name)


def test_a_session_that_a_real_agent_begins_has_the_tags_of_the_one_it_came_from(
    ruled: Installation, runtime: str, workspace: Path, tmp_path: Path
) -> None:
    if ruled.bawn("run", "--rm", "--runtime", runtime, "--", "sh", "-c", "command -v opencode").code != 0:
        pytest.skip("the image has no OpenCode: npm is not installed on this machine")
    for id_, more in (("each", {}), ("night", {"tags": ["night"]})):
        place = tmp_path / f"{id_}.json"
        on = {"event": "chat.message", "role": "user", **more}
        place.write_text(json.dumps({"id": id_, "trigger": on, "action": {"type": "notification", "title": id_}}))
        ruled.done("rules", "add", str(place))
    name = f"kin-{runtime}"
    box = ("--name", name, "--runtime", runtime, "--image", "agent", "--mount", str(workspace), "--workspace", "live")
    asked = 'call task with {"description": "look", "prompt": "hello", "subagent_type": "general"}'
    ruled.done("run", *box, "--", "opencode", "run", *asked.split(" "))
    uuid = ruled.get(name)["id"]

    def sessions(rule: str) -> list[str]:
        """In which it fired, the first one first."""
        log = ruled.json("rules", "log", "--rule", rule, "--limit", "1000")
        found = [each["session"] for each in log if (each["container"], each["effect"]) == (uuid, "notification")]
        return list(dict.fromkeys(reversed(found)))

    parent, child = (each for each in sessions("each") if each.startswith("ses_"))
    assert sessions("night") == []
    ruled.done("sessions", "tag", name, parent, "night")
    ruled.done("exec", name, "--", "opencode", "run", "--session", child, "and", "again")
    assert sessions("night") == [child]
    for id_ in ("each", "night"):
        ruled.done("rules", "delete", id_)
    ruled.done("containers", "delete", name)
