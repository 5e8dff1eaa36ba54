"""`python -m bawn.audit --directory-fd N --socket-fd N`: the audit writer's process.

Exit codes: 0 it was told to stop, or nobody is left to write for; 65 the recorder sent nonsense; 74 the disk
failed; 78 the log is not its own.
"""

from __future__ import annotations

import argparse
import resource
import socket
import struct
import sys
from datetime import UTC, datetime

from bawn.audit.logfile import LogFile, NotOurs
from bawn.audit.writer import Writer

NONSENSE = 65
DISK_FAILED = 74
NOT_OURS = 78


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bawn.audit", description="Writes the record of Bawn.")
    parser.add_argument("--directory-fd", type=int, required=True, help="descriptor of the log's directory")
    parser.add_argument("--socket-fd", type=int, required=True, help="descriptor of the recorder's socket")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log = LogFile(options.directory_fd, lambda: datetime.now(UTC))
    try:
        log.open()
        with socket.socket(fileno=options.socket_fd) as sock:
            Writer(log, sock).serve()
    except NotOurs as error:
        sys.stderr.write(f"bawn audit: {error}\n")
        return NOT_OURS
    except OSError as error:
        sys.stderr.write(f"bawn audit: the log's disk failed: {error.strerror}\n")
        return DISK_FAILED
    except (ValueError, struct.error) as error:
        sys.stderr.write(f"bawn audit: the recorder sent what cannot be read: {error}\n")
        return NONSENSE
    return 0


if __name__ == "__main__":
    sys.exit(main())
