"""The official `google-genai` package, which calls the function by itself."""

import json

from google import genai
from google.genai import types

HELLO = "Dia duit, a chara"


def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


client = genai.Client()
whole = client.models.generate_content(model="scripted/echo", contents=HELLO)
streamed = "".join(
    part.text or "" for part in client.models.generate_content_stream(model="scripted/echo", contents=HELLO)
)
last = client.models.generate_content(
    model="scripted/agent",
    contents='call weather with {"city": "Gaillimh"}',
    config=types.GenerateContentConfig(tools=[weather]),
)
print(json.dumps({"whole": whole.text, "streamed": streamed, "tool": last.text}))
