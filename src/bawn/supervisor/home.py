"""The folders of an installation, the lock against a second supervisor, and the master key's descriptor."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from bawn.errors import Fault
from bawn.supervisor.users import User

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Home:
    path: Path

    @property
    def socket(self) -> Path:
        """Where the management API answers."""
        return self.path / "run/bawn.sock"

    def lay_out(self, gateway: User | None, audit: User | None, egress: User | None) -> None:
        """Makes the folders, each for who works in it; `None` users: rootless, all ours."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        owners = {
            "state": gateway,
            "run": gateway,
            "scripts": gateway,
            "audit": audit,
            "packages": egress,
            "containers": None,
            "images": None,
            "workspaces": None,
            "snapshots": None,
            "workers": None,
        }
        if gateway is not None:
            os.chown(self.path, 0, gateway.gid)
        # Of an installation of root, other users may pass to the socket, by name, and see or open nothing else.
        self.path.chmod(0o711 if gateway is not None else 0o700)
        for name, owner in owners.items():
            folder = self.path / name
            folder.mkdir(mode=0o700, exist_ok=True)
            if owner is not None:
                os.chown(folder, owner.uid, owner.gid)
            folder.chmod(0o711 if name in ("run", "workers") and gateway is not None else 0o700)

    def lock(self) -> int:
        """Held as long as this supervisor lives; a second one is refused."""
        fd = os.open(self.path / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise Fault("api.conflict", "Bawn runs already", remedy="Stop it with `bawn down` first.") from error
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        return fd


def open_master_key(path: Path, home: Path) -> int:
    """A descriptor of the master key, made if there is none. Only the gateway reads from it."""
    if path.resolve().is_relative_to(home.resolve()):
        raise Fault(
            "config.invalid", "the master key must not lie beside what it protects", remedy=f"Put it outside {home}."
        )
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(fd, "wb") as file:
            # The form that the vault reads: a tag, so that a file of something else is not taken for a key.
            file.write(f"bawn-master-1:{secrets.token_hex(KEY_BYTES)}\n".encode())
            file.flush()
            os.fsync(file.fileno())
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(fd)
        raise Fault(
            "vault.no_master_key",
            f"the master key {path} must be a file of mode 0600 that belongs to who starts Bawn",
            remedy=f"Look who could read it, then chmod 600 {path}.",
        )
    return fd
