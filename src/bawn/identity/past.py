"""A container as a log of Bawn's own names it, which may be no more: for looking back, with nothing that could be called."""

from __future__ import annotations

from bawn.terms.principal import Container


def past(uuid: str, number: int, name: str, project: str) -> Container:
    return Container(uuid, number, name, project)
