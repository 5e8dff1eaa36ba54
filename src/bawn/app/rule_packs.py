"""Rules that ship with Bawn, by name: `bawn rules add @security-directives`.

A pack is a file of the same form as everybody's, read by the same reader. Its rules put words into system texts and do nothing
else, so that no pack can relax anything. Each of its ids begins with the pack's name and a colon; nobody else's may, so that a
newer Bawn can put its own words in the place of those before and an operator's rule is never taken for one of a pack.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources

from msgspec import Struct

from bawn.app.rule_files import read_rules
from bawn.errors import Fault, quoted
from bawn.rules.model import EventName, OnFailure, PromptInject, Rule


class Pack(Struct, frozen=True):
    name: str
    about: str
    rules: tuple[Rule, ...]

    def mine(self, rule: Rule) -> bool:
        """Whether a rule is of this pack, in whichever version."""
        return rule.id.startswith(f"{self.name}:")


@cache
def packs() -> tuple[Pack, ...]:
    """All, by name."""
    places = resources.files("bawn.rules").joinpath("packs").iterdir()
    texts = {
        place.name.removesuffix(".json"): place.read_text("utf-8") for place in places if place.name.endswith(".json")
    }
    return tuple(_pack(name, text) for name, text in sorted(texts.items()))


def pack(name: str) -> Pack:
    """Fault `rule.unknown`."""
    plain = name.removeprefix("@")
    found = next((each for each in packs() if each.name == plain), None)
    if found is None:
        known = ", ".join(f"@{each.name}" for each in packs())
        raise Fault("rule.unknown", f"There is no pack of rules {quoted(name)}; there are {known}.")
    return found


def pack_of(id_: str) -> Pack | None:
    """To which pack an id belongs."""
    return next((each for each in packs() if id_.startswith(f"{each.name}:")), None)


def renewed(found: Pack, own: Sequence[Rule]) -> tuple[Rule, ...]:
    """The operator's rules with those of a pack as this version has them; one that was switched off stays so. What the pack does
    not have any more goes."""
    off = {rule.id for rule in own if found.mine(rule) and not rule.enabled}
    fresh = [rule.model_copy(update={"enabled": False}) if rule.id in off else rule for rule in found.rules]
    return (*(rule for rule in own if not found.mine(rule)), *fresh)


def _pack(name: str, text: str) -> Pack:
    rules = read_rules(text, f"{name}.json").rules
    made = Pack(name, str(json.loads(text)["about"]), rules)
    for rule in rules:
        action = rule.action
        plain = isinstance(action, PromptInject) and action.target == "system" and action.on_failure is OnFailure.CLOSED
        if not plain or rule.trigger.event is not EventName.SYSTEM or not made.mine(rule):
            raise Fault("config.invalid", f"The rule {quoted(rule.id)} of the pack {name} does more than a pack may.")
    return made
