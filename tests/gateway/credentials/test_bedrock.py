"""Keys of AWS sign the exact request and are not sent."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.gateway.credentials.conftest import (
    AWS,
    NOON,
    Ground,
    compiled,
    put_on,
)

from bawn.errors import Fault
from bawn.gateway.asking import ask
from bawn.gateway.settings import ProviderKind
from bawn.gateway.sigv4 import ToSign, aws_key, signed


async def test_a_key_of_aws_signs_the_exact_request_and_is_not_sent(ground: Ground) -> None:
    ground.held.hold("p", AWS)
    address = compiled(ProviderKind.BEDROCK, region="eu-central-1")
    path, body = "/model/anthropic.claude-v2%3A1/converse", b'{"messages":[]}'
    added = put_on(ground.ring.take(address), path, body)
    key = aws_key(AWS)
    assert key is not None
    headers = (("content-type", "application/json"), ("host", "bedrock-runtime.eu-central-1.amazonaws.com"))
    assert added == dict(signed(ToSign("POST", path, "", headers, body), key, "eu-central-1", "bedrock", NOON))
    assert "wJalr" not in str(added)
    other = put_on(ground.ring.take(address), path, body + b" ")
    assert other["authorization"] != added["authorization"]


async def test_a_temporary_key_of_aws_sends_its_session_which_never_comes_back(ground: Ground) -> None:
    ground.held.hold("p", f"{AWS}:session-token-0123456789")
    key = ground.ring.take(compiled(ProviderKind.BEDROCK, region="eu-central-1"))
    assert put_on(key)["x-amz-security-token"] == "session-token-0123456789"
    assert key.secret == b"session-token-0123456789"


async def test_an_api_key_of_bedrock_is_sent_as_it_stands(ground: Ground) -> None:
    ground.held.hold("p", "ABSK-0123456789")
    key = ground.ring.take(compiled(ProviderKind.BEDROCK, region="eu-central-1"))
    assert put_on(key) == {"authorization": "Bearer ABSK-0123456789"}


async def test_what_is_sent_in_parts_cannot_be_signed(ground: Ground) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x"

    ground.held.hold("p", AWS)
    key = ground.ring.take(compiled(ProviderKind.BEDROCK, region="eu-central-1"))
    with pytest.raises(Fault, match="signed whole"):
        key.put_on([b""], "POST", "/x", parts())


async def test_the_scripted_model_answers_where_bedrock_would(ground: Ground, scripted: Path) -> None:
    origin = f"http://{(scripted / 'address').read_text()}"
    ground.held.hold("p", AWS)
    address = compiled(ProviderKind.BEDROCK, region="eu-central-1", base_url=origin)
    path = "/model/echo/converse"
    body = json.dumps({"messages": [{"role": "user", "content": [{"text": "hello"}]}]}).encode()
    lines = [b"POST %b HTTP/1.1\r\nhost: %b" % (path.encode(), address.origin.authority.encode())]
    lines.append(b"content-length: %d" % len(body))
    ground.ring.take(address).put_on(lines, "POST", path, body)
    told = await ask(ground.pool, time.monotonic, address.origin, b"\r\n".join(lines) + b"\r\n\r\n", body)
    assert told.status == 200
    assert json.loads(told.body)["output"]["message"]["content"] == [{"text": "hello"}]
