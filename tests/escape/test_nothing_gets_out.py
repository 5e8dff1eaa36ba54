"""Everything that the probe tries, in every runtime of this machine. None of it may succeed."""

from __future__ import annotations

import errno
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.escape.grounds import Ground, asked, families_of_this_kernel, probe
from tests.supervisor.yard import Yard

from bawn.sandbox import seccomp

pytestmark = pytest.mark.containers

OF_ITS_OWN_KERNEL = {
    "unshare": "a namespace of gVisor's kernel: the host's process made none",
    "clone": "as above",
    "make device": "gVisor's own null and fuse; a device of the host cannot be made by any number",
    "open /dev/fuse": "gVisor's own",
    "a device that is not a box's": "gVisor's own /dev/fuse",
    "netlink 15": "gVisor's own, without events",
    "32-bit": "gVisor reads the number as one of its own 64-bit calls",
    "lower the own nice value": "a number that gVisor keeps",
    "raise the limit of processes": "gVisor has none; the control group of the whole sandbox has",
    "without a filter": "gVisor itself is what stands between",
}
"""What succeeds inside gVisor and reaches nothing outside of it, by how the try's name begins."""

Found = dict[str, dict[str, str]]


@pytest.fixture(scope="session")
def found(yard: Yard, ground: Ground) -> Iterator[Found]:
    with tempfile.TemporaryDirectory(prefix="bawn-escape-", dir="/var/tmp") as name, socket.socket() as tcp:
        if ground.uid is not None:
            os.chown(name, ground.uid, ground.uid)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        with socket.socket(socket.AF_UNIX) as abstract:
            abstract.bind("\0bawn-escape")
            abstract.listen()
            box = yard.started(ground.runtime, image="host", workspace=name)
            address, port = tcp.getsockname()
            told = asked(yard, Path(name), abstract=["bawn-escape"], addresses=[(address, port), ("1.1.1.1", 80)])
            yield probe(yard, box, told)
            assert yard.ask("delete", uuid=box)["ok"]


def test_no_try_succeeds(found: Found, ground: Ground) -> None:
    assert len(found) > 300
    bad = {name: said["detail"] for name, said in found.items() if said["outcome"] not in ("refused", "untried")}
    if ground.own_kernel:
        bad = {name: said for name, said in bad.items() if not name.startswith(tuple(OF_ITS_OWN_KERNEL))}
    assert bad == {}


def test_each_call_of_the_profile_is_answered_by_the_filter_and_not_by_the_kernel(found: Found, ground: Ground) -> None:
    if ground.own_kernel:
        pytest.skip("the box has a kernel of its own, which has its own answers")
    refused = seccomp.table().refused
    answers = {name: found[f"call {name}"].get("errno") for name in refused}
    assert answers == {name: errno.errorcode[number] for name, number in refused.items()}


def test_each_socket_family_that_this_kernel_has_is_refused_by_the_filter(found: Found) -> None:
    allowed = set(seccomp.table().families.values())
    there = families_of_this_kernel() - allowed
    for name, said in found.items():
        if (match := re.fullmatch(r"socket (\d+) \w+", name)) and int(match[1]) in there:
            assert said["errno"] == "EAFNOSUPPORT", name


def test_what_could_not_be_tried_here_is_said(found: Found, ground: Ground) -> None:
    """Not a pass: skipped with the reasons, when there are any."""
    untried = [f"{name}: {said['detail']}" for name, said in found.items() if said["outcome"] == "untried"]
    names = {
        number: family for family in dir(socket) if family.startswith("AF_") for number in [getattr(socket, family)]
    }
    absent = set(range(46)) - families_of_this_kernel() - set(seccomp.table().families.values())
    untried += [f"{names.get(number, f'family {number}')}: not in this kernel" for number in sorted(absent)]
    if untried:
        pytest.skip(f"{ground}: " + "; ".join(untried))
