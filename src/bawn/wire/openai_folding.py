"""A streamed chat completion as a plain one, and a plain one as a stream.

Pieces of text are put behind each other, pieces of a list by their numbers, as the official packages do it.
"""

from __future__ import annotations

from typing import Any

from bawn.wire.object_frames import object_frame, object_frames
from bawn.wire.openai_choices import CALLING, OWN
from bawn.wire.plain_object import dicts

DONE = b"data: [DONE]\n\n"
_ONCE = frozenset(("id", "type", "role", "index", "format"))
"""What a later piece repeats."""
_PER_FRAME = frozenset(("choices", "usage", "object", "obfuscation"))


class _Texts:
    """A text that grows; joined when it is whole."""

    __slots__ = ("pieces",)

    def __init__(self, piece: str) -> None:
        self.pieces = [piece]


class _Numbered:
    """A list whose elements grow by their numbers."""

    __slots__ = ("_places", "items")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._places: dict[int, int] = {}

    def add(self, piece: Any) -> None:
        number = piece.get("index") if isinstance(piece, dict) else None
        if not isinstance(number, int):
            self.items.append(_begun(piece, ""))
            return
        place = self._places.get(number)
        if place is None or _kinds_differ(self.items[place], piece):
            self._places[number] = len(self.items)
            self.items.append(_begun(piece, ""))
        else:
            self.items[place] = _grown(self.items[place], piece, "")


def _kinds_differ(first: dict[str, Any], second: dict[str, Any]) -> bool:
    kinds = first.get("type"), second.get("type")
    return None not in kinds and kinds[0] != kinds[1]


def _begun(piece: Any, name: str) -> Any:
    if isinstance(piece, str):
        return piece if name in _ONCE else _Texts(piece)
    if isinstance(piece, dict):
        return {key: _begun(value, key) for key, value in piece.items()}
    if isinstance(piece, list):
        numbered = _Numbered()
        for each in piece:
            numbered.add(each)
        return numbered
    return piece


def _grown(whole: Any, piece: Any, name: str) -> Any:
    """The whole with one more piece."""
    if piece is None:
        return whole
    if whole is None or (name in _ONCE and not whole):
        return _begun(piece, name)
    if name in _ONCE:
        return whole
    if isinstance(whole, _Texts) and isinstance(piece, str):
        whole.pieces.append(piece)
    elif isinstance(whole, _Numbered) and isinstance(piece, list):
        for each in piece:
            whole.add(each)
    elif isinstance(whole, dict) and isinstance(piece, dict):
        for key, value in piece.items():
            whole[key] = _grown(whole.get(key), value, key)
    else:
        return _begun(piece, name)
    return whole


def _settled(whole: Any) -> Any:
    if isinstance(whole, _Texts):
        return "".join(whole.pieces)
    if isinstance(whole, _Numbered):
        return [_settled(each) for each in whole.items]
    if isinstance(whole, dict):
        return {key: _settled(value) for key, value in whole.items()}
    return whole


def folded_completion(stream: bytes) -> dict[str, Any]:
    """Raises Unsound when the stream is none."""
    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    usage: dict[str, Any] | None = None
    choices: dict[int, dict[str, Any]] = {}
    kind = "chat.completion"
    for frame in object_frames(stream):
        chunk = frame.value
        if chunk is None:
            continue
        kind = "text_completion" if chunk.get("object") == "text_completion" else kind
        for name, value in chunk.items():
            if name in OWN:
                own[name] = own.get(name) or value
            elif name not in _PER_FRAME and value is not None:
                rest[name] = value
        usage = chunk["usage"] if isinstance(chunk.get("usage"), dict) else usage
        for choice in dicts(chunk.get("choices"), "the choices"):
            number = choice.get("index", 0)
            reason = choice.get("finish_reason")
            whole = choices.setdefault(number, {"finish_reason": None})
            whole["finish_reason"] = reason if reason is not None else whole["finish_reason"]
            for name, value in choice.items():
                if name not in ("index", "finish_reason"):
                    whole[name] = _grown(whole.get(name), value, name)
    told = [_choice(number, choices[number]) for number in sorted(choices)]
    answer = {**own, "object": kind, **rest, "choices": told}
    return answer if usage is None else {**answer, "usage": usage}


def _choice(number: int, whole: dict[str, Any]) -> dict[str, Any]:
    said = _settled(whole)
    if "text" in said:
        return {"logprobs": None, **said, "index": number, "finish_reason": said["finish_reason"] or "stop"}
    message = {"role": "assistant", "content": None, "refusal": None, **(said.pop("delta", None) or {})}
    calls = message.get("tool_calls")
    if calls:
        message["tool_calls"] = [_without(call, "index") for call in calls]
    elif "tool_calls" in message:
        del message["tool_calls"]
    # Some servers end a stream by `[DONE]` alone.
    reason = said["finish_reason"] or ("tool_calls" if calls else "stop")
    return {"logprobs": None, **said, "index": number, "message": message, "finish_reason": reason}


def streamed_completion(answer: dict[str, Any]) -> bytes:
    """Raises Unsound when the answer is none."""
    text_only = answer.get("object") == "text_completion"
    kind = "text_completion" if text_only else "chat.completion.chunk"
    given = {"id": "chatcmpl-0", "created": 0, "model": "", **_without(answer, "choices", "usage"), "object": kind}
    frames: list[dict[str, Any]] = []
    for choice in dicts(answer.get("choices"), "the choices"):
        said = {"index": choice.get("index", 0), "logprobs": None, "finish_reason": None}
        reason = choice.get("finish_reason")
        if text_only:
            frames.append({"choices": [{**choice, **said, "finish_reason": reason or "stop"}]})
            continue
        frames += [{"choices": [{**said, "delta": delta}]} for delta in _deltas(choice.get("message") or {})]
        if choice.get("logprobs") is not None:
            frames[-1]["choices"][0]["logprobs"] = choice["logprobs"]
        calls = any((choice.get("message") or {}).get(name) for name in CALLING)
        frames.append(
            {"choices": [{**said, "delta": {}, "finish_reason": reason or ("tool_calls" if calls else "stop")}]}
        )
    if isinstance(answer.get("usage"), dict):
        frames.append({"choices": [], "usage": answer["usage"]})
    return b"".join([object_frame({**given, **frame}) for frame in frames]) + DONE


def _deltas(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A message in pieces: what was thought, what was said, each call."""
    calls = message.get("tool_calls") or []
    rest = {name: value for name, value in message.items() if value is not None}
    said = {"content": rest.pop("content")} if rest.get("content") else {}
    legacy = {"function_call": rest.pop("function_call")} if rest.get("function_call") else {}
    opening = {"role": rest.pop("role", "assistant"), "content": ""}
    rest.pop("content", None)
    rest.pop("tool_calls", None)
    numbered = [{"tool_calls": [{**call, "index": index}]} for index, call in enumerate(calls)]
    return [opening, *(each for each in (rest, said, legacy, *numbered) if each)]


def _without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: each for name, each in value.items() if name not in names}
