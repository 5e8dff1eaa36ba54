"""A gateway of a hundred lines: says to the supervisor what a test tells it by a socket, and answers on every door."""

import argparse
import array
import contextlib
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser()
for name in ("--home", "--config"):
    parser.add_argument(name)
for name in ("--control-fd", "--audit-fd", "--master-fd"):
    parser.add_argument(name, type=int)
asked, _others = parser.parse_known_args()
control = socket.socket(fileno=asked.control_fd)
doors: dict[str, socket.socket] = {}
owners: dict[str, socket.socket] = {}
events: list[dict[str, Any]] = []
answers: dict[int, tuple[dict[str, Any], list[int]]] = {}
news = threading.Condition()


def listen() -> None:
    while True:
        data, ancillary, _, _ = control.recvmsg(1 << 18, socket.CMSG_SPACE(64))
        if not data:
            os._exit(0)
        fds = array.array("i")
        for _, _, rights in ancillary:
            fds.frombytes(rights)
        said = json.loads(data)
        with news:
            if said.get("event") == "door":
                doors[said["uuid"]] = door = socket.socket(fileno=fds[0])
                threading.Thread(target=answer_door, args=(door, said["uuid"]), daemon=True).start()
            elif said.get("event") == "owner":
                owners[said["name"]] = socket.socket(fileno=fds[0])
            elif "event" in said:
                events.append(said)
            else:
                answers[said["id"]] = (said, list(fds))
            news.notify_all()


def answer_door(door: socket.socket, uuid: str) -> None:
    door.setblocking(True)
    with contextlib.suppress(OSError):
        while True:
            caller, _ = door.accept()
            with caller:
                caller.sendall(f"door of {uuid}\n".encode())


def ask(request: dict[str, Any], number: int) -> tuple[dict[str, Any], list[int]]:
    control.send(json.dumps(request | {"id": number}).encode())
    with news:
        news.wait_for(lambda: number in answers, 60)
        return answers.pop(number)


def read_all(fd: int) -> str:
    pieces = []
    with contextlib.suppress(OSError):
        while piece := os.read(fd, 65536):
            pieces.append(piece)
    os.close(fd)
    return b"".join(pieces).decode(errors="replace")


def execute(request: dict[str, Any], number: int) -> dict[str, Any]:
    typed, act = request.pop("type", ""), request.pop("then", None)
    said, fds = ask(request, number)
    if not said["ok"]:
        return said
    if act is not None:
        os.read(fds[0] if len(fds) == 1 else fds[1], 1)
        said["then"] = ask(act | {"exec": said["exec"]}, number + 1000)[0]
    os.write(fds[0], typed.encode())
    if len(fds) == 1:
        said["out"] = read_all(fds[0])
    else:
        os.close(fds[0])
        said["out"], said["err"] = read_all(fds[1]), read_all(fds[2])
    with news:
        exited = {"event": "exec.exited", "exec": said["exec"]}
        news.wait_for(lambda: any(exited.items() <= event.items() for event in events), 30)
        said["code"] = next(event["code"] for event in events if exited.items() <= event.items())
    return said


def serve(caller: socket.socket, number: int) -> None:
    with caller, caller.makefile("rw") as lines:
        request = json.loads(lines.readline())
        match request["do"]:
            case "look":
                key = os.pread(asked.master_fd, 256, 0)
                status = Path("/proc/self/status").read_text().splitlines()
                caps = next(line.split()[1] for line in status if line.startswith("CapEff"))
                said = {
                    "pid": os.getpid(), "uid": os.getuid(), "groups": os.getgroups(), "caps": caps, "env": dict(os.environ),
                    "doors": sorted(doors), "events": events, "key_bytes": len(key), "hello": hello,
                }  # fmt: skip
            case "die":
                os._exit(1)
            case "owner":
                said = {}
                if (pair := owners.get(request["name"])) is not None:
                    with contextlib.suppress(OSError, ValueError):
                        pair.send(b"look")
                        said = json.loads(pair.recv(1 << 20))
            case "rule.run":
                told = request.pop("told")
                said, fds = ask(request, number)
                if fds:
                    with socket.socket(fileno=fds[0]) as box:
                        box.sendall(json.dumps(told).encode())
                        box.shutdown(socket.SHUT_WR)
                        said["result"] = json.loads(read_all(os.dup(box.fileno())) or "null")
            case "exec":
                said = execute(request, number)
            case _:
                said = ask(request, number)[0]
        lines.write(json.dumps(said) + "\n")


threading.Thread(target=listen, daemon=True).start()
hello, _ = ask({"do": "hello"}, 0)
for name in ("test.sock", "bawn.sock"):
    (Path(asked.home) / "run" / name).unlink(missing_ok=True)
test = socket.socket(socket.AF_UNIX)
test.bind(f"{asked.home}/run/test.sock")
test.listen(16)
api = socket.socket(socket.AF_UNIX)
api.bind(f"{asked.home}/run/bawn.sock")
api.listen(16)
number = 0
while True:
    accepted, _ = test.accept()
    number += 1
    threading.Thread(target=serve, args=(accepted, number), daemon=True).start()
sys.exit(0)
