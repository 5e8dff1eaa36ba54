"""System calls no box may make: the table `seccomp.json`, in the two forms that runtimes read.

An empty network namespace is not the whole wall: AF_VSOCK reaches a hypervisor past it, AF_ALG and
io_uring are where kernels break (CVE-2026-31431), a nested user namespace gives back what was dropped,
and TIOCSTI types into the operator's terminal. What the table names fails with EPERM or, where programs
know how to go on without, ENOSYS. A call of another architecture (`int 0x80`) ends the program, x32 and
calls younger than the table do not exist. Everything else is left to the namespaces: a deny-list is what
ordinary tools survive. `program` is the table as classic BPF, `profile` the same for OCI runtimes.
"""

from __future__ import annotations

import errno
import functools
import itertools
import json
import platform
import struct
from dataclasses import dataclass
from pathlib import Path

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_OCI_ARCH = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

_X32 = 0x40000000
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARG0, _ARG1, _ARG2 = 0, 4, 16, 24, 32
_NETLINK = "AF_NETLINK"

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Table:
    """`seccomp.json` for one kind of machine."""

    refused: dict[str, int]
    """Calls that are refused whatever their arguments, with the errno they answer."""
    numbers: dict[str, int]
    """The number of every call that is named."""
    new_namespaces: tuple[int, ...]
    """Flags of clone."""
    families: dict[str, int]
    """The socket families that exist; every other does not."""
    netlink_protocols: tuple[int, ...]
    terminal_injections: tuple[int, ...]
    """Requests of ioctl."""
    personalities: tuple[int, ...]
    first_unknown: int
    """The first number that the table knows nothing of."""


def known(machine: str | None = None) -> bool:
    return (machine or platform.machine()) in AUDIT_ARCH


@functools.cache
def table(machine: str | None = None) -> Table:
    machine = machine or platform.machine()
    said = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    column = said["machines"].index(machine)
    numbers = {name: each[column] for name, each in said["by_argument"].items()}
    refused: dict[str, int] = {}
    for group in said["refused"]:
        for name, each in group["calls"].items():
            if each[column] is not None:
                numbers[name] = each[column]
                refused[name] = getattr(errno, group["errno"])
    return Table(
        refused=refused,
        numbers=numbers,
        new_namespaces=tuple(int(flag, 16) for flag in said["new_namespaces"]),
        families=said["families"],
        netlink_protocols=tuple(said["netlink_protocols"].values()),
        terminal_injections=tuple(int(request, 16) for request in said["terminal_injections"].values()),
        personalities=tuple(int(each, 16) for each in said["personalities"]),
        first_unknown=said["first_unknown"],
    )


@functools.cache
def program(machine: str | None = None) -> bytes:
    """The filter for this machine."""
    machine = machine or platform.machine()
    rules = table(machine)
    lines: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH), (_JEQ, 1, 0, AUDIT_ARCH[machine]), (_RETURN, 0, 0, _KILL),
        # x32 is at 0x40000000 and above, and answered by the same comparison.
        (_LOAD, 0, 0, _NR), (_JGE, 0, 1, rules.first_unknown), _refuse(errno.ENOSYS),
    ]  # fmt: skip
    for name, number in rules.refused.items():
        lines += [(_JEQ, 0, 1, rules.numbers[name]), _refuse(number)]
    clone: list[Instruction] = [
        (_LOAD, 0, 0, _ARG0),
        (_JSET, 0, 1, sum(rules.new_namespaces)),
        _refuse(errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    ioctl: list[Instruction] = [(_LOAD, 0, 0, _ARG1)]
    for request in rules.terminal_injections:
        ioctl += [(_JEQ, 0, 1, request), _refuse(errno.EPERM)]
    ioctl += [(_RETURN, 0, 0, _ALLOW)]
    personality = [(_LOAD, 0, 0, _ARG0), *_allowed(rules.personalities), _refuse(errno.EPERM)]
    family = [
        (_LOAD, 0, 0, _ARG0),
        *_allowed([number for name, number in rules.families.items() if name != _NETLINK]),
        (_JEQ, 1, 0, rules.families[_NETLINK]),
        _refuse(errno.EAFNOSUPPORT),
        (_LOAD, 0, 0, _ARG2),
        *_allowed(rules.netlink_protocols),
        _refuse(errno.EAFNOSUPPORT),
    ]
    blocks = {"clone": clone, "ioctl": ioctl, "personality": personality, "socket": family, "socketpair": family}
    for name, block in blocks.items():
        lines += [(_JEQ, 0, len(block), rules.numbers[name]), *block]
    lines += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _refuse(number: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)


def _allowed(values: list[int] | tuple[int, ...]) -> list[Instruction]:
    return [line for value in values for line in ((_JEQ, 0, 1, value), (_RETURN, 0, 0, _ALLOW))]


def profile(machine: str | None = None) -> dict[str, object]:
    """The same table in the form of the OCI runtime specification, as far as that can say it.

    It cannot say "none of these values" of one argument, so that `personality` is missing: OCI runtimes hold the
    box's first process with it, which is ours; every command is held by `program`.
    """
    machine = machine or platform.machine()
    rules = table(machine)
    said: list[dict[str, object]] = []

    def rule(names: list[str], number: int, *comparisons: dict[str, object]) -> None:
        said.append({"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": number, "args": list(comparisons)})

    for number in sorted(set(rules.refused.values())):
        rule([name for name, answer in rules.refused.items() if answer == number], number)
    for flag in rules.new_namespaces:
        rule(["clone"], errno.EPERM, {"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"})
    for request in rules.terminal_injections:
        rule(["ioctl"], errno.EPERM, {"index": 1, "value": request, "op": "SCMP_CMP_EQ"})
    families = sorted(rules.families.values())
    for before, after in itertools.pairwise(families):
        for number in range(before + 1, after):
            rule(["socket", "socketpair"], errno.EAFNOSUPPORT, {"index": 0, "value": number, "op": "SCMP_CMP_EQ"})
    for number in (0, max(families) + 1):
        op = "SCMP_CMP_GE" if number else "SCMP_CMP_EQ"
        rule(["socket", "socketpair"], errno.EAFNOSUPPORT, {"index": 0, "value": number, "op": op})
    netlink: dict[str, object] = {"index": 0, "value": rules.families[_NETLINK], "op": "SCMP_CMP_EQ"}
    rule(["socket"], errno.EAFNOSUPPORT, netlink, *(_differs(2, value) for value in rules.netlink_protocols))
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [_OCI_ARCH[machine]], "syscalls": said}


def _differs(index: int, value: int) -> dict[str, object]:
    return {"index": index, "value": value, "op": "SCMP_CMP_NE"}
