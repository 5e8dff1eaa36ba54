"""The master key: 32 random bytes in a file of their own, outside of what they protect.

Looked for in this order: systemd's credentials (`$CREDENTIALS_DIRECTORY/bawn.master`), a descriptor that was
inherited, a path. A file that others can read, that belongs to somebody else, or that lies within $BAWN_HOME is
refused: whoever copies $BAWN_HOME must not have copied the key as well. A missing file is made once,
never overwritten.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bawn.errors import Fault
from bawn.vault.secret import HIDDEN

CREDENTIAL = "bawn.master"

_TEXT = re.compile(rb"bawn-master-1:([0-9a-f]{64})\n?")
_LONGEST = 256


class Master:
    """The key itself; only keys derived from it for one purpose each are used."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("a master key has 32 bytes")
        self._key = key

    def derive(self, purpose: str) -> bytes:
        """32 bytes for this purpose and no other."""
        return HKDF(SHA256(), 32, salt=None, info=f"bawn/{purpose}".encode()).derive(self._key)

    def __repr__(self) -> str:
        return f"Master({HIDDEN})"


def find_master(
    path: Path, home: Path, *, descriptor: int | None = None, credentials: str | None = None, create: bool = False
) -> Master | None:
    """The master key from wherever it is; None when there is none and none may be made.

    `credentials` is the value of $CREDENTIALS_DIRECTORY, if there is one. Fault `vault.no_master_key` when
    there is one that must not be used.
    """
    if credentials and (given := Path(credentials) / CREDENTIAL).exists():
        return master_at(given, home)
    if descriptor is not None:
        return master_from(descriptor)
    if create:
        create_master(path, home)
    return master_at(path, home) if path.exists() else None


def create_master(path: Path, home: Path) -> bool:
    """Makes the file; False when there is one already."""
    _refuse_inside(path, home)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    except OSError as error:
        raise _refused(f"The master key cannot be made: {error.strerror}.", str(path)) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"bawn-master-1:" + secrets.token_hex(32).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


def master_at(path: Path, home: Path) -> Master:
    """The key in this file."""
    _refuse_inside(path, home)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _refused(f"The master key cannot be read: {error.strerror}.", str(path)) from error
    try:
        return master_from(descriptor)
    finally:
        os.close(descriptor)


def master_from(descriptor: int) -> Master:
    """The key in an open file, which must be closed to everybody but its owner, who is root or this user."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise _refused("The master key is not a plain file.")
    if status.st_uid not in (0, os.geteuid()):
        raise _refused("The master key belongs to another user.", f"uid {status.st_uid}")
    if status.st_mode & 0o077:
        raise _refused(
            "The master key is readable for others.", f"mode {status.st_mode & 0o777:o}", "Run chmod 600 on it."
        )
    shape = _TEXT.fullmatch(os.pread(descriptor, _LONGEST, 0))
    if shape is None:
        raise _refused("The master key's file does not hold a master key.")
    return Master(bytes.fromhex(shape[1].decode()))


def _refuse_inside(path: Path, home: Path) -> None:
    if path.resolve().is_relative_to(home.resolve()):
        raise _refused(
            "The master key lies within $BAWN_HOME, beside what it protects.", str(path), "Move it somewhere else."
        )


def _refused(sentence: str, cause: str = "", remedy: str | None = None) -> Fault:
    return Fault("vault.no_master_key", sentence, cause=cause, remedy=remedy)
