"""What rules would do to an event that somebody made up: nothing is done, and what would change is shown as a diff."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from bawn.errors import Fault, quoted
from bawn.rules.happening import Happening
from bawn.rules.matching import RuleSet
from bawn.rules.model import AFTER_THE_FACT, Block, EventName, Message, PromptInject, Rule
from bawn.sdk import shapes

_KNOWN = ("event", "sessionID", "sessionTitle", "tags", "operatorTags", "directory", "project", "container",
          "containerRole", "toolName", "toolInput", "toolOutput", "messageRole", "messageContent", "system", "error")  # fmt: skip
_LISTS = ("tags", "operatorTags")


def trials(rules: Sequence[Rule], event: Mapping[str, Any]) -> Sequence[shapes.RuleTrial]:
    """Fault `api.invalid` for what is no event."""
    happened, system = _made_up(event)
    fired, failed = RuleSet(rules).held(happened)
    return [
        shapes.RuleTrial(
            rule=rule.id,
            action=rule.action.type,
            blocks=isinstance(rule.action, Block),
            dry_run=rule.dry_run,
            change=_change(rule, happened, system),
        )
        for rule in fired
    ] + [
        shapes.RuleTrial(rule.id, rule.action.type, rule.holds_back, rule.dry_run, failed=because)
        for rule, because in failed
    ]


def _made_up(event: Mapping[str, Any]) -> tuple[Happening, str]:
    unknown = next((name for name in event if name not in _KNOWN), None)
    if unknown is not None:
        raise Fault("api.invalid", f"An event has no {quoted(unknown)}; it has {', '.join(_KNOWN)}.")
    try:
        name = EventName(str(event.get("event")))
    except ValueError:
        kinds = ", ".join(each.value for each in EventName)
        raise Fault("api.invalid", f"`event` must be one of {kinds}.") from None
    said = {key: str(event.get(key, "")) for key in _KNOWN}
    tags, operator_tags = (_texts(event, key) for key in _LISTS)
    text = {
        EventName.CHAT_MESSAGE: said["messageContent"],
        EventName.TOOL_BEFORE: said["toolInput"],
        EventName.TOOL_AFTER: said["toolOutput"],
        EventName.SYSTEM: said["system"],
    }.get(name, said["error"])
    happened = Happening(
        name,
        said["sessionID"] or "test",
        said["container"] or "test",
        said["project"] or "default",
        tags | operator_tags,
        "test",
        text,
        said["toolName"],
        said["messageRole"],
        said["sessionTitle"],
        said["directory"],
        said["toolInput"],
        said["toolOutput"],
        said["error"],
        operator_tags,
        said["containerRole"],
    )
    return happened, said["system"]


def _texts(event: Mapping[str, Any], key: str) -> frozenset[str]:
    said = event.get(key, [])
    if not isinstance(said, list) or not all(isinstance(each, str) for each in said):
        raise Fault("api.invalid", f"`{key}` must be a list of texts.")
    return frozenset(said)


def _change(rule: Rule, happened: Happening, system: str) -> str:
    """What a rule would change, as a diff; empty where it changes nothing."""
    action = rule.action
    if happened.event in AFTER_THE_FACT:
        return ""
    match action:
        case PromptInject(target="system", content=content, position=position):
            return _diff("system", system, _joined(system, content, first=position == "prepend"))
        case PromptInject(content=content, position=position):
            said = happened.text if happened.event is EventName.CHAT_MESSAGE else ""
            return _diff("user", said, _joined(said, content, first=position == "prepend"))
        case Message(content=content):
            return _diff("messages", "", content)
        case Block(reason=reason):
            return _diff("refused", happened.text, reason)
        case _:
            return ""


def _joined(text: str, content: str, *, first: bool) -> str:
    parts = (content, text) if first else (text, content)
    return "\n\n".join(part for part in parts if part)


def _diff(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{name} before", f"{name} after", lineterm=""
    )
    return "\n".join(lines)
