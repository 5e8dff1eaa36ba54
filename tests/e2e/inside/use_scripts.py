"""Asks by the official package at one base URL after another, and prints what each answered."""

import json
import os
import sys
from typing import Any

from openai import APIStatusError, OpenAI

found: list[dict[str, Any]] = []
for url in sys.argv[1:]:
    client = OpenAI(base_url=url, api_key=os.environ["OPENAI_API_KEY"], max_retries=0)
    said: dict[str, Any] = {}
    asked: Any = {"model": "scripted/echo", "messages": [{"role": "user", "content": "good morning"}]}
    try:
        said["plain"] = client.chat.completions.create(**asked).choices[0].message.content
        parts = client.chat.completions.create(**asked, stream=True)
        said["streamed"] = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        said["models"] = len(client.models.list().data)
    except APIStatusError as error:
        said["refused"] = [error.status_code, error.message]
    found.append(said)
print(json.dumps(found))
