"""The official `anthropic` package, told nothing: it finds everything in its environment."""

import asyncio
import json
from typing import Any

import anthropic

TOOL: Any = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
ASK: Any = {"role": "user", "content": 'Please call weather with {"city": "Gaillimh"}'}
HELLO: Any = {"role": "user", "content": "Dia duit, a chara"}


def finish(first: Any) -> list[Any]:
    """The conversation after the tool was used."""
    use = next(block for block in first.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": use.id, "content": f"rain in {use.input['city']}"}
    return [ASK, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]


def text(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def plain(client: anthropic.Anthropic) -> dict[str, object]:
    answer = client.messages.create(model="scripted/echo", max_tokens=100, messages=[HELLO])
    with client.messages.stream(model="scripted/echo", max_tokens=100, messages=[HELLO]) as stream:
        streamed = "".join(stream.text_stream)
        whole = stream.get_final_message()
    first = client.messages.create(model="default", max_tokens=100, messages=[ASK], tools=[TOOL])
    last = client.messages.create(model="default", max_tokens=100, messages=finish(first), tools=[TOOL])
    counted = client.messages.count_tokens(model="scripted/echo", messages=[HELLO])
    return {
        "plain": text(answer),
        "usage": answer.usage.output_tokens,
        "streamed": streamed,
        "streamed_usage": whole.usage.output_tokens,
        "tool": text(last),
        "counted": counted.input_tokens,
    }


async def at_once() -> dict[str, object]:
    async with anthropic.AsyncAnthropic(max_retries=0) as client:
        answers = await asyncio.gather(
            *(
                client.messages.create(
                    model="scripted/echo", max_tokens=100, messages=[{"role": "user", "content": f"number {n}"}]
                )
                for n in range(8)
            )
        )
        async with client.messages.stream(model="default", max_tokens=100, messages=[ASK], tools=[TOOL]) as stream:
            first = await stream.get_final_message()
        last = await client.messages.create(model="default", max_tokens=100, messages=finish(first), tools=[TOOL])
    return {"async": [text(answer) for answer in answers], "async_tool": text(last)}


def refused() -> dict[str, object]:
    with anthropic.Anthropic(api_key="container-of-somebody-else", max_retries=0) as other:
        try:
            other.messages.create(model="scripted/echo", max_tokens=100, messages=[HELLO])
        except anthropic.AuthenticationError as error:
            return {"refused": error.status_code}
    return {"refused": 0}


with anthropic.Anthropic(max_retries=0) as client:
    found = plain(client)
print(json.dumps(found | asyncio.run(at_once()) | refused()))
