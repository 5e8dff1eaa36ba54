"""`python -m bawn.notify --socket-fd N`: the notifier, on a unix socket that its parent made."""

from __future__ import annotations

import argparse
import signal
import socket
import sys

from bawn.notify.notifier import Notifier


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bawn.notify", description="Delivers notices to services.")
    parser.add_argument("--socket-fd", type=int, required=True, metavar="N", help="a unix socket that listens already")
    options = parser.parse_args()
    # At once: what is on its way is tried again by whoever sent it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with Notifier(socket.socket(fileno=options.socket_fd)) as notifier:
        notifier.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
