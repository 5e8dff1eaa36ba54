"""A streamed answer of Gemini that is changed on its way.

Each frame is an answer of its own and its calls are whole, so a frame is edited as a plain answer is. Frames in which
nothing had to be changed go out byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bawn.wire.editing import Outcome
from bawn.wire.editing_faults import editing
from bawn.wire.gemini_parts import OWN, Candidate, parts_of, together, with_parts
from bawn.wire.holding import Unsound
from bawn.wire.object_frames import ObjectFrame, object_frame, object_frames
from bawn.wire.plain_object import dicts

_LINE_END = b"\r\n"


class ContentEditor:
    __slots__ = ("_again", "_candidates", "_own", "_told", "_used")

    @editing
    def __init__(self, before: bytes) -> None:
        self._own: dict[str, Any] = {}
        """What each frame of the first answer repeats."""
        self._candidates: dict[int, Candidate] = {}
        self._again = False
        self._told: Any = None
        """What this answer has used so far."""
        self._used: Any = None
        """What the answers before it have used."""
        for frame in object_frames(before):
            if frame.value is not None:
                self._count(frame.value)
                for candidate in _candidates(frame.value):
                    self._candidate(candidate).gone(parts_of(candidate))

    @editing
    def passing(self, data: bytes) -> bytes:
        return self.calls(data, ())

    @editing
    def calls(self, data: bytes, outcomes: Sequence[Outcome]) -> bytes:
        left = iter(outcomes)
        out = b"".join([self._frame(frame, left) for frame in object_frames(data)])
        if next(left, None) is not None:
            raise Unsound("there are more outcomes than calls")
        return out

    @editing
    def say(self, text: str) -> bytes:
        index = min(self._candidates, default=0)
        told = self._candidate({"index": index}).aside(text)
        content = {"parts": [{"text": told}], "role": "model"}
        return object_frame({"candidates": [{"content": content, "index": index}], **self._own}, _LINE_END)

    @editing
    def end(self, data: bytes) -> bytes:
        frames = object_frames(data)
        if frames and self._used is not None and self._told is None:
            # This answer says nothing of what it used; those before it did.
            last = frames[-1]
            if last.value is not None and not last.value.get("usageMetadata"):
                frames[-1] = ObjectFrame(last.raw, {**last.value, "usageMetadata": {}})
        return b"".join([self._frame(frame, iter(())) for frame in frames])

    @editing
    def swallow(self, data: bytes) -> None:
        for frame in object_frames(data):
            if frame.value is not None:
                self._count(frame.value)

    @editing
    def begin_again(self) -> None:
        self._used, self._told = together(self._used, self._told), None
        self._again = True
        for candidate in self._candidates.values():
            candidate.apart, candidate.unrun = True, False

    def _candidate(self, told: dict[str, Any]) -> Candidate:
        return self._candidates.setdefault(told.get("index", 0), Candidate())

    def _count(self, answer: dict[str, Any]) -> None:
        if not self._again:
            for name in OWN:
                if not self._own.get(name) and answer.get(name) is not None:
                    self._own[name] = answer[name]
        if isinstance(answer.get("usageMetadata"), dict):
            # Each frame counts all that was said so far.
            self._told = answer["usageMetadata"]

    def _frame(self, frame: ObjectFrame, outcomes: Iterator[Outcome]) -> bytes:
        answer = frame.value
        if answer is None:
            return frame.raw
        self._count(answer)
        candidates = _candidates(answer)
        edited = [self._edited(candidate, outcomes) for candidate in candidates]
        same = all(new is old for new, old in zip(edited, candidates, strict=True))
        if not same and not any(parts_of(each) or each.get("finishReason") for each in edited):
            return b""
        new = dict(answer)
        if candidates:
            new["candidates"] = [
                each if each is before else _with_something(each)
                for each, before in zip(edited, candidates, strict=True)
            ]
        if isinstance(answer.get("usageMetadata"), dict) and self._used is not None:
            new["usageMetadata"] = together(self._used, answer["usageMetadata"])
        if self._again:
            new = {**{name: value for name, value in new.items() if name not in OWN}, **self._own}
        return frame.raw if new == answer and same else object_frame(new, _LINE_END)

    def _edited(self, candidate: dict[str, Any], outcomes: Iterator[Outcome]) -> dict[str, Any]:
        """A candidate as it goes out, the same object where nothing is changed."""
        before = parts_of(candidate)
        parts = self._candidate(candidate).parts(before, outcomes)
        same = len(parts) == len(before) and all(new is old for new, old in zip(parts, before, strict=True))
        return candidate if same else with_parts(candidate, parts)


def _candidates(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return dicts(answer.get("candidates") or [], "the candidates")


def _with_something(candidate: dict[str, Any]) -> dict[str, Any]:
    """Packages warn of a candidate without parts."""
    return candidate if parts_of(candidate) else with_parts(candidate, [{"text": ""}])
