"""What stays as it was where a chain answers, as clients and official packages see it."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest
from tests.gateway.conftest import UUID, until
from tests.gateway.failover.conftest import IMPATIENT, Chained, posted, read
from tests.gateway.host import CHAT_ANSWER, host, said
from tests.gateway.judges import NEVER
from tests.gateway.test_faults import call
from tests.gateway.test_interception import CALLED, Speaks
from tests.gateway.test_interception import WIRES as SPEAKS

from bawn.gateway.settings import Interception, ProviderKind, Withheld

# what stays as it was


async def test_a_model_without_a_chain_has_one_try(chained: Chained) -> None:
    yard = await chained()
    async with yard.client() as client:
        answer = await client.post(
            "/v1/chat/completions", json={"model": "second/fault-500", "messages": [{"role": "user", "content": "x"}]}
        )
    assert answer.status_code == 500
    assert "x-bawn-attempts" not in answer.headers
    assert yard.record.of("attempt.settled") == []


async def test_a_provider_does_not_say_who_served(tried: Any) -> None:
    async with host(lambda heard: said(CHAT_ANSWER, x_bawn_served_by="me")) as first:
        answer = await posted(await tried(first.url))
    assert answer.headers.get_list("x-bawn-served-by") == ["first/m"]


async def test_a_name_of_a_model_puts_no_line_into_the_head(tried: Any) -> None:
    async with host() as first:
        answer = await posted(await tried(first.url), "first/m\r\nx-injected: yes")
    assert "x-injected" not in answer.headers
    assert answer.headers["x-bawn-served-by"] == "first/m??x-injected: yes"


async def test_thoughts_are_seen_and_not_held(chained: Chained) -> None:
    yard = await chained()
    async with yard.client() as client, client.stream("POST", **call("thinks", "messages", stream=True)) as answer:
        received, whole = await read(answer)
    assert whole
    assert b"thinking_delta" in received
    assert received.count(b"event: message_start") == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("speaks", SPEAKS, ids=[each.wire.value for each in SPEAKS])
async def test_the_gate_judges_what_the_next_provider_calls_and_the_model_is_told_there(
    chained: Chained, speaks: Speaks, stream: bool
) -> None:
    first = speaks.asking(CALLED, stream)
    asked = json.loads(json.dumps(first).replace("scripted/agent", "scripted/fault-close-after-headers"))
    yard = await chained(
        chain=("second/agent",), judges=(NEVER,), interception=Interception(withheld=Withheld.FEEDBACK)
    )
    async with yard.client() as client:
        answer = await client.post(**asked)
    assert answer.status_code == 200, answer.text
    assert "never" in answer.text, "the model was told, and says so"
    assert yard.record.of("tool.released") == []
    assert len(yard.record.of("tool.withheld")) == 1
    told = [event for event in yard.record.of("call.opened") if ("told", "of a refused call") in event.detail]
    assert [event.provider for event in told] == ["second"]
    await until(lambda: yard.ledger.running(UUID) == 0)


# as official packages see it


async def test_the_package_of_openai_gets_a_stream_of_one_provider(chained: Chained) -> None:
    yard = await chained(second=ProviderKind.ANTHROPIC, timeouts=IMPATIENT)
    client = openai.AsyncOpenAI(base_url=f"{yard.url}/v1", api_key="container-dev", max_retries=0)
    text, roles = "", 0
    stream = await client.chat.completions.create(
        model="scripted/cut-early", messages=[{"role": "user", "content": "hello there"}], stream=True
    )
    async for chunk in stream:
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
            roles += chunk.choices[0].delta.role is not None
    assert (text, roles) == ("hello there", 1)
    await client.close()


async def test_the_package_of_anthropic_gets_a_message_of_one_provider(chained: Chained) -> None:
    yard = await chained(second=ProviderKind.OPENAI_COMPATIBLE, timeouts=IMPATIENT)
    client = anthropic.AsyncAnthropic(base_url=yard.url, api_key="container-dev", max_retries=0)
    async with client.messages.stream(
        model="scripted/stall-early", max_tokens=50, messages=[{"role": "user", "content": "hello there"}]
    ) as stream:
        message = await stream.get_final_message()
    assert [block.text for block in message.content if block.type == "text"] == ["hello there"]
    await client.close()


async def test_an_official_package_knows_the_error_when_nobody_answers(chained: Chained) -> None:
    yard = await chained(chain=("second/fault-529",))
    client = anthropic.AsyncAnthropic(base_url=yard.url, api_key="container-dev", max_retries=0)
    with pytest.raises(anthropic.APIStatusError) as error:
        await client.messages.create(
            model="scripted/fault-500", max_tokens=50, messages=[{"role": "user", "content": "hello"}]
        )
    assert error.value.status_code == 529
    assert json.loads(error.value.response.content)["error"]["type"] == "overloaded_error"
    await client.close()
