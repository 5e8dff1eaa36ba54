"""The official `anthropic` package, told nothing but its environment."""

import json

import anthropic

HELLO = {"role": "user", "content": "Dia duit, a chara"}
ASK = {"role": "user", "content": 'call weather with {"city": "Gaillimh"}'}
TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}

with anthropic.Anthropic(max_retries=0) as client:
    whole = client.messages.create(model="scripted/echo", max_tokens=100, messages=[HELLO])
    with client.messages.stream(model="scripted/echo", max_tokens=100, messages=[HELLO]) as stream:
        streamed = stream.get_final_text()
    with client.messages.stream(model="scripted/agent", max_tokens=100, messages=[ASK], tools=[TOOL]) as stream:
        first = stream.get_final_message()
    [call] = [block for block in first.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": f"rain in {call.input['city']}"}
    said = [ASK, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    last = client.messages.create(model="scripted/agent", max_tokens=100, messages=said, tools=[TOOL])
print(json.dumps({"whole": whole.content[0].text, "streamed": streamed, "tool": last.content[-1].text}))
