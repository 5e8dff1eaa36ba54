"""A streamed chat completion that is changed on its way.

What a choice says is one text, and its calls are a list beside it, so words that stand for a call are said where the
call began, set apart by an empty line. Calls are numbered anew as they go out, since clients put them into a list by
their numbers. Frames in which nothing had to be changed go out byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bawn.wire.editing import Changed, Kept, Outcome, Spoken
from bawn.wire.editing_faults import editing
from bawn.wire.holding import Unsound
from bawn.wire.object_frames import ObjectFrame, object_frame, object_frames
from bawn.wire.openai_calls import LEGACY, pieces
from bawn.wire.openai_choices import CALLING, OWN, became, legacy_became, more_content
from bawn.wire.plain_object import dicts
from bawn.wire.usage_sum import summed
from bawn.wire.voice import Voice

_NOTHING: tuple[object, ...] = ("", None, [], {})


class _Decided:
    """A call of the group that is written."""

    __slots__ = ("begun", "free", "id", "outcome")

    def __init__(self) -> None:
        self.outcome: Outcome = Kept()
        self.id = ""
        self.free = False
        self.begun = False
        """Whether what stands for it has gone out."""


class _Choice(Voice):
    """What has gone out of one choice."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = False
        self.told = False
        """Whether anything of it has gone out: packages want choices to begin in their order."""
        self.called = False
        self.next = 0
        self.places: dict[int, int] = {}
        """The numbers of this answer's calls as they went out."""
        self.details = 0
        """How many pieces of reasoning are numbered."""
        self.shift = 0

    def place(self, index: int) -> int:
        self.called = True
        if index == LEGACY:
            return LEGACY
        if index not in self.places:
            self.places[index] = self.next
            self.next += 1
        return self.places[index]


_Group = dict[tuple[int, int], _Decided]


class ChatEditor:
    __slots__ = ("_again", "_choices", "_opening", "_owed", "_told", "_used")

    @editing
    def __init__(self, before: bytes) -> None:
        self._opening: dict[str, Any] = {}
        """What each frame of the first answer repeats."""
        self._choices: dict[int, _Choice] = {}
        self._again = False
        self._told: Any = None
        """What this answer has used so far."""
        self._used: Any = None
        """What the answers before it have used."""
        self._owed = False
        """Whether a frame of usage did not go out, and has to come yet."""
        for frame in object_frames(before):
            self._learn(frame)

    @editing
    def passing(self, data: bytes) -> bytes:
        return b"".join([self._frame(frame, {}) for frame in object_frames(data)])

    @editing
    def calls(self, data: bytes, outcomes: Sequence[Outcome]) -> bytes:
        frames = object_frames(data)
        group = _decided(frames, outcomes)
        return b"".join([self._frame(frame, group) for frame in frames])

    @editing
    def say(self, text: str) -> bytes:
        number = min(self._choices, default=0)
        choice = self._choice(number)
        said: dict[str, Any] = {"index": number, "logprobs": None, "finish_reason": None}
        if self._opening.get("object") == "text_completion":
            return self._written({"choices": [{**said, "text": choice.aside(text)}]})
        role = {} if choice.opened else {"role": "assistant"}
        choice.opened = True
        return self._written({"choices": [{**said, "delta": {**role, "content": choice.aside(text)}}]})

    @editing
    def end(self, data: bytes) -> bytes:
        usage = summed(self._used, self._told)
        told = self._written({"choices": [], "usage": usage}) if self._owed and usage is not None else b""
        self._owed = False
        return told + self.passing(data)

    @editing
    def swallow(self, data: bytes) -> None:
        for frame in object_frames(data):
            if frame.value is not None:
                self._count(frame.value)
                self._owed = self._owed or (
                    isinstance(frame.value.get("usage"), dict) and not frame.value.get("choices")
                )

    @editing
    def begin_again(self) -> None:
        self._used, self._told = summed(self._used, self._told), None
        self._again = True
        for choice in self._choices.values():
            choice.places, choice.apart, choice.shift = {}, True, choice.details

    def _choice(self, number: int) -> _Choice:
        return self._choices.setdefault(number, _Choice())

    def _learn(self, frame: ObjectFrame) -> None:
        """A frame that has gone out as it came."""
        if frame.value is None:
            return
        self._count(frame.value)
        for each in dicts(frame.value.get("choices"), "the choices"):
            choice, delta = self._choice(each.get("index", 0)), each.get("delta")
            choice.told = True
            if not isinstance(delta, dict):
                choice.said = choice.said or bool(each.get("text"))
                continue
            choice.opened = choice.opened or "role" in delta
            choice.said = choice.said or bool(delta.get("content"))
            for piece in pieces(delta, streamed=True):
                choice.called = True
                choice.places[piece.index] = piece.index
                choice.next = max(choice.next, piece.index + 1)
            _number_details(choice, delta)

    def _count(self, chunk: dict[str, Any]) -> None:
        if not self._again:
            for name in OWN:
                if not self._opening.get(name) and chunk.get(name) is not None:
                    self._opening[name] = chunk[name]
        if isinstance(chunk.get("usage"), dict):
            # Where more than one frame tells it, the counts are of all that was said so far.
            self._told = chunk["usage"]
            self._owed = self._owed and bool(chunk.get("choices"))

    def _frame(self, frame: ObjectFrame, group: _Group) -> bytes:
        chunk = frame.value
        if chunk is None:
            return frame.raw
        self._count(chunk)
        choices = dicts(chunk.get("choices"), "the choices")
        edited = [new for choice in choices if (new := self._edited(choice, group)) is not None]
        counted = isinstance(chunk.get("usage"), dict)
        if choices and not edited and not counted:
            return b""
        usage = summed(self._used, self._told) if counted and self._used is not None else chunk.get("usage")
        same = len(edited) == len(choices) and all(new is old for new, old in zip(edited, choices, strict=True))
        own = all(chunk.get(name) == self._opening.get(name) for name in OWN) or not self._again
        if same and own and usage is chunk.get("usage"):
            return frame.raw
        told = {**chunk, "choices": edited}
        if counted:
            told["usage"] = usage
        return self._written(told) if self._again else object_frame(told)

    def _written(self, chunk: dict[str, Any]) -> bytes:
        """A frame of the first answer, whichever it came with."""
        given: dict[str, Any] = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 0, "model": ""}
        own = {**given, **self._opening}
        return object_frame({**own, **{name: value for name, value in chunk.items() if name not in OWN}})

    def _edited(self, choice: dict[str, Any], group: _Group) -> dict[str, Any] | None:
        """A choice as it goes out, the same object where nothing is changed; None when it says nothing any more."""
        number = choice.get("index", 0)
        state, delta, reason = self._choice(number), choice.get("delta"), choice.get("finish_reason")
        told, state.told = state.told, True
        if not isinstance(delta, dict):
            text = choice.get("text")
            if isinstance(text, str) and text and (paused := state.goes_on(text)) != text:
                return {**choice, "text": paused}
            return choice
        new = self._delta(state, number, delta, group)
        if reason in CALLING and not state.called:
            reason = "stop"
        elif reason == "stop" and self._again and state.called:
            # The calls of the answer before are still to be run.
            reason = "tool_calls"
        if new is delta and reason == choice.get("finish_reason"):
            return choice
        nothing = reason is None and choice.get("logprobs") is None and all(value in _NOTHING for value in new.values())
        if nothing and told:
            return None
        return {**choice, "delta": new} if reason is None else {**choice, "delta": new, "finish_reason": reason}

    def _delta(self, state: _Choice, number: int, delta: dict[str, Any], group: _Group) -> dict[str, Any]:
        new = dict(delta)
        if "role" in delta:
            if self._again and state.opened:
                # Packages put the pieces of each text together, this one too.
                del new["role"]
            state.opened = True
        content = delta.get("content")
        if isinstance(content, str) and content:
            new["content"] = state.goes_on(content)
        elif content:
            state.said, state.apart = True, False
        spoken = self._calls(state, number, new, group)
        for text in spoken:
            new["content"] = more_content(new.get("content"), state.aside(text))
        _number_details(state, new)
        return delta if new == delta and not spoken else new

    def _calls(self, state: _Choice, number: int, delta: dict[str, Any], group: _Group) -> list[str]:
        """Puts what becomes of the calls in their place; what is said instead of some of them."""
        spoken: list[str] = []
        given = iter(delta.get("tool_calls") or ())
        entries: list[dict[str, Any]] = []
        for piece in pieces(delta, streamed=True):
            decided = group.get((number, piece.index))
            if decided is None:
                raise Unsound("a call comes that nobody has decided on")
            first, decided.begun = not decided.begun, True
            outcome = decided.outcome
            if isinstance(outcome, Spoken) and first:
                spoken.append(outcome.text)
            entry = next(given) if piece.index != LEGACY else {}
            goes = isinstance(outcome, Kept) or (isinstance(outcome, Changed) and first)
            if piece.index == LEGACY:
                if not goes:
                    del delta["function_call"]
                elif isinstance(outcome, Changed):
                    delta["function_call"] = legacy_became(delta["function_call"], outcome)
                state.called = state.called or goes
            elif goes:
                if isinstance(outcome, Changed):
                    entry = {**became(entry, outcome, free=decided.free), **({"id": decided.id} if decided.id else {})}
                place = state.place(piece.index)
                entries.append(entry if entry["index"] == place else {**entry, "index": place})
        if entries:
            delta["tool_calls"] = entries
        elif delta.get("tool_calls"):
            del delta["tool_calls"]
        return spoken


def _decided(frames: Sequence[ObjectFrame], outcomes: Sequence[Outcome]) -> _Group:
    """What becomes of each call of a group, in the order in which the reader tells them."""
    group: _Group = {}
    for frame in frames:
        for choice in dicts(frame.value.get("choices"), "the choices") if frame.value is not None else ():
            delta = choice.get("delta")
            for piece in pieces(delta, streamed=True) if isinstance(delta, dict) else ():
                found = group.setdefault((choice.get("index", 0), piece.index), _Decided())
                found.id = found.id or piece.id
                found.free = found.free or piece.free or False
    if len(group) != len(outcomes):
        raise Unsound("there are not as many outcomes as calls")
    for found, outcome in zip(group.values(), outcomes, strict=True):
        found.outcome = outcome
    return group


def _number_details(choice: _Choice, delta: dict[str, Any]) -> None:
    """Pieces of reasoning that packages put together by their numbers get those behind the answers before."""
    details = delta.get("reasoning_details")
    if not isinstance(details, list):
        return
    numbered: list[Any] = []
    for each in details:
        if isinstance(each, dict) and isinstance(each.get("index"), int):
            index = each["index"] + choice.shift
            choice.details = max(choice.details, index + 1)
            each = {**each, "index": index} if choice.shift else each
        numbered.append(each)
    delta["reasoning_details"] = numbered
