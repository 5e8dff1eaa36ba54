"""Makes this process's memory harder to read: no core file, and no debugger of the same user.

A process that is not dumpable cannot be attached to by `ptrace` and its `/proc/<pid>/mem` belongs to root; so
even another process of the same user does not reach the keys.
"""

from __future__ import annotations

import ctypes
import os
import resource

from bawn.errors import Fault

_PR_SET_DUMPABLE = 4


def harden() -> None:
    """For the rest of this process's life. Fault `internal` when the kernel refuses."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise Fault(
            "internal", "The kernel does not protect this process's memory.", cause=os.strerror(ctypes.get_errno())
        )
