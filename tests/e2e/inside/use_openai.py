"""The official `openai` package, told nothing: it finds everything in its environment."""

import asyncio
import json
from typing import Any

import openai

TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
ASK: Any = {"role": "user", "content": 'Please call weather with {"city": "Gaillimh"}'}
HELLO: Any = {"role": "user", "content": "Dia duit, a chara"}


def finish(first: Any) -> list[Any]:
    """The conversation after the tool was used."""
    call = first.tool_calls[0]
    city = json.loads(call.function.arguments)["city"]
    return [ASK, first, {"role": "tool", "tool_call_id": call.id, "content": f"rain in {city}"}]


def plain(client: openai.OpenAI) -> dict[str, object]:
    answer = client.chat.completions.create(model="scripted/echo", messages=[HELLO])
    stream = client.chat.completions.create(
        model="scripted/echo", messages=[HELLO], stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    first = client.chat.completions.create(model="default", messages=[ASK], tools=[TOOL]).choices[0].message
    last = client.chat.completions.create(model="default", messages=finish(first), tools=[TOOL])
    vectors = client.embeddings.create(model="scripted/embed", input=["a", "b"]).data
    return {
        "plain": answer.choices[0].message.content,
        "usage": answer.usage.total_tokens if answer.usage else 0,
        "streamed": "".join(c.choices[0].delta.content or "" for c in chunks if c.choices),
        "streamed_usage": sum(c.usage is not None for c in chunks),
        "tool": last.choices[0].message.content,
        "vectors": len(vectors),
        "models": [model.id for model in client.models.list()],
    }


async def at_once() -> dict[str, object]:
    async with openai.AsyncOpenAI(max_retries=0) as client:
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(
                    model="scripted/echo", messages=[{"role": "user", "content": f"number {n}"}]
                )
                for n in range(8)
            )
        )
        async with client.chat.completions.stream(model="default", messages=[ASK], tools=[TOOL]) as stream:
            message = (await stream.get_final_completion()).choices[0].message
        last = await client.chat.completions.create(model="default", messages=finish(message), tools=[TOOL])
    return {
        "async": [answer.choices[0].message.content for answer in answers],
        "async_tool": last.choices[0].message.content,
    }


def refused() -> dict[str, object]:
    with openai.OpenAI(api_key="container-of-somebody-else", max_retries=0) as other:
        try:
            other.chat.completions.create(model="scripted/echo", messages=[HELLO])
        except openai.AuthenticationError as error:
            return {"refused": error.status_code, "code": error.code}
    return {"refused": 0}


with openai.OpenAI(max_retries=0) as client:
    found = plain(client)
print(json.dumps(found | asyncio.run(at_once()) | refused()))
