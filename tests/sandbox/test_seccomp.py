"""The filter, run by a small machine of classic BPF: what it answers for every call and every architecture."""

from __future__ import annotations

import errno
import struct

import pytest

from bawn.sandbox import seccomp

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
MACHINES = sorted(seccomp.AUDIT_ARCH)


def answer(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """What the kernel would do: seccomp_data is nr, arch, instruction pointer and six arguments."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("=IIQ6Q", number, arch or seccomp.AUDIT_ARCH[machine], 0, *padded)
    program = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    place = accumulator = 0
    while True:
        code, yes, no, value = program[place]
        place += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            true = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            place += yes if true else no


@pytest.mark.parametrize("machine", MACHINES)
def test_each_refused_call_answers_its_errno_whatever_its_arguments(machine: str) -> None:
    table = seccomp.table(machine)
    assert len(table.refused) > 50
    for name, number in table.refused.items():
        for arguments in ((), (2**64 - 1,) * 6):
            assert answer(machine, table.numbers[name], *arguments) == ERRNO | number, name


@pytest.mark.parametrize("machine", MACHINES)
def test_every_socket_family_but_four_does_not_exist(machine: str) -> None:
    table = seccomp.table(machine)
    for call in ("socket", "socketpair"):
        for family in range(512):
            expected = ALLOW if family in table.families.values() else ERRNO | errno.EAFNOSUPPORT
            assert answer(machine, table.numbers[call], family, 1, 0) == expected, family
        # The kernel reads 32 bits, and so does the filter.
        assert answer(machine, table.numbers[call], 38 | 1 << 32, 5, 0) == ERRNO | errno.EAFNOSUPPORT
    for protocol in range(1, 64):
        assert answer(machine, table.numbers["socket"], 16, 3, protocol) == ERRNO | errno.EAFNOSUPPORT


@pytest.mark.parametrize("machine", MACHINES)
def test_a_process_can_be_made_and_a_namespace_cannot(machine: str) -> None:
    table = seccomp.table(machine)
    clone = table.numbers["clone"]
    assert answer(machine, clone, 17) == ALLOW
    assert answer(machine, clone, 0x3D0F00) == ALLOW  # what pthread_create asks
    for flag in table.new_namespaces:
        assert answer(machine, clone, flag | 17) == ERRNO | errno.EPERM
    assert answer(machine, table.numbers["clone3"]) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_other_architectures_and_unknown_calls_do_not_exist(machine: str) -> None:
    assert answer(machine, 20, arch=0x40000003) == KILL
    for number in (463, 467, 1 << 20, 0x40000000, 0x40000000 + 39, 2**32 - 1):
        assert answer(machine, number) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_typing_into_terminals_and_odd_personalities_are_refused(machine: str) -> None:
    numbers = seccomp.table(machine).numbers
    assert answer(machine, numbers["ioctl"], 0, 0x5412) == ERRNO | errno.EPERM
    assert answer(machine, numbers["ioctl"], 0, 0x541C) == ERRNO | errno.EPERM
    assert answer(machine, numbers["ioctl"], 0, 0x5412 | 1 << 32) == ERRNO | errno.EPERM
    assert answer(machine, numbers["ioctl"], 0, 0x5401) == ALLOW
    assert answer(machine, numbers["personality"], 0xFFFFFFFF) == ALLOW
    assert answer(machine, numbers["personality"], 0x0400000) == ERRNO | errno.EPERM  # READ_IMPLIES_EXEC


@pytest.mark.parametrize("machine", MACHINES)
def test_the_form_for_oci_runtimes_names_the_same_calls(machine: str) -> None:
    table, profile = seccomp.table(machine), seccomp.profile(machine)
    rules = profile["syscalls"]
    assert isinstance(rules, list)
    plain = {name: rule["errnoRet"] for rule in rules if not rule["args"] for name in rule["names"]}
    assert plain == table.refused
    assert profile["architectures"] == [{"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[machine]]
    refused = {rule["args"][0]["value"] for rule in rules if "socketpair" in rule["names"]}
    assert refused == set(range(18)) - set(table.families.values())
