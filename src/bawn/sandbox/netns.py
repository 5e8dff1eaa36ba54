"""A host-owned listening socket inside a container's network namespace: the door itself.

`Opener` starts a short-lived process (`python -m bawn.sandbox.netns`) that joins the user namespace which
owns the network namespace, then the network namespace, binds every address, and sends the sockets back.
A process of its own, because a user namespace can be joined by a single-threaded process alone, and because
what joined a foreign namespace should not live on.

The sockets have neither SO_REUSEADDR nor SO_REUSEPORT: nothing inside can bind beside them, and if something
holds the address already we fail rather than share.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox import kernel
from bawn.sandbox.attested import Attested
from bawn.sandbox.python import environment, interpreter

BACKLOG = 512
TIMEOUT_S = 10.0

_NS_GET_USERNS = 0xB701
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

_SCRATCH = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC

Address = tuple[str, int]


class Opener:
    """The process that will open doors, started before the box is there: both take their time beside each other."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.settimeout(TIMEOUT_S)
        with theirs:
            self._helper = subprocess.Popen(
                [*interpreter(), "-m", "bawn.sandbox.netns", str(theirs.fileno())],
                env=environment(),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )

    def open(self, box: Attested, addresses: Sequence[Address], noexec: Sequence[str] = ()) -> list[socket.socket]:
        """One listening socket an address, in order; `sandbox.door_taken` when one is not free.

        As it is inside once anyway, it also closes the mounts of the box that `noexec` names to programs.
        """
        with box.namespaces("net", "mnt") as namespaces:
            told = json.dumps({"addresses": addresses, "noexec": noexec}).encode()
            try:
                socket.send_fds(self._ours, [told], namespaces)
                answer, fds, _, _ = socket.recv_fds(self._ours, 4096, len(addresses))
            except TimeoutError as error:
                raise Fault("sandbox.start_failed", "the doors could not be opened in time") from error
            except OSError:
                answer, fds = b"", []
        listeners = [socket.socket(fileno=fd) for fd in fds]
        complaint = b"" if answer or self._helper.stderr is None else self._helper.stderr.read()
        refusal = _refusal(answer, complaint)
        if refusal is None and len(listeners) == len(addresses):
            for listener in listeners:
                listener.setblocking(False)
            return listeners
        for listener in listeners:
            listener.close()
        raise refusal or Fault("sandbox.start_failed", "the doors could not be opened", cause="descriptors are missing")

    def close(self) -> None:
        self._ours.close()
        self._helper.kill()
        self._helper.wait()
        if self._helper.stderr is not None:
            self._helper.stderr.close()


def open_listeners(box: Attested, addresses: Sequence[Address]) -> list[socket.socket]:
    """As `Opener`, for a box that is there already."""
    opener = Opener()
    try:
        return opener.open(box, addresses)
    finally:
        opener.close()


def _refusal(answer: bytes, complaint: bytes) -> Fault | None:
    if not answer:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:]
        return Fault("sandbox.start_failed", "the doors could not be opened", cause="".join(last))
    said = json.loads(answer)
    if said.get("ok"):
        return None
    if said.get("errno") == errno.EADDRINUSE:
        return Fault("sandbox.door_taken", "something inside the container holds the address of a door")
    return Fault("sandbox.start_failed", "the doors could not be opened", cause=str(said.get("cause", "")))


def join_owner(namespace: int) -> None:
    """Joins the user namespace that owns `namespace`, unless it is the one we are in already."""
    owner = fcntl.ioctl(namespace, _NS_GET_USERNS)
    try:
        if os.fstat(owner).st_ino != Path("/proc/self/ns/user").stat().st_ino:
            kernel.setns(owner, kernel.NEW_NAMESPACE_USER)
    finally:
        os.close(owner)


def raise_loopback() -> None:
    """Brings `lo` up if it is not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh22x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)
        if not flags & _IFF_UP:
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))


def forget_closed_connections() -> None:
    """No TIME_WAIT in this namespace: it would keep a door's address taken for a minute after a crash, and adoption fail.

    What TIME_WAIT protects from, packets of an old connection that come late, does not exist on `lo`.
    """
    with contextlib.suppress(OSError):
        Path("/proc/sys/net/ipv4/tcp_max_tw_buckets").write_text("0", encoding="ascii")


def listener(address: Address) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        made.bind(address)
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def main() -> None:
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    with socket.socket(fileno=int(sys.argv[1])) as line:
        told, (net, mnt), _, _ = socket.recv_fds(line, 65536, 2)
        asked = json.loads(told)
        opened: list[socket.socket] = []
        try:
            join_owner(net)
            kernel.setns(net, kernel.NEW_NAMESPACE_NET)
            raise_loopback()
            forget_closed_connections()
            opened.extend(listener((address, port)) for address, port in asked["addresses"])
            if asked["noexec"]:
                kernel.setns(mnt, kernel.NEW_NAMESPACE_MOUNT)
                for place in asked["noexec"]:
                    kernel.mount("none", place, "", _SCRATCH)
        except OSError as error:
            line.send(json.dumps({"ok": False, "errno": error.errno, "cause": str(error)}).encode())
            return
        rights = array.array("i", [one.fileno() for one in opened])
        line.sendmsg([b'{"ok":true}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


if __name__ == "__main__":
    main()
