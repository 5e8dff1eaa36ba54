"""The official `openai` package by chat completions, told nothing but its environment."""

import json

import openai

HELLO = {"role": "user", "content": "Dia duit, a chara"}
ASK = {"role": "user", "content": 'call weather with {"city": "Gaillimh"}'}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}

with openai.OpenAI(max_retries=0) as client:
    whole = client.chat.completions.create(model="scripted/echo", messages=[HELLO])
    with client.chat.completions.stream(model="scripted/echo", messages=[HELLO]) as stream:
        streamed = stream.get_final_completion()
    first = client.chat.completions.create(model="scripted/agent", messages=[ASK], tools=[TOOL]).choices[0].message
    [call] = first.tool_calls
    result = {
        "role": "tool",
        "tool_call_id": call.id,
        "content": f"rain in {json.loads(call.function.arguments)['city']}",
    }
    last = client.chat.completions.create(model="scripted/agent", messages=[ASK, first, result], tools=[TOOL])
print(
    json.dumps(
        {
            "whole": whole.choices[0].message.content,
            "streamed": streamed.choices[0].message.content,
            "tool": last.choices[0].message.content,
        }
    )
)
