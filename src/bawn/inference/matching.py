"""Which scene fits a conversation, and what it makes the model say. A pure function of script and request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from bawn.inference.conversation import Conversation
from bawn.inference.script import Reply, Scene, Script, ToolUse, When
from bawn.inference.utterance import Called, Usage, Utterance, cut

_TEMPLATE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def said(script: Script, conversation: Conversation) -> Utterance | None:
    """What the first fitting scene says; None when the script has no such model."""
    for scene in script.scenes:
        if fits(scene.when, conversation):
            return _utterance(scene, conversation)
    return None


def fits(when: When, conversation: Conversation) -> bool:
    results = conversation.results
    last = results[-1] if results else ("", "")
    return (
        (when.model is None or fnmatchcase(bare(conversation.model), bare(when.model)))
        and (when.contains is None or when.contains in conversation.user)
        and (when.matches is None or re.search(when.matches, conversation.user) is not None)
        and (when.system_contains is None or when.system_contains in conversation.system)
        and (when.tool_results is None or when.tool_results == bool(results))
        and (when.last_tool is None or when.last_tool == last[0])
        and (when.result_contains is None or when.result_contains in last[1])
        and set(when.offers) <= set(conversation.offered)
        and (when.offers_nothing is None or when.offers_nothing == (not conversation.offered))
        and (when.turn is None or when.turn == conversation.turn)
        and (when.step is None or when.step == conversation.step)
    )


def bare(model: str) -> str:
    """The model without the provider in front: clients may name it either way."""
    return model.removeprefix("scripted/")


def _utterance(scene: Scene, conversation: Conversation) -> Utterance:
    reply = scene.reply
    values = _values(scene, conversation)
    calls = tuple(_called(tool, index, values, conversation.seed) for index, tool in enumerate(reply.tools))
    text = filled(reply.text, values)
    thinking = filled(reply.thinking, values)
    return Utterance(
        model=conversation.model,
        text=text,
        thinking=thinking,
        numbered=reply.numbered,
        calls=calls,
        usage=_usage(reply, conversation, text + thinking + "".join(call.arguments for call in calls)),
        chunk=reply.chunk,
        stop=reply.stop,
        first_byte_s=reply.first_byte_s,
        first_token_s=reply.first_token_s,
        per_token_s=reply.per_token_s,
        trouble=reply.fault,
        seed=conversation.seed,
        items=tuple(_filled_deep(item, values) for item in reply.items),
    )


def _usage(reply: Reply, conversation: Conversation, spoken: str) -> Usage:
    given = reply.usage
    return Usage(
        input=len(cut(conversation.whole, 0)) if given.input is None else given.input,
        output=len(cut(spoken, 0)) + reply.numbered if given.output is None else given.output,
        cached=given.cached,
        cache_write=given.cache_write,
        reasoning=given.reasoning,
    )


def _values(scene: Scene, conversation: Conversation) -> dict[str, str]:
    results = conversation.results
    values = {
        "user": conversation.user,
        "model": conversation.model,
        "tool_result": results[-1][1] if results else "",
        "tool_name": results[-1][0] if results else "",
        "turn": str(conversation.turn),
        "step": str(conversation.step),
    }
    if scene.when.matches and (match := re.search(scene.when.matches, conversation.user)):
        values |= {name: text or "" for name, text in match.groupdict().items()}
    whole = conversation.whole if scene.reply.find else ""
    for name, pattern in scene.reply.find.items():
        found = list(re.finditer(pattern, whole))
        if not found:
            values[name] = ""
        else:
            values[name] = found[-1].group(1 if found[-1].re.groups else 0) or ""
    return values


def _called(tool: ToolUse, index: int, values: Mapping[str, str], seed: str) -> Called:
    if tool.arguments_raw is not None:
        arguments = filled(tool.arguments_raw, values)
    else:
        arguments = json.dumps(_filled_deep(tool.arguments, values), ensure_ascii=False)
    return Called(id=tool.id or f"call_{seed[:16]}{index:02d}", name=filled(tool.name, values), arguments=arguments)


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with every `{{name}}` that is known put in; an unknown one stays, so that it is seen."""
    return _TEMPLATE.sub(lambda match: values.get(match[1], match[0]), text)


def _filled_deep(value: Any, values: Mapping[str, str]) -> Any:
    match value:
        case str():
            return filled(value, values)
        case dict():
            return {key: _filled_deep(item, values) for key, item in value.items()}
        case list():
            return [_filled_deep(item, values) for item in value]
        case _:
            return value
