"""Names of tools that belong to a set or a server (`browser.navigate`), put back where a wire has them."""

from __future__ import annotations

from typing import Any


def renamed(call: dict[str, Any], name: str, owners: tuple[str, ...]) -> dict[str, Any]:
    """The call with another name, as its wire's reader tells names: with the owner before it.

    `owners` are the fields that tell the owner, the outermost last. A name that does not begin with the owner of the
    call is a tool without an owner.
    """
    before = "".join(f"{call[field]}." for field in reversed(owners) if call.get(field))
    if before and name.startswith(before):
        return {**call, "name": name.removeprefix(before)}
    return {**{field: value for field, value in call.items() if field not in owners}, "name": name}
