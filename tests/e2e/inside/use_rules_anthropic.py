"""The conversation of `use_rules` by the other official package."""

import json
import os
import sys
from typing import Any

from anthropic import Anthropic, APIStatusError

provider = sys.argv[1]
client = Anthropic(base_url=os.environ["ANTHROPIC_BASE_URL"], api_key=os.environ["ANTHROPIC_API_KEY"], max_retries=0)
schema = {"type": "object", "properties": {"path": {"type": "string"}}}
tools: Any = [{"name": name, "input_schema": schema} for name in ("bash", "read")]
messages: list[Any] = []
said: list[Any] = []
for text in ('call read with {"path": "/srv/a"}', 'call bash with {"command": "ls"}', "let us deploy it to prod"):
    messages.append({"role": "user", "content": text})
    while True:
        answer = client.messages.create(
            model=f"{provider}/agent", max_tokens=1000, system="You are an agent.", messages=messages, tools=tools
        )
        messages.append(
            {"role": "assistant", "content": [part.model_dump(exclude_none=True) for part in answer.content]}
        )
        said.append("".join(part.text for part in answer.content if part.type == "text"))
        ids = [part.id for part in answer.content if part.type == "tool_use"]
        if not ids:
            break
        results = [{"type": "tool_result", "tool_use_id": id_, "content": "found nothing"} for id_ in ids]
        messages.append({"role": "user", "content": results})
try:
    fail: Any = [{"role": "user", "content": "fail"}]
    client.messages.create(model=f"{provider}/fault-500", max_tokens=10, messages=fail)
except APIStatusError as error:
    said.append([error.status_code, error.message])
print(json.dumps(said))
