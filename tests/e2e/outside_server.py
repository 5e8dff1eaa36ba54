"""The far end of the outside world: answers on 80 and 443, and writes down every connection and what came in by it."""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
from pathlib import Path

place, record = Path(sys.argv[1]), Path(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(place / "server.pem")
writing = threading.Lock()


def answer(caller: socket.socket, port: int) -> None:
    names: list[str] = []
    heads: list[str] = []
    try:
        if port == 443:
            context.sni_callback = lambda _socket, name, _context: names.append(str(name))
            caller = context.wrap_socket(caller, server_side=True)
        caller.settimeout(10)
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                piece = caller.recv(65536)
                if not piece:
                    return
                buffer += piece
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            heads.append(head.decode("latin-1"))
            # What a careless service does: it says back everything that it was told.
            body = json.dumps({"path": head.split()[1].decode(), "heard": head.decode("latin-1")}).encode()
            first = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            caller.sendall(first + body)
    except (OSError, IndexError):
        pass
    finally:
        caller.close()
        with writing, record.open("a") as file:
            file.write(json.dumps({"port": port, "names": names, "heads": heads}) + "\n")


def serve(port: int) -> None:
    listener = socket.create_server(("0.0.0.0", port))
    ready.release()
    while True:
        caller, _ = listener.accept()
        threading.Thread(target=answer, args=(caller, port), daemon=True).start()


ready = threading.Semaphore(0)
for number in (80, 443):
    threading.Thread(target=serve, args=(number,), daemon=True).start()
for _ in range(2):
    ready.acquire()
print("ready", flush=True)
threading.Event().wait()
