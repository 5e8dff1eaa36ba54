"""One streamed answer as the client gets it: as it came until a tool call is changed or withheld, edited from then on.

A withheld call that may be told back to the model waits, with everything behind it, until it is known whether all calls of
its message are withheld: only then the model goes on instead of the agent.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bawn.errors import Fault
from bawn.gateway.settings import Interception, Pending, Withheld
from bawn.gateway.toolgate import Cleared, Judged, Rewritten, Withholding, blocked
from bawn.terms.frames import End, TextFrame
from bawn.terms.value import Value
from bawn.wire.editing import Answers, Outcome, Refused, Spoken, StreamEditor

MAX_KEPT_BYTES = 16 * 2**20
"""Of an answer; one that is longer can be released or refused, but not changed."""

Out = TextFrame | Cleared | Rewritten | End


class Again(Value, frozen=True):
    """All calls of a message were withheld: the model is to be told."""

    refusals: tuple[Refused, ...]


def spoken(withheld: Withholding) -> Spoken:
    """What the assistant says in the place of a call."""
    if withheld.pending:
        facts = dict(withheld.decision.facts)
        told = {
            "status": "pending_approval",
            "requestId": facts.get("ticket", ""),
            "message": f"The tool call {withheld.call.name!r} waits for a person. {withheld.decision.because}",
            "estimatedWait": facts.get("estimate", ""),
        }
        return Spoken(msgspec.json.encode(told).decode())
    return Spoken(f"The tool call {withheld.call.name!r} was refused: {withheld.decision.because}.")


def told(withheld: Withholding) -> Refused:
    """What the model reads as the result of its call."""
    return Refused(
        withheld.call.id,
        f"This call was refused and did not run: {withheld.decision.because}. Go on without it, or in another way.",
    )


def tellable(judged: Judged) -> bool:
    """Whether the model may be told instead of the agent: all calls are withheld, and none of them only for now."""
    return len(judged.withheld) == len(judged.verdicts) and not any(each.pending for each in judged.withheld)


def outcomes(judged: Judged, style: Interception) -> list[Outcome]:
    """What the agent gets for each call of a group. Fault `approval.pending` where that is to be an error."""
    pending = next((each for each in judged.withheld if each.pending), None)
    if pending is not None and style.pending is Pending.ERROR:
        ticket = dict(pending.decision.facts).get("ticket", "")
        raise Fault("approval.pending", f"{pending.decision.because} Its ticket is {ticket}.")
    return [_outcome(verdict, style) for verdict in judged.verdicts]


def _outcome(verdict: Outcome | Withholding, style: Interception) -> Outcome:
    if not isinstance(verdict, Withholding):
        return verdict
    renamed = style.withheld is Withheld.RENAME and not verdict.pending
    return blocked(style.rename_to, verdict) if renamed else spoken(verdict)


class Intercepted:
    __slots__ = ("_answers", "_editor", "_end", "_raw", "_released", "_rounds", "_size", "_style", "_waiting", "sent")

    def __init__(self, answers: Answers | None, style: Interception) -> None:
        self._answers = answers
        """None where the endpoint has no conversation, and so no calls."""
        self._style = style
        self._editor: StreamEditor | None = None
        self._raw: list[bytes] = []
        """The answer that is read, as it came."""
        self._size = 0
        self._waiting: list[bytes | Judged] = []
        self._released = 0
        self._rounds = 0
        self._end = b""
        self.sent: list[bytes] = []
        """What has gone out, until it is too much to keep."""

    @property
    def as_it_is(self) -> bool:
        """Whether text goes out as it came."""
        return self._editor is None and not self._waiting

    @property
    def answer(self) -> bytes:
        """The whole of the answer that was read, as it came."""
        return b"".join(self._raw)

    def passed(self, data: bytes) -> None:
        """Text went out as it came."""
        self._keep(data)
        self._went(data)

    def text(self, data: bytes) -> Sequence[Out]:
        self._keep(data)
        if self._waiting:
            self._waiting.append(data)
            return ()
        if self._editor is not None:
            data = self._editor.passing(data)
        self._went(data)
        return (TextFrame(data),)

    def calls(self, verdict: Cleared | Judged) -> Sequence[Out]:
        """What goes out now that a group is judged."""
        if isinstance(verdict, Judged) and tellable(verdict) and (self._waiting or self._may_tell()):
            self._edited()
            self._keep(verdict.data)
            self._waiting.append(verdict)
            return ()
        out = self._without_telling()
        if isinstance(verdict, Judged):
            self._edited()
        self._keep(verdict.data)
        out.append(self._release(verdict))
        return out

    def end(self, data: bytes) -> Sequence[Out] | Again:
        """The end of the answer, or what the model is to be told before there is one."""
        self._keep(data)
        if self._waiting:
            self._end = data
            refusals = [told(each) for group in self._waiting if isinstance(group, Judged) for each in group.withheld]
            return Again(tuple(refusals))
        return (self._ending(data),)

    def go_on(self) -> None:
        """The model was told, and goes on: what comes now is another answer, behind what has gone out."""
        editor = self._edited()
        for each in self._waiting:
            editor.swallow(each.data if isinstance(each, Judged) else each)
        editor.swallow(self._end)
        editor.begin_again()
        self._waiting, self._raw, self._size, self._released = [], [], 0, 0
        self._rounds += 1

    def give_up(self) -> Sequence[Out]:
        """The model could not be told: the agent is."""
        return [*self._without_telling(), self._ending(self._end)]

    def _may_tell(self) -> bool:
        return (
            self._style.withheld is Withheld.FEEDBACK
            and not self._released
            and self._rounds < self._style.feedback_rounds
        )

    def _without_telling(self) -> list[Out]:
        """What waited, with words in the place of the calls."""
        waited, self._waiting = self._waiting, []
        out: list[Out] = []
        for each in waited:
            if isinstance(each, Judged):
                out.append(self._release(each))
            else:
                data = self._edited().passing(each)
                self._went(data)
                out.append(TextFrame(data))
        return out

    def _release(self, verdict: Cleared | Judged) -> Cleared | Rewritten:
        if isinstance(verdict, Cleared):
            self._released += len(verdict.record_ids)
            if self._editor is None:
                self._went(verdict.data)
                return verdict
            released = verdict.released(self._editor.calls)
        else:
            chosen = outcomes(verdict, self._style)
            self._released += sum(not isinstance(each, Spoken) for each in chosen)
            released = verdict.released(chosen, self._edited().calls)
        self._went(released.data)
        return released

    def _ending(self, data: bytes) -> End:
        if self._editor is not None:
            data = self._editor.end(data)
        self._went(data)
        return End(data)

    def _edited(self) -> StreamEditor:
        """The editor; from now on everything goes through it."""
        if self._editor is None:
            if self._answers is None or self._size > MAX_KEPT_BYTES:
                raise Fault("tool.refused", "A tool call would have to be changed in an answer that cannot be.")
            self._editor = self._answers.editor(b"".join(self._raw))
        return self._editor

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= MAX_KEPT_BYTES:
            self._raw.append(data)
        else:
            self._raw = []

    def _went(self, data: bytes) -> None:
        if self._size <= MAX_KEPT_BYTES:
            self.sent.append(data)
        else:
            self.sent = []
