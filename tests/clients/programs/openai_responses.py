"""The official `openai` package by responses, told nothing but its environment."""

import json

import openai

HELLO = "Dia duit, a chara"
ASK = {"role": "user", "content": 'call weather with {"city": "Gaillimh"}'}
TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}

with openai.OpenAI(max_retries=0) as client:
    whole = client.responses.create(model="scripted/echo", input=HELLO)
    with client.responses.stream(model="scripted/echo", input=HELLO) as stream:
        streamed = stream.get_final_response()
    first = client.responses.create(model="scripted/agent", input=[ASK], tools=[TOOL])
    [call] = [item for item in first.output if item.type == "function_call"]
    city = json.loads(call.arguments)["city"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": f"rain in {city}"}
    last = client.responses.create(model="scripted/agent", input=[ASK, *first.output, result], tools=[TOOL])
print(json.dumps({"whole": whole.output_text, "streamed": streamed.output_text, "tool": last.output_text}))
