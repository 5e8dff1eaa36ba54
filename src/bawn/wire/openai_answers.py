"""What can be done with chat completions beside reading them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bawn.terms.exchange import Endpoint
from bawn.wire.editing import Changed, Dropped, Kept, Outcome, Refused, Said, Spoken, StreamEditor
from bawn.wire.editing_faults import editing, reforming
from bawn.wire.holding import Unsound
from bawn.wire.just_read import taken
from bawn.wire.openai import calls_of, read_completion
from bawn.wire.openai_calls import LEGACY, pieces
from bawn.wire.openai_choices import CALLING, OWN, became, finished, legacy_became, more_content, set_apart, text_of
from bawn.wire.openai_continuing import continued_request
from bawn.wire.openai_editing import ChatEditor
from bawn.wire.openai_folding import folded_completion, streamed_completion
from bawn.wire.plain_object import dicts, read_body, written_body
from bawn.wire.usage_sum import summed

_FINISHED = {
    "stop": "stop", "length": "length", "tool_calls": "calls", "function_call": "calls", "content_filter": "filter",
}  # fmt: skip
_TALKS = (Endpoint.CHAT_COMPLETIONS, Endpoint.COMPLETIONS)
_THOUGHT = ("reasoning", "reasoning_content")


class ChatAnswers:
    """Faults `tool.refused` and `upstream.broken`, for what cannot be done soundly."""

    def editor(self, before: bytes) -> StreamEditor:
        return ChatEditor(before)

    @editing
    def edited(self, endpoint: Endpoint, body: bytes, outcomes: Sequence[Outcome]) -> bytes:
        if all(isinstance(outcome, Kept) for outcome in outcomes):
            return body
        answer, left = read_body(body), iter(outcomes)
        choices = [_edited(choice, left) for choice in dicts(answer.get("choices"), "the choices")]
        if next(left, None) is not None:
            raise Unsound("there are more outcomes than calls")
        return written_body({**answer, "choices": choices})

    @reforming
    def joined(self, first: bytes, second: bytes) -> bytes:
        before, after = read_body(first), read_body(second)
        said = {choice.get("index", 0): choice for choice in dicts(before.get("choices"), "the choices")}
        choices = [
            _behind(said[choice.get("index", 0)], choice) if choice.get("index", 0) in said else choice
            for choice in dicts(after.get("choices"), "the choices")
        ]
        own = {name: before[name] for name in OWN if name in before}
        rest = {name: value for name, value in after.items() if name not in OWN}
        whole = {**own, **rest, "choices": choices}
        usage = summed(before.get("usage"), after.get("usage"))
        return written_body(whole if usage is None else {**whole, "usage": usage})

    @reforming
    def folded(self, stream: bytes) -> bytes:
        return written_body(folded_completion(stream))

    @reforming
    def streamed(self, body: bytes) -> bytes:
        return streamed_completion(read_body(body))

    @editing
    def continued(self, request: bytes, answer: bytes, refusals: Sequence[Refused]) -> bytes:
        return continued_request(request, read_body(answer), refusals)

    def answer_of(self, text: str, model: str, call: str, created: int) -> bytes:
        message = {"role": "assistant", "content": text, "refusal": None}
        return written_body(
            {
                "id": f"chatcmpl-{call}",
                "object": "chat.completion",
                "created": created,
                "model": model,
                "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
                "usage": dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0),
            }
        )

    @reforming
    def said(self, endpoint: Endpoint, body: bytes) -> Said:
        if endpoint not in _TALKS:
            return Said("", (), "other")
        read = taken(body)
        if read is None:
            read = read_completion(body)
        calls = tuple(calls_of(read)) if endpoint is Endpoint.CHAT_COMPLETIONS else ()
        choices = dicts(read.get("choices"), "the choices")
        reason = choices[0].get("finish_reason") if choices else None
        done = _FINISHED.get(str(reason), "other")
        # Some servers say `stop` although they call.
        return Said("".join(map(_said, choices)), calls, "calls" if calls and done == "stop" else done)


def _said(choice: dict[str, Any]) -> str:
    message = choice.get("message")
    if not isinstance(message, dict):
        return str(choice.get("text") or "")
    refusal = message.get("refusal")
    return text_of(message.get("content")) + (refusal if isinstance(refusal, str) else "")


def _edited(choice: dict[str, Any], outcomes: Iterator[Outcome]) -> dict[str, Any]:
    """A choice, whose calls take their outcomes from the front."""
    message = choice.get("message")
    if not isinstance(message, dict):
        return choice
    new, content = dict(message), message.get("content")
    entries: list[dict[str, Any]] = []
    given = iter(message.get("tool_calls") or ())
    calls = pieces(message)
    for call in calls:
        entry = next(given) if call.index != LEGACY else message["function_call"]
        match next(outcomes, None):
            case None:
                raise Unsound("a call comes that nobody has decided on")
            case Spoken(text=text):
                content = set_apart(content, text)
                entry = None
            case Dropped():
                entry = None
            case Changed() as changed:
                free = call.free or False
                entry = became(entry, changed, free=free) if call.index != LEGACY else legacy_became(entry, changed)
        if call.index == LEGACY:
            new["function_call"] = entry
        elif entry is not None:
            entries.append(entry)
    new["tool_calls"] = entries
    for name in CALLING:
        if not new.get(name):
            new.pop(name, None)
    left = any(name in new for name in CALLING)
    new["content"] = "" if content is None and not left else content
    reason = finished(choice.get("finish_reason"), bool(calls), left)
    return {**choice, "message": new, "finish_reason": reason}


def _behind(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The second choice behind what the first one says; the calls of the first are gone."""
    before, after = first.get("message"), second.get("message")
    if not isinstance(before, dict) or not isinstance(after, dict):
        texts = str(first.get("text") or ""), str(second.get("text") or "")
        return {**second, "text": set_apart(*texts)}
    whole = {**{name: value for name, value in before.items() if name not in CALLING}, **after}
    content, more = before.get("content"), after.get("content")
    if isinstance(content, list) and isinstance(more, list):
        whole["content"] = [*content, *more]
    elif content:
        whole["content"] = set_apart(content, text_of(more))
    for name in _THOUGHT:
        if isinstance(before.get(name), str) and isinstance(after.get(name), str):
            whole[name] = more_content(before[name], after[name])
    details = [message["reasoning_details"] for message in (before, after) if message.get("reasoning_details")]
    if details:
        whole["reasoning_details"] = [each for some in details for each in some]
    return {**second, "message": whole}
