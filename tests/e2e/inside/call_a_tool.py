"""Has the model call a tool, plain and streamed, tells it the tool's result, and prints the calls as they came."""

import json
import os
import sys
from typing import Any

from openai import OpenAI

url, tool, arguments = sys.argv[1:]
client = OpenAI(base_url=url, api_key=os.environ["OPENAI_API_KEY"], max_retries=0)
tools: Any = [{"type": "function", "function": {"name": tool, "parameters": {"type": "object", "properties": {}}}}]
messages: Any = [{"role": "user", "content": f"call {tool} with {arguments}"}]
plain = client.chat.completions.create(model="scripted/agent", messages=messages, tools=tools).choices[0].message
with client.chat.completions.stream(model="scripted/agent", messages=messages, tools=tools) as stream:
    streamed = stream.get_final_completion().choices[0].message
calls: Any = [(message.tool_calls or [])[0] for message in (plain, streamed)]
messages += [plain.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": calls[0].id, "content": "done"}]
client.chat.completions.create(model="scripted/agent", messages=messages, tools=tools)
print(json.dumps([[call.function.name, json.loads(call.function.arguments)] for call in calls]))
