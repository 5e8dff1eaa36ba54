"""The system calls that Python 3.11 has no names for.

Nothing is decided here. Each function is one call, raises OSError with the kernel's errno, and names its
arguments as the manual page does. Numbers above 424 are the same on every architecture Linux has.
"""

from __future__ import annotations

import ctypes
import os
import platform

NEW_NAMESPACE_MOUNT = 0x00020000
NEW_NAMESPACE_CGROUP = 0x02000000
NEW_NAMESPACE_USER = 0x10000000
NEW_NAMESPACE_NET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_IDMAP = 1, 2, 4, 0x00100000

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_SET_CHILD_SUBREAPER = 36
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4

_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219}.get(platform.machine())
_KEYCTL_JOIN_SESSION_KEYRING = 1
_OPENAT2, _OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 437, 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_OPEN_TREE_CLONE, _AT_RECURSIVE = 1, 0x8000
_MOVE_MOUNT_F_EMPTY_PATH, _MOVE_MOUNT_T_EMPTY_PATH = 4, 0x40
_RESOLVE_NO_SYMLINKS, _RESOLVE_NO_MAGICLINKS = 4, 2
_RESOLVE_NO_XDEV, _RESOLVE_BENEATH, _RESOLVE_IN_ROOT = 1, 8, 16

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _checked(result: int, about: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about)
    return result


def unshare(flags: int) -> None:
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int = 0) -> None:
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def prctl(option: int, *arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    _checked(_libc.prctl(option, *padded), "prctl")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _checked(_libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()), target)


def umount(target: str, flags: int = MNT_DETACH) -> None:
    _checked(_libc.umount2(target.encode(), ctypes.c_int(flags)), target)


def open_without_symlinks(path: str, flags: int) -> int:
    """openat2(2): fails with ELOOP when any component of the path is a symbolic link."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)
    name = ctypes.c_char_p(path.encode())
    return _checked(_libc.syscall(_OPENAT2, _AT_FDCWD, name, ctypes.byref(how), ctypes.sizeof(how)), path)


def open_beneath(folder: int, path: str, flags: int, mode: int = 0, *, same_mount: bool = True) -> int:
    """openat2(2): stays beneath `folder`, follows no link, and crosses no mount unless told that it may."""
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve | (_RESOLVE_NO_XDEV if same_mount else 0))
    name = ctypes.c_char_p(os.fsencode(path))
    return _checked(_libc.syscall(_OPENAT2, folder, name, ctypes.byref(how), ctypes.sizeof(how)), path)


def open_in_root(root: int, path: str, flags: int) -> int:
    """openat2(2): as if `root` were the root folder, so that links in it, absolute ones too, lead to places in it."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV)
    name = ctypes.c_char_p(os.fsencode(path))
    return _checked(_libc.syscall(_OPENAT2, root, name, ctypes.byref(how), ctypes.sizeof(how)), path)


def exchange(one: str, other: str) -> None:
    """renameat2(2): two names change places, at once."""
    flags = ctypes.c_uint(2)  # RENAME_EXCHANGE
    _checked(_libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), flags), one)


def detached(fd: int) -> int:
    """A copy of the mount that holds `fd`, not attached anywhere and without the mounts beneath it."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH
    return _checked(_libc.syscall(_OPEN_TREE, fd, ctypes.c_char_p(b""), flags), "open_tree")


def restrict(mount_fd: int, attributes: int, userns_fd: int | None = None) -> None:
    """mount_setattr(2) on a detached mount; with `userns_fd`, its owners are seen through that mapping."""
    if userns_fd is not None:
        attributes |= MOUNT_ATTR_IDMAP
    wanted = _MountAttr(attributes, 0, 0, userns_fd or 0)
    _checked(
        _libc.syscall(
            _MOUNT_SETATTR, mount_fd, ctypes.c_char_p(b""), _AT_EMPTY_PATH, ctypes.byref(wanted), ctypes.sizeof(wanted)
        ),
        "mount_setattr",
    )


def attach(mount_fd: int, target: str) -> None:
    name = ctypes.c_char_p(target.encode())
    _checked(
        _libc.syscall(_MOVE_MOUNT, mount_fd, ctypes.c_char_p(b""), _AT_FDCWD, name, _MOVE_MOUNT_F_EMPTY_PATH), target
    )


def attach_at(mount_fd: int, target_fd: int) -> None:
    """As `attach`, over what a descriptor names: no path is looked up."""
    empty = ctypes.c_char_p(b"")
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    _checked(_libc.syscall(_MOVE_MOUNT, mount_fd, empty, target_fd, empty, flags), "move_mount")


def join_own_keyring() -> None:
    """Leaves the session keyring of whoever started this process, by which their keys can be read even after a change of user."""
    if _KEYCTL is not None:
        _checked(_libc.syscall(_KEYCTL, _KEYCTL_JOIN_SESSION_KEYRING, None), "keyctl")


def apply_seccomp(program: bytes) -> None:
    """Binds this process and all it becomes to a classic BPF filter; needs no_new_privs."""

    class _Program(ctypes.Structure):
        _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    filled = _Program(len(program) // 8, program)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(filled))
