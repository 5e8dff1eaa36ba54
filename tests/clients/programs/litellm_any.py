"""LiteLLM as a client, by the provider that is named: `openai`, `anthropic` or `gemini`."""

import json
import os
import sys

import litellm

HELLO = {"role": "user", "content": "Dia duit, a chara"}
ASK = {"role": "user", "content": 'call weather with {"city": "Gaillimh"}'}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
prefix = sys.argv[1]
more = {"num_retries": 0}
if prefix == "gemini":
    more["api_base"] = os.environ["GOOGLE_GEMINI_BASE_URL"] + "/v1beta"


def ask(model, messages, **options):
    """One call; the model's name is ours, behind LiteLLM's prefix."""
    return litellm.completion(model=f"{prefix}/scripted/{model}", messages=messages, **options, **more)


whole = ask("echo", [HELLO]).choices[0].message.content
streamed = "".join(chunk.choices[0].delta.content or "" for chunk in ask("echo", [HELLO], stream=True))
first = ask("agent", [ASK], tools=[TOOL]).choices[0].message
[call] = first.tool_calls
result = {"role": "tool", "tool_call_id": call.id, "content": f"rain in {json.loads(call.function.arguments)['city']}"}
last = ask("agent", [ASK, first.model_dump(exclude_none=True), result], tools=[TOOL])
print(json.dumps({"whole": whole, "streamed": streamed, "tool": last.choices[0].message.content}))
