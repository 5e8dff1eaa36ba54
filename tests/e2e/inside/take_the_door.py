"""Tries to take the door's address again and again: seconds to go on. Prints how often, and what became of it."""

import collections
import errno
import json
import socket
import sys
import time

found: dict[str, int] = collections.Counter()
end = time.time() + float(sys.argv[1])
while time.time() < end:
    for address in ("127.0.0.2", "0.0.0.0", "::"):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as mine:
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                mine.bind((address, 80))
                mine.listen()
                found["taken"] += 1
            except OSError as error:
                found[errno.errorcode[error.errno or 0]] += 1
print(json.dumps(found), flush=True)
