"""What leaves a container, from inside a real one to a server that writes down what reaches it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e import machine
from tests.e2e.conftest import end
from tests.e2e.installation import Container, Installation, free_port, until
from tests.e2e.outside import FAR, InstallationInside, Outside, lacking, outside

CONFIG = """\
profile: starter
api: {port: %d}
egress:
  containers:
    walled:
      - {host: api.example, methods: [GET], paths: [/v1/], credential: forge}
  credentials:
    forge: {host: api.example, header: authorization, containers: [walled]}
"""
SECRET = "real-0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Outside, Installation]]:
    if reason := "not root" if os.geteuid() != 0 else lacking() or machine.lacking():
        pytest.skip(reason)
    place = machine.new_place()
    place.chmod(0o755)
    with outside(place) as far:
        yard = InstallationInside(place, near=far.near)
        yard.config.write_text(CONFIG % free_port())
        try:
            yard.up()
            yard.done("credentials", "add", "forge", stdin=SECRET)
            yield far, yard
        finally:
            end(yard)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def yard(world: tuple[Outside, Installation]) -> Installation:
    return world[1]


@pytest.fixture
def far(world: tuple[Outside, Installation]) -> Outside:
    world[0].forget()
    return world[0]


@pytest.fixture(scope="module")
def walled(yard: Installation) -> Iterator[Container]:
    box = yard.box("walled", "bubblewrap", "host")
    yield box
    yard.bawn("containers", "delete", box.name)


def curl(box: Container, *words: str) -> tuple[int, str]:
    said = box.bawn("curl", "-sS", "--max-time", "20", *words)
    return said.code, said.out + said.err


def grant(yard: Installation, box: str, rule: str) -> None:
    for each in yard.json("egress", "list", box):
        if each["id"] is not None:
            yard.done("egress", "remove", box, str(each["id"]))
    if rule:
        yard.done("egress", "allow", box, rule)


def test_nothing_leaves_until_it_is_allowed_and_the_refusal_says_why(
    yard: Installation, walled: Container, far: Outside
) -> None:
    grant(yard, "walled", "")
    code, said = curl(walled, "http://allowed.example/")
    assert code == 0
    refusal = json.loads(said)["error"]
    assert refusal["code"] == "egress.not_allowed"
    assert "pointless" in json.dumps(refusal)
    code, said = curl(walled, "https://allowed.example/")
    assert code != 0
    assert "403" in said
    assert far.seen() == []


def test_what_an_operator_allows_is_reached_and_nothing_beside_it(
    yard: Installation, walled: Container, far: Outside
) -> None:
    grant(yard, "walled", "allowed.example:443")
    code, said = curl(walled, "https://allowed.example/hello")
    assert (code, json.loads(said)["path"]) == (0, "/hello")
    for other in ("https://other.example/", "http://allowed.example/", f"https://{FAR}/", "https://api.example:444/"):
        assert curl(walled, other)[0] != 0 or "egress." in curl(walled, other)[1]
    until(lambda: len(far.seen()) == 1, "the far end has written it down")
    assert far.seen()[0]["names"] == ["allowed.example"]


def test_another_name_in_the_tls_greeting_does_not_pass(yard: Installation, walled: Container, far: Outside) -> None:
    grant(yard, "walled", "allowed.example:443")
    code, _ = curl(walled, "--connect-to", "cdn.example:443:allowed.example:443", "https://cdn.example/")
    assert code != 0
    assert far.seen() == [] or far.seen()[0]["names"] == []
    denied = yard.json("egress", "log", "walled", "--denied")
    assert denied[0]["code"] == "egress.sni_mismatch"


def test_a_grant_that_is_taken_back_ends_what_stands_by_it(yard: Installation, walled: Container, far: Outside) -> None:
    grant(yard, "walled", "allowed.example:443")
    program = (
        "import socket,ssl,sys,time\n"
        "s=socket.create_connection(('127.0.0.3',3128))\n"
        "s.sendall(b'CONNECT allowed.example:443 HTTP/1.1\\r\\nhost: allowed.example:443\\r\\n\\r\\n')\n"
        "assert b' 200 ' in s.recv(4096)\n"
        "c=ssl.create_default_context(); t=c.wrap_socket(s,server_hostname='allowed.example')\n"
        "print('\"stands\"',flush=True)\n"
        "t.settimeout(20)\n"
        "try:\n    print('\"ended\"' if not t.recv(1) else '\"data\"',flush=True)\n"
        "except (ConnectionError,ssl.SSLError): print('\"ended\"',flush=True)\n"
        "except TimeoutError: print('\"timeout\"',flush=True)\n"
    )
    walled.bawn("sh", "-c", 'exec setsid -f python3 -c "$1" </dev/null >/tmp/stands 2>&1', "stands", program)
    until(lambda: walled.left("stands") == ["stands"], "the tunnel stands")
    grant(yard, "walled", "")
    until(lambda: len(walled.left("stands")) == 2, "the tunnel ended")
    assert walled.left("stands")[1] == "ended"


def test_a_credential_is_put_in_at_the_door_and_never_comes_back(
    yard: Installation, walled: Container, far: Outside
) -> None:
    (listed,) = yard.json("credentials", "list")
    placeholder = listed["placeholders"]["walled"]
    assert walled.sh("echo $BAWN_CREDENTIAL_FORGE").out.strip() == placeholder
    code, said = curl(walled, "-H", f"Authorization: Bearer {placeholder}", "https://api.example/v1/me")
    assert code == 0, said
    assert SECRET not in said
    until(lambda: bool(far.seen()), "the far end has written it down")
    assert f"Bearer {SECRET}" in str(far.seen()[0]["heads"])
    far.forget()
    for words in (
        ["-H", f"Authorization: Bearer {placeholder}", "https://api.example/other"],
        ["-X", "DELETE", "-H", f"Authorization: Bearer {placeholder}", "https://api.example/v1/me"],
        ["-H", f"X-Else: {placeholder}", "https://api.example/v1/me"],
        ["-H", "Host: cdn.example", "https://api.example/v1/me"],
    ):
        assert "egress." in curl(walled, *words)[1], words
    assert SECRET not in str(far.seen())


def test_the_denials_are_listed_and_lead_to_a_proposal_that_is_not_applied(
    yard: Installation, walled: Container, far: Outside
) -> None:
    grant(yard, "walled", "")
    curl(walled, "https://other.example/")
    until(lambda: yard.json("egress", "log", "walled", "--denied")[0]["host"] == "other.example", "it is listed")
    assert any(each["rule"].startswith("other.example") for each in yard.json("egress", "suggest", "walled"))
    assert curl(walled, "https://other.example/")[0] != 0
    refusal = yard.json("why", "walled")[0]
    assert refusal["code"] == "egress.not_allowed"
    assert "bawn egress allow walled other.example:443" in refusal["remedy"]
    assert far.seen() == []


def test_a_proxy_that_died_comes_back_with_every_rule(yard: Installation, walled: Container, far: Outside) -> None:
    grant(yard, "walled", "allowed.example:443")
    before = yard.kill("egress")
    until(lambda: yard.bawn("status").code == 0 and yard.pid("egress") != before, "another proxy")
    until(lambda: curl(walled, "https://allowed.example/again")[0] == 0, "it lets through again")
    until(lambda: curl(walled, "https://api.example/v1/x")[0] == 0, "its new authority is trusted inside")


def test_the_door_is_walled_while_there_is_no_gateway(yard: Installation, walled: Container, far: Outside) -> None:
    grant(yard, "walled", "allowed.example:443")
    gateway = yard.pid("gateway")
    yard.kill("gateway")
    until(lambda: yard.bawn("status").code == 0 and yard.pid("gateway") != gateway, "another gateway")
    until(lambda: curl(walled, "https://allowed.example/")[0] == 0, "what was granted is granted still")


def test_every_passage_is_on_record_before_it_happened(yard: Installation, walled: Container, far: Outside) -> None:
    grant(yard, "walled", "allowed.example:443")
    assert curl(walled, "https://allowed.example/recorded")[0] == 0
    passed = next(each for each in yard.json("egress", "log", "walled") if each["event"] == "egress.opened")
    text = Path(yard.home, "audit", "audit.jsonl").read_text()
    assert passed["record"] in text
    assert SECRET not in text
