"""Webhooks, notices and commands of rules, whatever the other end does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.app.test_posting import posting, request, serving

from bawn.app.rule_acts import RuleActs
from bawn.app.rule_firings import CommandFailed
from bawn.enforcement.effects import Doing, Effects
from bawn.enforcement.settings import Rules
from bawn.enforcement.telling import LONGEST, body, environment, whole
from bawn.errors import Fault
from bawn.lines.line import Packet
from bawn.notify.notice import Notice
from bawn.rules.happening import Happening
from bawn.rules.model import EventName, Rule
from bawn.vault.secret import Secret

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Notices:
    def __init__(self) -> None:
        self.sent: list[Notice] = []

    async def send(self, notice: Notice, container: None, by: str) -> str:
        self.sent.append(notice)
        return "ntc"


class Vault:
    def __init__(self, secret: str = "") -> None:
        self.secret = secret

    def secret_for(self, name: str) -> Secret | None:
        assert name == "rules-webhook"
        return Secret(self.secret) if self.secret else None


def happening(event: EventName = EventName.TOOL_AFTER, **said: Any) -> Happening:
    return Happening(event, "ses_1", "dev", "shop", frozenset(["prod", "night"]), **said)


def doing(action: dict[str, Any], happened: Happening | None = None, id_: str = "r") -> Doing:
    rule = Rule.model_validate({"id": id_, "trigger": {"event": "tool.execute.after"}, "action": action})
    return Doing(rule, rule.action, happened or happening(tool="bash"), "uuid")  # type: ignore[arg-type]


def acts(secret: str = "", boxes: Callable[[], Any] | None = None, **said: Any) -> RuleActs:
    settings = Rules(**{"private_webhooks": ("127.0.0.1",), "webhook_seconds": 2, **said})
    made = RuleActs(lambda: settings, posting(), Notices(), boxes or (lambda: None), Vault(secret), Clock())  # type: ignore[arg-type]
    made.pause_s = 0.001
    return made


async def refused(acts: RuleActs, what: Doing) -> Fault:
    with pytest.raises(Fault) as caught:
        await acts.do(what)
    assert caught.value.code == "rule.failed"
    return caught.value


class Receiver:
    """Answers as it is told, the last answer again and again."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers) or [b"HTTP/1.1 204 No Content\r\n\r\n"]
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(int(length or 0)))
        writer.write(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
        await writer.drain()


async def test_a_webhook_tells_what_happened_in_the_documented_fields() -> None:
    receiver = Receiver()
    async with serving(receiver.talk) as url:
        await acts().do(doing({"type": "webhook", "url": f"{url}/hook?a=b", "headers": {"Authorization": "Bearer X"}}))
    [head], [told] = receiver.heads, receiver.bodies
    assert head.startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert b"\r\nauthorization: Bearer X\r\n" in head
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert b"x-bawn-signature" not in head
    assert json.loads(told) == {
        "event": "tool.execute.after",
        "sessionID": "ses_1",
        "sessionTitle": "",
        "tags": ["night", "prod"],
        "directory": "",
        "timestamp": "2030-01-01T12:00:00.000Z",
        "toolName": "bash",
        "messageRole": "",
    }


async def test_a_webhook_by_get_has_the_fields_in_its_address() -> None:
    receiver = Receiver()
    async with serving(receiver.talk) as url:
        await acts().do(doing({"type": "webhook", "url": f"{url}/hook", "method": "GET"}))
    assert receiver.heads[0].startswith(b"GET /hook?event=tool.execute.after&sessionID=ses_1")
    assert receiver.bodies == [b""]


async def test_an_error_is_told_with_its_reason() -> None:
    receiver = Receiver()
    failed = happening(EventName.SESSION_ERROR, error="upstream_error (500)")
    async with serving(receiver.talk) as url:
        await acts().do(doing({"type": "webhook", "url": url}, failed))
    assert json.loads(receiver.bodies[0])["error"] == "upstream_error (500)"


async def test_a_webhook_is_signed_with_its_time() -> None:
    receiver = Receiver()
    async with serving(receiver.talk) as url:
        await acts("s3cret").do(doing({"type": "webhook", "url": url}))
    head = receiver.heads[0].decode()
    at = head.partition("x-bawn-timestamp: ")[2].split("\r\n")[0]
    told = head.partition("x-bawn-signature: ")[2].split("\r\n")[0]
    expected = hmac.new(b"s3cret", f"{at}.".encode() + receiver.bodies[0], hashlib.sha256).hexdigest()
    assert told == f"sha256={expected}"


async def test_one_that_fails_for_a_while_is_tried_again_as_the_same_delivery() -> None:
    receiver = Receiver(
        b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", b"not http at all\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"
    )
    async with serving(receiver.talk) as url:
        await acts().do(doing({"type": "webhook", "url": url}))
    ids = {head.partition(b"x-bawn-delivery: ")[2].split(b"\r\n")[0] for head in receiver.heads}
    assert len(receiver.heads) == 3
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("answer", "times", "because"),
    [
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", 1, "it answered 302"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 1, "it answered 404"),
        (b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", 4, "it answered 503"),
        (b"garbage\r\n\r\n", 4, "upstream.broken"),
    ],
)
async def test_one_that_never_arrives_is_a_failure_with_its_reason(answer: bytes, times: int, because: str) -> None:
    receiver = Receiver(answer)
    async with serving(receiver.talk) as url:
        fault = await refused(acts(), doing({"type": "webhook", "url": url}))
    assert (len(receiver.heads), fault.cause) == (times, because)


async def test_one_that_is_slow_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        await asyncio.sleep(30)

    async with serving(silent) as url:
        fault = await refused(acts(webhook_seconds=0.1, webhook_attempts=2), doing({"type": "webhook", "url": url}))
    assert fault.cause == "upstream.timeout"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "10.0.0.1", "0x7f.1"])
async def test_what_is_not_public_is_refused_before_anything_is_sent(host: str) -> None:
    receiver = Receiver()
    async with serving(receiver.talk) as url:
        port = url.rpartition(":")[2]
        fault = await refused(acts(private_webhooks=()), doing({"type": "webhook", "url": f"http://{host}:{port}/"}))
    assert receiver.heads == []
    assert "public" in fault.sentence or fault.cause == "upstream.unreachable"


async def test_a_notice_has_the_words_of_its_rule() -> None:
    made = acts()
    await made.do(doing({"type": "notification", "title": "Look", "body": "here"}))
    assert made._notices.sent == [Notice("Look", "here")]  # type: ignore[attr-defined]


class Boxes:
    """A supervisor whose boxes do what `becomes` says with what they are told."""

    def __init__(self, becomes: Callable[[dict[str, Any]], bytes]) -> None:
        self._becomes = becomes
        self.asked: list[str] = []
        self.told: list[dict[str, Any]] = []
        self.fields: dict[str, Any] = {}

    async def ask(self, do: str, **fields: Any) -> Packet:
        self.asked.append(do)
        self.fields = fields if do == "rule.run" else self.fields
        if do != "rule.run":
            return Packet({"ok": True})
        ours, theirs = socket.socketpair()
        self._task = asyncio.create_task(self._serve(theirs))
        return Packet({"ok": True}, (ours.detach(),))

    async def _serve(self, end: Any) -> None:
        reader, writer = await asyncio.open_connection(sock=end)
        said = json.loads(await reader.read())
        self.told.append(said)
        writer.write(self._becomes(said))
        writer.close()


async def test_a_command_is_given_the_event_and_its_own_words_unchanged() -> None:
    boxes = Boxes(lambda said: b'{"code": 0, "output": "", "failed": ""}')
    nasty = happening(tool="read", tool_input='{"path": "$(rm -rf /); `x`"}')
    command = 'echo "$MITM_TOOL_INPUT" >> /var/log/x'
    await acts(boxes=lambda: boxes).do(doing({"type": "shell", "command": command, "timeoutSeconds": 7}, nasty))
    [said] = boxes.told
    assert said["command"] == command
    assert said["env"]["MITM_TOOL_INPUT"] == nasty.tool_input
    assert json.loads(said["stdin"])["toolInput"] == nasty.tool_input
    assert said["seconds"] == 7
    assert boxes.asked == ["rule.run", "rule.stop"]


async def test_a_command_on_the_host_names_the_user_of_the_configuration_or_is_not_asked_for() -> None:
    boxes = Boxes(lambda said: b'{"code": 0, "output": "", "failed": ""}')
    hosted = {"type": "shell", "command": "true", "host": True}
    await acts(boxes=lambda: boxes, host_user="runner").do(doing(hosted))
    assert boxes.fields["host"] == "runner"
    await acts(boxes=lambda: boxes, host_user="runner").do(doing({**hosted, "host": False}))
    assert "host" not in boxes.fields
    fault = await refused(acts(boxes=lambda: boxes), doing(hosted))
    assert fault.cause == "rules.host_user names nobody"
    long = doing(hosted, happening(tool="read", tool_output="\0" * (7 << 20)))
    fault = await refused(acts(boxes=lambda: boxes, host_user="runner"), long)
    assert fault.cause == "what happened is too long to tell it"
    assert boxes.asked.count("rule.run") == 2


@pytest.mark.parametrize(
    ("result", "because"),
    [
        (b'{"code": 127, "output": "sh: x: not found", "failed": ""}', "it ended with status 127"),
        (b'{"code": null, "output": "", "failed": "it took longer than 1 s"}', "it took longer than 1 s"),
        (b"", "it was ended"),
        (b"[]", "it was ended"),
    ],
)
async def test_a_command_that_fails_is_told_with_the_reason(result: bytes, because: str) -> None:
    boxes = Boxes(lambda said: result)
    fault = await refused(acts(boxes=lambda: boxes), doing({"type": "shell", "command": "x"}))
    assert fault.cause == because


def test_variables_are_cut_and_have_no_zero_byte_while_the_input_is_whole() -> None:
    long = happening(tool_output="\0é" * 200_000, text="x")
    value = environment(long)["MITM_TOOL_OUTPUT"]
    assert "\0" not in value
    assert LONGEST - 2 <= len(value.encode()) <= LONGEST
    assert whole(long, NOON)["toolOutput"] == long.tool_output


def test_what_is_not_known_is_empty() -> None:
    told = environment(happening(EventName.SESSION_CREATED))
    assert set(told) == {
        *("MITM_EVENT", "MITM_SESSION_ID", "MITM_SESSION_TITLE", "MITM_TAGS", "MITM_DIRECTORY", "MITM_PROJECT_ID"),
        *("MITM_TOOL_NAME", "MITM_TOOL_INPUT", "MITM_TOOL_OUTPUT", "MITM_MESSAGE_ROLE", "MITM_MESSAGE_CONTENT"),
        "MITM_ERROR_MESSAGE",
    }
    assert {name: value for name, value in told.items() if value} == {
        "MITM_EVENT": "session.created",
        "MITM_SESSION_ID": "ses_1",
        "MITM_TAGS": "night,prod",
        "MITM_PROJECT_ID": "shop",
    }
    assert "error" not in body(happening(EventName.SESSION_CREATED), NOON)


async def test_a_rule_whose_receiver_hangs_holds_up_no_other() -> None:
    done: list[str] = []
    open_ = asyncio.Event()

    async def do(what: Doing) -> None:
        if what.rule.id == "slow":
            await open_.wait()
        done.append(what.rule.id)

    ended: list[str] = []
    effects = Effects(
        do, lambda what, fault, seconds: ended.append(f"{what.rule.id} {fault is None}"), Clock().monotonic
    )
    notify = {"type": "notification", "title": "x"}
    for _ in range(1020):
        effects.add(doing(notify, id_="slow"))
    effects.add(doing(notify, id_="quick"))
    await asyncio.sleep(0.01)
    assert done == ["quick"]
    assert ended.count("slow False") >= 10, "those without room are told at once"
    open_.set()
    await effects.settled()
    assert done.count("slow") + ended.count("slow False") == 1020


async def test_commands_of_a_rule_run_in_the_order_of_what_happened() -> None:
    done: list[str] = []

    async def do(what: Doing) -> None:
        await asyncio.sleep(0.002 if what.happened.tool == "0" else 0)
        done.append(what.happened.tool)

    effects = Effects(do, lambda what, fault, seconds: None, Clock().monotonic)
    for at in range(5):
        effects.add(doing({"type": "shell", "command": "x"}, happening(tool=str(at))))
    await effects.settled()
    assert done == list("01234")


async def test_what_is_not_done_at_the_end_is_told() -> None:
    async def do(what: Doing) -> None:
        await asyncio.sleep(30)

    ended: list[str] = []
    effects = Effects(do, lambda what, fault, seconds: ended.append(fault.code if fault else ""), Clock().monotonic)
    for _ in range(6):
        effects.add(doing({"type": "notification", "title": "x"}))
    await asyncio.sleep(0)
    await effects.stop()
    assert ended == ["rule.failed"] * 6


@pytest.mark.parametrize("endless", [b"garbage", b"HTTP/1.1 200 OK\r\nx: y", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_one_that_answers_without_end_is_given_up(endless: bytes) -> None:
    async def talks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        while True:
            writer.write(endless * 1000)
            await writer.drain()

    async with serving(talks) as url:
        began = asyncio.get_running_loop().time()
        fault = await refused(acts(webhook_seconds=0.3, webhook_attempts=2), doing({"type": "webhook", "url": url}))
        assert asyncio.get_running_loop().time() - began < 5
    assert fault.cause in ("upstream.broken", "upstream.timeout")


async def test_one_that_drips_is_given_up_in_its_time() -> None:
    async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        for byte in b"HTTP/1.1 200 OK\r\n" * 100:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    async with serving(drips) as url:
        fault = await refused(acts(webhook_seconds=0.2, webhook_attempts=1), doing({"type": "webhook", "url": url}))
    assert fault.cause == "upstream.timeout"


@pytest.mark.parametrize(
    "answers",
    [["93.184.216.34", "127.0.0.1"], ["::ffff:10.0.0.1"], ["64:ff9b::a00:1"], ["169.254.169.254"], ["fe80::1"], []],
)
async def test_a_name_of_which_any_address_is_not_public_is_refused(
    monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    async def lookup(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET6 if ":" in each else socket.AF_INET, 1, 6, "", (each, 80)) for each in answers]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
    fault = await refused(acts(private_webhooks=()), doing({"type": "webhook", "url": "http://rebinds.example/"}))
    assert "public" in fault.sentence


async def test_a_name_is_looked_up_once_and_what_was_found_is_what_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    receiver = Receiver()

    async def lookup(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        # Public when it is looked at, this machine when anybody looks again.
        return [(socket.AF_INET, 1, 6, "", ("93.184.216.34" if len(asked) == 1 else "127.0.0.1", port))]

    async with serving(receiver.talk) as url:
        made = acts(private_webhooks=(), webhook_seconds=0.3, webhook_attempts=1)
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
        taken: list[Any] = []

        async def take(origin: Any, *, fresh: bool = False) -> Any:
            taken.append(origin.at)
            raise Fault("upstream.unreachable", "no")

        monkeypatch.setattr(made._posting._pool, "take", take)
        port = url.rpartition(":")[2]
        await refused(made, doing({"type": "webhook", "url": f"http://rebinds.example:{port}/"}))
    assert (asked, taken, receiver.heads) == (["rebinds.example"], ["93.184.216.34"], [])


async def test_what_a_failed_command_said_is_short_on_record() -> None:
    long = json.dumps({"code": None, "output": "y" * 100_000, "failed": "x" * 100_000}).encode()
    fault = await refused(acts(boxes=lambda: Boxes(lambda said: long)), doing({"type": "shell", "command": "x"}))
    assert isinstance(fault, CommandFailed)
    assert (fault.cause, fault.printed) == ("x" * 300, "y" * 300)
