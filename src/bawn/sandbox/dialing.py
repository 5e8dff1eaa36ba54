"""A connection to a port inside a box, made in its network namespace (`python -m bawn.sandbox.dialing`).

The program joins the namespace, connects to 127.0.0.1, hands the socket back and ends. The address is no part of
what can be asked, so no door and nothing but what the container itself serves on its own loopback is reached.
"""

from __future__ import annotations

import array
import json
import os
import socket
import subprocess
import sys

from bawn.errors import Fault
from bawn.sandbox import kernel
from bawn.sandbox.attested import Attested
from bawn.sandbox.netns import join_owner
from bawn.sandbox.python import environment, interpreter

HOST = "127.0.0.1"
CONNECT_S = 5.0
TIMEOUT_S = 10.0


def dial(box: Attested, port: int) -> socket.socket:
    """A connected socket; `ports.closed` when nothing answers there."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, box.namespaces("net") as (net,):
        ours.settimeout(TIMEOUT_S)
        argv = [*interpreter(), "-m", "bawn.sandbox.dialing", str(theirs.fileno()), str(net), str(port)]
        with subprocess.Popen(
            argv,
            env=environment(),
            cwd="/",
            pass_fds=(theirs.fileno(), net),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as helper:
            theirs.close()
            try:
                answer, fds, _, _ = socket.recv_fds(ours, 4096, 1)
            except TimeoutError:
                helper.kill()
                answer, fds = b"", []
    said = json.loads(answer) if answer else {}
    if said.get("ok") and len(fds) == 1:
        return socket.socket(fileno=fds[0])
    for fd in fds:
        os.close(fd)
    raise Fault("ports.closed", f"nothing in the container answers at port {port}", cause=str(said.get("cause", "")))


def connected(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    made.settimeout(CONNECT_S)
    try:
        made.connect((HOST, port))
        # A port out of which connections are made can be met by one's own: then nobody else is there.
        if made.getsockname() == made.getpeername():
            raise ConnectionRefusedError("only we ourselves answered")
    except OSError:
        made.close()
        raise
    return made


def main() -> None:
    channel, net, port = (int(word) for word in sys.argv[1:4])
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    with socket.socket(fileno=channel) as answer:
        try:
            join_owner(net)
            kernel.setns(net, kernel.NEW_NAMESPACE_NET)
            with connected(port) as made:
                rights = array.array("i", [made.fileno()])
                answer.sendmsg([b'{"ok":true}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except OSError as error:
            answer.send(json.dumps({"ok": False, "cause": str(error)}).encode())


if __name__ == "__main__":
    main()
