"""System calls no box may make, as one table for both runtimes.

An empty network namespace is not the whole wall: AF_VSOCK reaches a hypervisor past it, AF_ALG and
io_uring are where kernels break (CVE-2026-31431), a nested user namespace gives back what was dropped,
and TIOCSTI types into the operator's terminal. What the table names fails with EPERM or, where programs
know how to go on without, ENOSYS. Everything else is left to the namespaces: a deny-list is what
ordinary tools survive. `program` is the table as classic BPF, `profile` the same for OCI runtimes.
"""

from __future__ import annotations

import errno
import platform
import struct

_COMMON = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "pidfd_getfd": 438, "mount_setattr": 442,
}  # fmt: skip

NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": _COMMON | {
        "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "keyctl": 250,
        "add_key": 248, "request_key": 249, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311,
        "userfaultfd": 323, "bpf": 321, "perf_event_open": 298, "name_to_handle_at": 303, "open_by_handle_at": 304,
        "kexec_load": 246, "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176,
        "swapon": 167, "swapoff": 168, "reboot": 169, "acct": 163, "quotactl": 179, "syslog": 103, "iopl": 172,
        "ioperm": 173, "settimeofday": 164, "clock_settime": 227, "clone": 56, "socket": 41, "socketpair": 53, "ioctl": 16,
    },
    "aarch64": _COMMON | {
        "unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "keyctl": 219,
        "add_key": 217, "request_key": 218, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271,
        "userfaultfd": 282, "bpf": 280, "perf_event_open": 241, "name_to_handle_at": 264, "open_by_handle_at": 265,
        "kexec_load": 104, "kexec_file_load": 294, "init_module": 105, "finit_module": 273, "delete_module": 106,
        "swapon": 224, "swapoff": 225, "reboot": 142, "acct": 89, "quotactl": 60, "syslog": 116, "settimeofday": 170,
        "clock_settime": 112, "clone": 220, "socket": 198, "socketpair": 199, "ioctl": 29,
    },
}  # fmt: skip

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_OCI_ARCH = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

ABSENT = frozenset({"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"})
"""Answered with ENOSYS: the C library then takes the older call, whose flags can be read by a filter."""
BY_ARGUMENT = frozenset({"clone", "socket", "socketpair", "ioctl"})
NEW_NAMESPACES = 0x7E020000
FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (routes only: what `getifaddrs` asks)."""
_FAMILY_COUNT = 46
TERMINAL_INJECTIONS = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX."""

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARG0, _ARG1, _ARG2 = 0, 4, 16, 24, 32

Instruction = tuple[int, int, int, int]


def known(machine: str | None = None) -> bool:
    return (machine or platform.machine()) in NUMBERS


def program(machine: str | None = None) -> bytes:
    """The filter for this machine."""
    machine = machine or platform.machine()
    numbers = NUMBERS[machine]
    lines: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH), (_JEQ, 1, 0, AUDIT_ARCH[machine]), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NR), (_JGE, 0, 1, 0x40000000), _refuse(errno.ENOSYS),
    ]  # fmt: skip
    for name, number in numbers.items():
        if name not in BY_ARGUMENT:
            lines += [(_JEQ, 0, 1, number), _refuse(errno.ENOSYS if name in ABSENT else errno.EPERM)]
    clone: list[Instruction] = [
        (_LOAD, 0, 0, _ARG0),
        (_JSET, 0, 1, NEW_NAMESPACES),
        _refuse(errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    ioctl: list[Instruction] = [(_LOAD, 0, 0, _ARG1)]
    for request in TERMINAL_INJECTIONS:
        ioctl += [(_JEQ, 0, 1, request), _refuse(errno.EPERM)]
    ioctl += [(_RETURN, 0, 0, _ALLOW)]
    family: list[Instruction] = [(_LOAD, 0, 0, _ARG0)]
    for allowed in FAMILIES[:3]:
        family += [(_JEQ, 0, 1, allowed), (_RETURN, 0, 0, _ALLOW)]
    family += [
        (_JEQ, 1, 0, 16),
        _refuse(errno.EAFNOSUPPORT),
        (_LOAD, 0, 0, _ARG2),
        (_JEQ, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
    ]
    family += [_refuse(errno.EAFNOSUPPORT)]
    for name, block in (("clone", clone), ("ioctl", ioctl), ("socket", family), ("socketpair", family)):
        lines += [(_JEQ, 0, len(block), numbers[name]), *block]
    lines += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _refuse(number: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)


def profile(machine: str | None = None) -> dict[str, object]:
    """The same table in the form that podman's `--security-opt seccomp=` reads."""
    machine = machine or platform.machine()
    rules: list[dict[str, object]] = []

    def rule(names: list[str], number: int, *comparisons: tuple[int, int, str]) -> None:
        arguments = [{"index": index, "value": value, "op": op} for index, value, op in comparisons]
        rules.append({"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": number, "args": arguments})

    plain = [name for name in NUMBERS[machine] if name not in BY_ARGUMENT]
    rule([name for name in plain if name not in ABSENT], errno.EPERM)
    rule([name for name in plain if name in ABSENT], errno.ENOSYS)
    for bit in range(32):
        if NEW_NAMESPACES >> bit & 1:
            flag = 1 << bit
            comparison = {"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}
            rules.append(
                {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM, "args": [comparison]}
            )
    for request in TERMINAL_INJECTIONS:
        rule(["ioctl"], errno.EPERM, (1, request, "SCMP_CMP_EQ"))
    for number in range(_FAMILY_COUNT):
        if number not in FAMILIES:
            rule(["socket", "socketpair"], errno.EAFNOSUPPORT, (0, number, "SCMP_CMP_EQ"))
    rule(["socket", "socketpair"], errno.EAFNOSUPPORT, (0, _FAMILY_COUNT, "SCMP_CMP_GE"))
    rule(["socket"], errno.EAFNOSUPPORT, (0, 16, "SCMP_CMP_EQ"), (2, 0, "SCMP_CMP_NE"))
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [_OCI_ARCH[machine]], "syscalls": rules}
