"""One call: text, token (empty: the container's own), model, whether the answer may be shown."""

import json
import os
import sys
import urllib.error
import urllib.request

text, token, model, show = sys.argv[1:5]
request = urllib.request.Request(
    os.environ["OPENAI_BASE_URL"] + "/chat/completions",
    json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode(),
    {"authorization": f"Bearer {token or os.environ['OPENAI_API_KEY']}", "content-type": "application/json"},
)
try:
    with urllib.request.urlopen(request, timeout=20) as answer:
        said = json.load(answer)["choices"][0]["message"]["content"]
        print(json.dumps({"status": answer.status, "text": said if show == "show" else ""}))
except urllib.error.HTTPError as refused:
    print(json.dumps({"status": refused.code, "text": refused.read().decode()}))
except OSError as error:
    print(json.dumps({"status": 0, "text": str(error)}))
