"""Reads a long stream; says when it flows, and when and how it ended."""

import http.client
import json
import os
import time

connection = http.client.HTTPConnection("ai.bawn.internal", timeout=30)
connection.request(
    "POST",
    "/api/v1/chat/completions",
    json.dumps({"model": "scripted/bench-stream", "stream": True, "messages": [{"role": "user", "content": "go"}]}),
    {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"},
)
answer = connection.getresponse()
tokens, error, done, last = 0, "", False, 0.0
try:
    while line := answer.readline():
        last = time.time()
        tokens += b'"content":"t' in line
        if tokens == 20 and b"t19" in line:
            print(json.dumps("flowing"), flush=True)
        if b'"error"' in line:
            error = line.decode()
        done = done or b"[DONE]" in line
except (OSError, http.client.HTTPException):
    pass
print(json.dumps({"ended": time.time(), "last": last, "tokens": tokens, "error": error, "done": done}), flush=True)
