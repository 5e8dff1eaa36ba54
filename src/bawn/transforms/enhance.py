"""An explanation by a second model behind answers that hold code.

The second model is asked through the same door, on behalf of the same container, so its call has a record, a budget and
permissions of its own. When it fails or is slow the answer stays as it was, and the record says so: this stage adds, it
never takes away. Answers with tool calls and answers that were cut are left alone.

In a stream, text goes on at once. Held are only the frames that end the answer, from the one that tells why it stopped:
what is added has to stand before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from pydantic import Field

from bawn.config.patterns import Pattern
from bawn.config.section import Section
from bawn.errors import Fault
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, View
from bawn.terms.clock import Clock
from bawn.terms.exchange import WireName
from bawn.terms.frames import Broken, End, Frame, TextFrame
from bawn.terms.principal import Container
from bawn.transforms.collecting import UNREADABLE, Collected, said
from bawn.transforms.counts import Counts
from bawn.transforms.finishing import Finish, finish_of
from bawn.transforms.questions import CONVERSATIONS
from bawn.transforms.tool_settings import Patterns
from bawn.wire.editing import Answers
from bawn.wire.sse import SseSplitter, TooLong

Ask = Callable[[Container, str, str], Awaitable[str]]
"""What a model says to a text, on behalf of a container. Fault when it says nothing."""
FENCE = "```"


class Enhance(Section):
    """What is explained, and by which model."""

    model: str = Field(min_length=1, description="`provider/model` that explains.")
    prompt: str = Field(
        default="Explain this code in simple terms, in at most five sentences:",
        min_length=1,
        max_length=4000,
        description="What it is told before the answer.",
    )
    heading: str = Field(
        default="\n\n**How this works:**\n", max_length=400, description="Stands before the explanation."
    )
    containers: Patterns = Field(default=("*",), description="For whose answers.")
    code_characters: int = Field(default=80, ge=0, description="Answers with less code are left as they are.")
    answer_bytes: int = Field(default=2**18, ge=1024, le=2**24, description="Larger answers are left as they are.")
    seconds: float = Field(default=30, gt=0, le=600, description="How long the explanation is waited for.")


class EnhanceStage:
    name = "enhance"

    def __init__(
        self, settings: Enhance, answers: Callable[[WireName], Answers], ask: Ask, clock: Clock, counts: Counts
    ) -> None:
        self.settings = settings
        self._containers = [Pattern(each) for each in settings.containers]
        self._answers = answers
        self._ask = ask
        self.clock = clock
        self.counts = counts
        self._asked: set[str] = set()

    async def request(self, asked: Asked) -> Given | None:
        # What Bawn itself asks is not explained: an explanation of an explanation has no end.
        if (
            asked.exchange.endpoint in CONVERSATIONS
            and not asked.depth
            and any(each.fits(asked.container.name) for each in self._containers)
        ):
            self._asked.add(asked.call)
        return None

    def view(self, asked: Asked) -> View | None:
        return _Enhanced(self, asked, self._answers(asked.exchange.wire)) if asked.call in self._asked else None

    def over(self, asked: Asked, ending: Ending) -> None:
        self._asked.discard(asked.call)

    async def explanation(self, asked: Asked, answer: str) -> str:
        """What the second model says; empty when it says nothing in time."""
        try:
            text = await asyncio.wait_for(
                self._ask(asked.container, self.settings.model, f"{self.settings.prompt}\n\n{answer}"),
                self.settings.seconds,
            )
        except (Fault, TimeoutError) as error:
            asked.notes.append(("enhance", error.code if isinstance(error, Fault) else "timeout"))
            self.counts.add("failed")
            return ""
        if text.strip():
            asked.notes.append(("enhance", "explained"))
            self.counts.add("explained")
        return text.strip()

    def wants(self, text: str) -> bool:
        return code_length(text) >= max(1, self.settings.code_characters)


class _Enhanced:
    """A view of one answer."""

    def __init__(self, stage: EnhanceStage, asked: Asked, answers: Answers) -> None:
        self._stage = stage
        self._asked = asked
        self._answers = answers
        self._seen = Collected(stage.settings.answer_bytes)
        self._out: list[bytes] = []
        self._held: list[bytes] = []
        self._splitter = SseSplitter()
        self._off = False
        """Whether this stream is left as it is."""

    async def whole(self, body: bytes) -> bytes:
        if len(body) > self._stage.settings.answer_bytes:
            return body
        added = await self._added(body)
        if not added:
            return body
        exchange, now = self._asked.exchange, int(self._stage.clock.now().timestamp())
        try:
            second = self._answers.answer_of(added, exchange.model, self._asked.call, now)
            return self._answers.joined(body, second)
        except UNREADABLE:
            self._stage.counts.add("unreadable")
            return body

    async def frame(self, frame: Frame) -> Sequence[Frame]:
        if self._off:
            return (frame,)
        self._seen.take(frame)
        if isinstance(frame, TextFrame):
            return self._text(frame)
        if isinstance(frame, End):
            return await self._end(frame)
        # Calls are not explained; a broken answer ends as it is.
        if isinstance(frame, Broken):
            self._off = True
            return (*self._let_go(), frame)
        return self._left(frame)

    def _text(self, frame: TextFrame) -> Sequence[Frame]:
        if self._seen.size > self._stage.settings.answer_bytes:
            return self._left(frame)
        out: list[bytes] = []
        held: list[bytes] = []
        try:
            for each in self._splitter.feed(frame.data):
                ended = bool(held or self._held)
                finish = Finish.ENDING if ended else finish_of(self._asked.exchange.wire, each.data)
                if finish is Finish.WITH_TEXT:
                    self._asked.notes.append(("enhance", "ends with text"))
                    return self._left(frame)
                (held if finish is Finish.ENDING else out).append(each.raw)
        except TooLong:
            return self._left(frame)
        if sum(map(len, (*out, *held))) != len(frame.data):  # no whole frames: what waits is not ours to keep
            return self._left(frame)
        self._out += out
        self._held += held
        return (TextFrame(b"".join(out)),) if out else ()

    def _left(self, frame: Frame) -> Sequence[Frame]:
        self._off = True
        return (*self._let_go(), frame)

    def _let_go(self) -> list[Frame]:
        held, self._held = b"".join(self._held), []
        return [TextFrame(held)] if held else []

    async def _end(self, frame: End) -> Sequence[Frame]:
        body = self._seen.plain(self._answers)
        added = await self._added(body) if body is not None else ""
        if added:
            try:
                editor = self._answers.editor(b"".join(self._out))
                spoken = editor.say(added)
                return (TextFrame(spoken), End(editor.end(b"".join(self._held) + frame.data)))
            except UNREADABLE:
                self._stage.counts.add("unreadable")
        return (*self._let_go(), frame)

    async def _added(self, body: bytes) -> str:
        told = said(self._answers, self._asked.exchange.endpoint, body)
        if told is None or told.calls or told.finished != "stop" or not self._stage.wants(told.text):
            return ""
        text = await self._stage.explanation(self._asked, told.text)
        return self._stage.settings.heading + text if text else ""


def code_length(text: str) -> int:
    """Characters between fences; an open fence reaches to the end."""
    return sum(map(len, text.split(FENCE)[1::2]))
