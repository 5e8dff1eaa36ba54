"""Egress rules as the configuration has them: read, checked, and shown again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bawn.egress.policy import rule_of
from bawn.egress.settings import Egress, EgressRule
from bawn.errors import Fault

PRESETS = ("@pip", "@npm")
"""Rules that open the packages door instead of a host."""


def sound(settings: Egress) -> None:
    """Every rule can be read and every credential it names is there. Fault `config.invalid`."""
    everywhere = [("egress.allow", settings.allow)]
    everywhere += [(f"egress.containers.{name}", rules) for name, rules in settings.containers.items()]
    for where, rules in everywhere:
        for number, said in enumerate(rules):
            if said in PRESETS:
                continue
            try:
                rule = rule_of(written(said))
            except Fault as fault:
                sentence = f"{where}.{number}: {fault.sentence}"
                raise Fault("config.invalid", sentence, remedy=fault.remedy) from fault
            if rule.credential is not None and rule.credential not in settings.credentials:
                raise Fault("config.invalid", f"{where}.{number}: there is no credential {rule.credential}.")


def written(said: str | EgressRule) -> str | Mapping[str, Any]:
    return said if isinstance(said, str) else said.model_dump(exclude_none=True)


def shown(said: str | EgressRule) -> str:
    if isinstance(said, str):
        return said
    words = [f"{said.host}:{','.join(map(str, said.ports))}", *said.methods, *said.paths]
    if said.credential is not None:
        words.append(f"credential={said.credential}")
    return " ".join(words)
