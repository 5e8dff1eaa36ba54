"""`bawn attach`: the AI door in a container that somebody else started."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from bawn import sdk
from bawn.cli import output
from bawn.cli.containers import Ai, Expires
from bawn.cli.moment import ahead
from bawn.cli.options import Output, Role, Tags
from bawn.cli.output import Format
from bawn.errors import Fault

ATTACHED = "attached"


def attach(
    target: Annotated[str, typer.Argument(help="Its name or id, as podman or docker has it.", show_default=False)],
    name: Annotated[str, typer.Option(help="Small letters, digits, hyphens.", show_default=False)] = "",
    ai: Ai = None,
    role: Role = "",
    tag: Tags = None,
    expires: Expires = "",
    form: Output = Format.TABLE,
) -> None:
    """Open the AI door in a running container of podman or docker, under an identity of its own.

    Example: bawn attach web --name web
    """
    moment = ahead(expires, datetime.now(UTC)) if expires else None
    with sdk.Client() as client:
        made = client.containers.create(
            name or None,
            image=target,
            runtime=ATTACHED,
            ai=ai,
            role=role or None,
            tags=tag,
            expires=moment,
        )
        try:
            made = client.containers.start(made.id)
        except Fault:
            client.containers.delete(made.id)
            raise
    output.note(
        f"bawn: {made.name} has the AI door, http://127.0.0.2/api/v1 with the token container-{made.name}. "
        "Its egress is not walled: what else it reaches is not ours to say. Its attestation is weak."
    )
    output.show_one(made, form)
