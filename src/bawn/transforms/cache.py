"""Answers given again to equal questions.

A question is equal when everything is that a provider sees of it (`questions`). Kept are answers that came to their end:
status 200, nothing cut, the model's own stop; and no turn that uses tools (results in the request, calls in the answer),
since what tools find changes, unless the operator wants these too. What is given again goes the way of every answer: the
container's permissions first, the tool gate last. It costs nothing.

A plain answer and a streamed one are the same answer: each is made of the other when it is first wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pydantic import Field

from bawn.config.section import Section
from bawn.errors import Fault
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, View
from bawn.terms.clock import Clock
from bawn.terms.exchange import WireName
from bawn.transforms.collecting import UNREADABLE, Collected
from bawn.transforms.counts import Counts
from bawn.transforms.entries import Entries, Entry
from bawn.transforms.questions import CONVERSATIONS, Form, Question, Share, question
from bawn.wire import wire
from bawn.wire.document import Said
from bawn.wire.editing import Answers

HIT = (b"x-bawn-cache", b"hit")
NOTE = ("cache", "hit")
"""What is on record of a call that was answered from memory; nobody counts it as use of a model."""
_CONTROL = b"cache-control"


class Cache(Section):
    """Which answers are kept, for how long, and for whom."""

    share: Share = Field(
        default=Share.CONTAINER,
        description="Who is given an answer again: the same `container`, every container of its `project`, or `all`.",
    )
    ttl_seconds: float = Field(default=3600, gt=0, le=30 * 86400, description="How long an answer is given again.")
    entries: int = Field(default=10_000, ge=1, le=1_000_000, description="Answers kept at most; the longest unused go.")
    bytes: int = Field(default=64 * 2**20, ge=2**16, le=2**34, description="Size of all of them at most.")
    entry_bytes: int = Field(default=2**20, ge=1024, le=2**28, description="Larger answers are not kept.")
    tools: bool = Field(default=False, description="Whether turns that use tools are answered from memory as well.")
    any_temperature: bool = Field(
        default=False, description="Whether also requests that name a temperature above zero are answered from memory."
    )
    single_flight: bool = Field(
        default=False, description="Whether an equal question waits for the answer to one that is on its way."
    )
    wait_seconds: float = Field(default=60, gt=0, le=3600, description="How long it waits before it is asked itself.")
    persistent: bool = Field(default=False, description="Whether answers are kept on disk, over a restart.")


class _Pending(Collected):
    """A question that was asked of a provider, and its answer as it comes."""

    __slots__ = ("question", "target")

    def __init__(self, question: Question, target: str, limit: int) -> None:
        super().__init__(limit)
        self.question = question
        self.target = target


class CacheStage:
    """Replaced on reload; what is kept and counted stays."""

    name = "cache"

    def __init__(
        self,
        settings: Cache,
        entries: Entries,
        answers: Callable[[WireName], Answers],
        resolve: Callable[[str], str],
        clock: Clock,
        counts: Counts,
    ) -> None:
        self._settings = settings
        self._entries = entries
        self._answers = answers
        self._resolve = resolve
        self._clock = clock
        self.counts = counts
        self._pending: dict[str, _Pending] = {}
        self._flying: dict[bytes, asyncio.Future[None]] = {}
        entries.bound(settings.entries, settings.bytes)

    async def request(self, asked: Asked) -> Given | None:
        control = asked.header(_CONTROL).lower()
        if b"no-store" in control:
            return None
        found = self._question(asked)
        if found is None:
            return None
        wanted, target = found
        if b"no-cache" not in control:
            given = self._given(asked, wanted)
            if given is None and (flight := self._flying.get(wanted.key)) is not None:
                given = await self._awaited(asked, wanted, flight)
            if given is not None:
                return given
        self.counts.add("misses")
        self._pending[asked.call] = _Pending(wanted, target, self._settings.entry_bytes)
        if self._settings.single_flight and wanted.key not in self._flying:
            self._flying[wanted.key] = asyncio.get_running_loop().create_future()
        return None

    def view(self, asked: Asked) -> View | None:
        return self._pending.get(asked.call)

    def over(self, asked: Asked, ending: Ending) -> None:
        pending = self._pending.pop(asked.call, None)
        if pending is None:
            return
        try:
            if ending.status == 200 and ending.outcome == "ok" and pending.whole_answer:
                self._keep(asked, pending, ending)
        except UNREADABLE:
            self.counts.add("unreadable")
        finally:
            flight = self._flying.get(pending.question.key)
            if flight is not None and not any(
                each.question.key == pending.question.key for each in self._pending.values()
            ):
                del self._flying[pending.question.key]
                if not flight.done():
                    flight.set_result(None)

    def _question(self, asked: Asked) -> tuple[Question, str] | None:
        try:
            target = self._resolve(asked.exchange.model)
        except Fault:  # no such model: permissions say so
            return None
        settings = self._settings
        wanted = question(asked, target, settings.share, any_temperature=settings.any_temperature)
        return None if wanted is None else (wanted, target)

    async def _awaited(self, asked: Asked, wanted: Question, flight: asyncio.Future[None]) -> Given | None:
        try:
            await asyncio.wait_for(asyncio.shield(flight), self._settings.wait_seconds)
        except TimeoutError:
            return None
        self.counts.add("waited")
        return self._given(asked, wanted)

    def _given(self, asked: Asked, wanted: Question) -> Given | None:
        entry = self._entries.get(wanted.key, self._clock.now().timestamp())
        if entry is None or (entry.calls and not self._settings.tools):
            return None
        data = entry.forms.get(wanted.form) or self._made(wanted, entry)
        if data is None:
            return None
        self.counts.add("hits")
        self.counts.add("saved_tokens", entry.tokens)
        asked.notes.append(NOTE)
        return Given(data, headers=(HIT,), free=True)

    def _made(self, wanted: Question, entry: Entry) -> bytes | None:
        """The answer in another form; None where it says less than is wanted."""
        try:
            data = self._formed(wanted.form, entry)
        except UNREADABLE:
            self.counts.add("unreadable")
            return None
        if data is not None:
            self._entries.add_form(wanted.key, entry, wanted.form, data)
        return data

    def _formed(self, form: Form, entry: Entry) -> bytes | None:
        answers = self._answers(entry.wire)
        plain, told = entry.forms.get(Form.PLAIN), entry.forms.get(Form.TOLD)
        if plain is None and told is not None:
            plain = answers.folded(told)
        if plain is None:  # only a stream that does not tell the usage
            return None
        if form is Form.PLAIN:
            return plain
        told = told if told is not None else answers.streamed(plain)
        return told if form is Form.TOLD else _without_usage(told, entry.wire)

    def _keep(self, asked: Asked, pending: _Pending, ending: Ending) -> None:
        exchange = asked.exchange
        calls = False
        if exchange.endpoint in CONVERSATIONS:
            used = self._used_tools(asked, pending)
            if used is None or (used and not self._settings.tools):
                return
            calls = used
        elif pending.streamed:
            return
        usage = ending.usage
        self._entries.put(
            pending.question.key,
            Entry(
                wire=exchange.wire,
                endpoint=exchange.endpoint,
                forms={pending.question.form.value: pending.data},
                model=pending.target,
                container_uuid=asked.container.uuid,
                project=asked.container.project,
                expires=self._clock.now().timestamp() + self._settings.ttl_seconds,
                calls=calls,
                tokens=usage.input_tokens + usage.output_tokens if usage is not None else 0,
                cost_usd=ending.cost_usd,
            ),
        )
        self.counts.add("kept")

    def _used_tools(self, asked: Asked, pending: _Pending) -> bool | None:
        """Whether the turn used tools; None when it is not to be kept at all."""
        document = asked.document
        told = pending.said(self._answers(asked.exchange.wire), asked.exchange.endpoint)
        if document is None or told is None or told.finished not in ("stop", "calls"):
            return None
        if told.calls or told.finished == "calls":
            return True
        return any(message.calls or message.said is Said.TOOL for message in document.messages) or any(
            spot.said is Said.TOOL for spot in document.spots
        )


def forget(
    entries: Entries,
    *,
    container_uuid: str | None = None,
    project: str | None = None,
    model: str | None = None,
) -> int:
    """Drop what a container or a project brought, what a model (`provider/model`) said, or both; without any of them
    everything. How many answers they were."""

    def wanted(entry: Entry) -> bool:
        return (
            (container_uuid is None or entry.container_uuid == container_uuid)
            and (project is None or entry.project == project)
            and (model is None or entry.model == model)
        )

    return entries.forget(wanted)


def _without_usage(stream: bytes, name: WireName) -> bytes:
    """As a client is told that did not ask for the usage: an event without choices would be new to it."""
    reader = wire(name).stream_reader(hide_usage=True)
    return b"".join(frame.data for frame in (*reader.feed(stream), *reader.close()))
