"""The program `bawn`."""

from __future__ import annotations

import sys

from bawn.cli.main import main as command_line


def main() -> None:
    sys.exit(command_line())


if __name__ == "__main__":
    main()
