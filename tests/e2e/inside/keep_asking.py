"""Asks again and again and prints when it was answered: seconds to go on."""

import http.client
import json
import os
import sys
import time

BODY = json.dumps({"model": "scripted/echo", "messages": [{"role": "user", "content": "still there?"}]})
HEADERS = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"}

end = time.time() + float(sys.argv[1])
while time.time() < end:
    connection = http.client.HTTPConnection("ai.bawn.internal", timeout=10)
    try:
        connection.request("POST", "/api/v1/chat/completions", BODY, HEADERS)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        status = 0
    finally:
        connection.close()
    print(json.dumps([time.time(), status]), flush=True)
    time.sleep(0.03)
