"""What the official packages of OpenAI and Anthropic send for the words of this command, and what they are told."""

import json
import os
import sys
from typing import Any

from anthropic import Anthropic, APIStatusError
from openai import APIStatusError as OpenAIStatusError
from openai import OpenAI

text = sys.argv[1]
said: list[Any] = []
try:
    chat = OpenAI(max_retries=0).chat.completions
    said.append(
        chat.create(model="scripted/echo", messages=[{"role": "user", "content": text}]).choices[0].message.content
    )
except OpenAIStatusError as error:
    said.append(error.status_code)
try:
    messages = Anthropic(max_retries=0).messages
    answer: Any = messages.create(model="scripted/echo", max_tokens=9, messages=[{"role": "user", "content": text}])
    said.append(answer.content[0].text)
except APIStatusError as error:
    said.append(error.status_code)
print(json.dumps([said, os.environ.get("BAWN_TAGS", "")]))
