"""A streamed answer of Gemini as a plain one, and a plain one as a stream.

Pieces of text become one part again unless a signature stands beside one of them: a signed part is sent back to the
provider as it came (ai.google.dev/gemini-api/docs/thought-signatures).
"""

from __future__ import annotations

from typing import Any

from bawn.wire.gemini_parts import OWN, parts_of, with_parts
from bawn.wire.object_frames import object_frame, object_frames
from bawn.wire.plain_object import dicts

_PLAIN = frozenset(("text", "thought"))
_NO_REASONS = ("", None, "FINISH_REASON_UNSPECIFIED")


class _Whole:
    """A candidate as it grows."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.role = "model"
        self.parts: list[dict[str, Any]] = []
        self.told = False
        self._text: list[str] = []
        self._thought = False

    def add(self, candidate: dict[str, Any]) -> None:
        for name, value in candidate.items():
            if name != "content" and value is not None:
                self.fields[name] = _with_citations(self.fields.get(name), value)
        content = candidate.get("content")
        self.told = self.told or content is not None
        self.role = (content or {}).get("role") or self.role
        for part in parts_of(candidate):
            text = part.get("text")
            if not isinstance(text, str) or not _PLAIN.issuperset(part):
                self._settle()
                self.parts.append(part)
            elif text:
                thought = part.get("thought") is True
                if thought != self._thought:
                    self._settle()
                self._thought = thought
                self._text.append(text)

    def settled(self) -> dict[str, Any]:
        self._settle()
        content = {"content": {"parts": self.parts, "role": self.role}} if self.told else {}
        return {**content, **self.fields}

    def _settle(self) -> None:
        if self._text:
            beside = {"thought": True} if self._thought else {}
            self.parts.append({"text": "".join(self._text), **beside})
            self._text = []


def folded_content(stream: bytes) -> dict[str, Any]:
    """Raises Unsound when the stream is none."""
    fields: dict[str, Any] = {}
    candidates: dict[int, _Whole] = {}
    for frame in object_frames(stream):
        if frame.value is None:
            continue
        for name, value in frame.value.items():
            if value is not None and name != "candidates":
                fields[name] = fields.get(name) or value if name in OWN else value
        for candidate in dicts(frame.value.get("candidates") or [], "the candidates"):
            candidates.setdefault(candidate.get("index", 0), _Whole()).add(candidate)
    told = [candidates[index].settled() for index in sorted(candidates)]
    return {"candidates": told, **fields} if told else fields


def streamed_content(answer: dict[str, Any]) -> bytes:
    """Raises Unsound when the answer is none. The last frame says why all ended, and what was used."""
    own = {name: answer[name] for name in OWN if name in answer}
    candidates = dicts(answer.get("candidates") or [], "the candidates")
    frames: list[dict[str, Any]] = []
    last: list[dict[str, Any]] = []
    for candidate in candidates:
        index = {"index": candidate["index"]} if "index" in candidate else {}
        frames += [
            {"candidates": [with_parts({**index, "content": candidate["content"]}, [part])], **own}
            for part in parts_of(candidate)
        ]
        ended = with_parts(candidate, [{"text": ""}]) if "content" in candidate else dict(candidate)
        if ended.get("finishReason") in _NO_REASONS:
            ended["finishReason"] = "STOP"
        last.append(ended)
    frames.append({**answer, "candidates": last} if candidates else answer)
    return b"".join([object_frame(frame, b"\r\n") for frame in frames])


def _with_citations(before: Any, value: Any) -> Any:
    """A later value takes the place of an earlier one; sources of citations are told one by one."""
    if isinstance(before, dict) and isinstance(value, dict) and isinstance(value.get("citationSources"), list):
        return {**value, "citationSources": [*(before.get("citationSources") or []), *value["citationSources"]]}
    return value
