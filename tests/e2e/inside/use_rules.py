"""A short conversation with a tool by the official package: asks, runs what it is told to, sends the result, asks on."""

import json
import os
import sys
from typing import Any

from openai import APIStatusError, OpenAI

url, provider = "http://ai.bawn.internal/api/v1", sys.argv[1]
client = OpenAI(base_url=url, api_key=os.environ["OPENAI_API_KEY"], max_retries=0)
schema = {"type": "object", "properties": {"path": {"type": "string"}}}
tools: Any = [{"type": "function", "function": {"name": name, "parameters": schema}} for name in ("bash", "read")]
messages: list[Any] = [{"role": "system", "content": "You are an agent."}]
said: list[Any] = []
for text in ('call read with {"path": "/srv/a"}', 'call bash with {"command": "ls"}', "let us deploy it to prod"):
    messages.append({"role": "user", "content": text})
    while True:
        try:
            answer = (
                client.chat.completions.create(model=f"{provider}/agent", messages=messages, tools=tools)
                .choices[0]
                .message
            )
        except APIStatusError as error:
            said.append([error.status_code, error.message])
            messages.pop()
            break
        messages.append(answer.model_dump(exclude_none=True))
        said.append(answer.content)
        if not answer.tool_calls:
            break
        ids = [call.id for call in answer.tool_calls]
        messages += [{"role": "tool", "tool_call_id": id_, "content": "found nothing"} for id_ in ids]
try:
    client.chat.completions.create(model=f"{provider}/fault-500", messages=[{"role": "user", "content": "fail"}])
except APIStatusError as error:
    said.append([error.status_code, error.message])
print(json.dumps(said))
