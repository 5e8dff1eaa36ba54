"""A process that owns a kind of door: says on each connection who it is, and tells the gateway what it heard."""

import array
import contextlib
import json
import os
import socket
import sys
import threading

line = socket.socket(fileno=int(sys.argv[sys.argv.index("--line-fd") + 1]))
registries = int(sys.argv[sys.argv.index("--registries-fd") + 1]) if "--registries-fd" in sys.argv else None
closed: list[str] = []


def answer_door(door: socket.socket, text: str) -> None:
    door.setblocking(True)
    with contextlib.suppress(OSError):
        while True:
            caller, _ = door.accept()
            with caller:
                caller.sendall(text.encode())


def answer_gateway(pair: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while pair.recv(1 << 16):
            told = None if registries is None else sorted(json.loads(os.pread(registries, 8 << 20, 0)))
            pair.send(json.dumps({"pid": os.getpid(), "uid": os.getuid(), "closed": closed, "told": told}).encode())


while True:
    data, ancillary, _, _ = line.recvmsg(1 << 16, socket.CMSG_SPACE(64))
    if not data:
        sys.exit(0)
    fds = array.array("i")
    for _, _, rights in ancillary:
        fds.frombytes(rights)
    said = json.loads(data)
    match said["event"]:
        case "door":
            door = socket.socket(fileno=fds[0])
            text = f"{said['kind']} of {said['uuid']} by {os.getpid()}\n"
            threading.Thread(target=answer_door, args=(door, text), daemon=True).start()
        case "gateway":
            threading.Thread(target=answer_gateway, args=(socket.socket(fileno=fds[0]),), daemon=True).start()
        case "doors.closed":
            closed.append(said["uuid"])
