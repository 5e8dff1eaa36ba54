"""The parts of a candidate when calls among them are changed, or give way to words, each in its place.

A part keeps what stands beside it, so a call that is changed keeps the signature of its thought. Code that the provider
ran is told as two parts; where the first does not go out, neither does its result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bawn.wire.editing import Changed, Dropped, Kept, Outcome, Spoken
from bawn.wire.holding import Unsound
from bawn.wire.json_text import NotPlain, read_plain
from bawn.wire.usage_sum import summed
from bawn.wire.voice import Voice

OWN = ("responseId", "modelVersion", "createTime")
"""What an answer is told by, in each of its frames."""


class Candidate(Voice):
    """What has gone out of one candidate."""

    def __init__(self) -> None:
        super().__init__()
        self.unrun = False
        """Whether the code that was told last did not go out."""

    def gone(self, parts: Iterable[dict[str, Any]]) -> None:
        """These have gone out as they came."""
        self.said = self.said or any(map(text_of, parts))

    def parts(self, parts: Iterable[dict[str, Any]], outcomes: Iterator[Outcome]) -> list[dict[str, Any]]:
        """What goes out; the same objects where nothing is changed. Raises Unsound."""
        out: list[dict[str, Any]] = []
        for part in parts:
            if is_call(part):
                out += self._call(part, next(outcomes, None))
            elif part.get("codeExecutionResult") is not None and self.unrun:
                continue
            else:
                text = text_of(part)
                told = self.goes_on(text)
                out.append(part if told == text else {**part, "text": told})
        return out

    def _call(self, part: dict[str, Any], outcome: Outcome | None) -> list[dict[str, Any]]:
        code = part.get("functionCall") is None
        if code:
            self.unrun = isinstance(outcome, Spoken | Dropped)
        match outcome:
            case None:
                raise Unsound("a call comes that nobody has decided on")
            case Kept():
                return [part]
            case Spoken(text=text):
                return [{"text": self.aside(text)}] if text else []
            case Dropped():
                return []
            case Changed(name=name, arguments=arguments):
                if code:
                    raise Unsound("code that was run cannot be changed")
                return [{**part, "functionCall": {**part["functionCall"], "name": name, "args": _args(arguments)}}]


def is_call(part: dict[str, Any]) -> bool:
    return part.get("functionCall") is not None or part.get("executableCode") is not None


def text_of(part: dict[str, Any]) -> str:
    """What a part says to the user; thoughts are not said."""
    text = part.get("text")
    return text if isinstance(text, str) and part.get("thought") is not True else ""


def parts_of(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return parts if isinstance(parts, list) else []


def with_parts(candidate: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {**candidate, "content": {"role": "model", **(candidate.get("content") or {}), "parts": parts}}


def together(first: Any, second: Any) -> Any:
    """The `usageMetadata` of two answers as one, with one row for each modality."""
    both = summed(first, second)
    if not isinstance(both, dict):
        return both
    return {name: _rows(value) if isinstance(value, list) else value for name, value in both.items()}


def _rows(rows: list[Any]) -> list[Any]:
    found: dict[Any, Any] = {}
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("modality"), str):
            return rows
        name = row["modality"]
        found[name] = {**summed(found[name], row), "modality": name} if name in found else row
    return list(found.values())


def _args(arguments: str) -> dict[str, Any]:
    try:
        read = read_plain(arguments.encode() or b"{}")
    except NotPlain as error:
        raise Unsound(f"the arguments are not plain JSON: {error}") from None
    if not isinstance(read, dict):
        raise Unsound("the arguments are no object")
    return read
