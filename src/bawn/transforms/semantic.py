"""Answers given again to questions that mean the same, on an embedding model that the operator chooses.

The safety rules are those of the exact cache, and more: only conversations, and only the last words of the user may differ
(`similar`). An embedding that cannot be had is a question that is not known; the call goes on.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Sequence

from msgspec import structs
from pydantic import Field

from bawn.config.section import Section
from bawn.errors import Fault
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, View
from bawn.terms.clock import Clock
from bawn.terms.exchange import Exchange, WireName
from bawn.terms.principal import Container
from bawn.transforms.cache import HIT, NOTE
from bawn.transforms.collecting import UNREADABLE, Collected
from bawn.transforms.counts import Counts
from bawn.transforms.entries import Entry
from bawn.transforms.questions import CONVERSATIONS, Form, Share, question
from bawn.transforms.similar import Similar, direction
from bawn.wire.document import RequestDocument, Said, Spot
from bawn.wire.editing import Answers

Embed = Callable[[Container, str, Sequence[str]], Awaitable[Sequence[Sequence[float]]]]
"""Texts as vectors by a model, on behalf of a container. Fault when there are none."""
Read = Callable[[Exchange], RequestDocument | None]


class Semantic(Section):
    """Which questions mean the same."""

    model: str = Field(min_length=1, description="`provider/model` of the embedding.")
    threshold: float = Field(default=0.97, ge=0.5, le=1, description="Cosine from which on two questions are the same.")
    share: Share = Field(default=Share.CONTAINER, description="As for `cache`.")
    ttl_seconds: float = Field(default=3600, gt=0, le=30 * 86400, description="How long an answer is given again.")
    entries: int = Field(default=1000, ge=1, le=100_000, description="Questions kept at most.")
    group_entries: int = Field(
        default=64, ge=1, le=256, description="Of these, with everything else of the request equal; all are compared."
    )
    entry_bytes: int = Field(default=2**18, ge=1024, le=2**24, description="Larger answers are not kept.")
    text_bytes: int = Field(default=4096, ge=16, le=2**16, description="Longer questions are not compared.")
    any_temperature: bool = Field(default=False, description="As for `cache`.")
    seconds: float = Field(default=2, gt=0, le=60, description="How long the embedding is waited for.")


class _Pending(Collected):
    __slots__ = ("direction", "group", "target", "text")

    def __init__(self, group: bytes, text: str, found: array[float], target: str, limit: int) -> None:
        super().__init__(limit)
        self.group = group
        self.text = text
        self.direction = found
        self.target = target


class SemanticStage:
    name = "semantic"

    def __init__(
        self,
        settings: Semantic,
        similar: Similar,
        answers: Callable[[WireName], Answers],
        read: Read,
        resolve: Callable[[str], str],
        embed: Embed,
        clock: Clock,
        counts: Counts,
    ) -> None:
        self._settings = settings
        self._similar = similar
        self._answers = answers
        self._read = read
        self._resolve = resolve
        self._embed = embed
        self._clock = clock
        self.counts = counts
        self._pending: dict[str, _Pending] = {}
        similar.bound(settings.entries, settings.group_entries)

    async def request(self, asked: Asked) -> Given | None:
        pending = await self._asked(asked)
        if pending is None:
            return None
        now = self._clock.now().timestamp()
        found = self._similar.nearest(pending.group, pending.text, pending.direction, self._settings.threshold, now)
        if found is not None:
            given = self._given(asked, *found)
            if given is not None:
                return given
        self.counts.add("misses")
        self._pending[asked.call] = pending
        return None

    def view(self, asked: Asked) -> View | None:
        return self._pending.get(asked.call)

    def over(self, asked: Asked, ending: Ending) -> None:
        pending = self._pending.pop(asked.call, None)
        if pending is None or ending.status != 200 or ending.outcome != "ok":
            return
        answers = self._answers(asked.exchange.wire)
        body = pending.plain(answers)
        told = pending.said(answers, asked.exchange.endpoint)
        if body is None or told is None or told.finished != "stop" or told.calls:
            return
        usage = ending.usage
        entry = Entry(
            wire=asked.exchange.wire,
            endpoint=asked.exchange.endpoint,
            forms={Form.PLAIN.value: body},
            model=pending.target,
            container_uuid=asked.container.uuid,
            project=asked.container.project,
            expires=self._clock.now().timestamp() + self._settings.ttl_seconds,
            calls=False,
            tokens=usage.input_tokens + usage.output_tokens if usage is not None else 0,
            cost_usd=ending.cost_usd,
        )
        self._similar.put(pending.group, pending.text, pending.direction, entry)
        self.counts.add("kept")

    async def _asked(self, asked: Asked) -> _Pending | None:
        """The question with its embedding; None for one that is not compared."""
        found = self._question(asked)
        if found is None:
            return None
        group, text, target = found
        try:
            vectors = await asyncio.wait_for(
                self._embed(asked.container, self._settings.model, [text]), self._settings.seconds
            )
        except (Fault, TimeoutError) as error:
            asked.notes.append(("semantic", error.code if isinstance(error, Fault) else "timeout"))
            self.counts.add("failed")
            return None
        pointing = direction(vectors[0]) if len(vectors) == 1 else None
        if pointing is None:
            self.counts.add("failed")
            return None
        return _Pending(group, text, pointing, target, self._settings.entry_bytes)

    def _question(self, asked: Asked) -> tuple[bytes, str, str] | None:
        """What must be equal, the words that may differ, and the resolved model."""
        exchange = asked.exchange
        if exchange.endpoint not in CONVERSATIONS or asked.depth or b"no-" in asked.header(b"cache-control").lower():
            return None
        document = self._read(exchange)
        spot = _last_words(document) if document is not None else None
        if document is None or spot is None or len(spot.text.encode("utf-8", "replace")) > self._settings.text_bytes:
            return None
        try:
            target = self._resolve(exchange.model)
            # A document of its own: what the call is sent with stays as it is.
            document.set_text(spot, "")
            rest = Asked(
                asked.call,
                asked.container,
                structs.replace(exchange, body=document.body()),
                asked.headers,
                _nobody,
                self._read,
            )
            found = question(rest, target, self._settings.share, any_temperature=self._settings.any_temperature)
        except UNREADABLE:
            return None
        return None if found is None else (found.key, spot.text, target)

    def _given(self, asked: Asked, cosine: float, entry: Entry) -> Given | None:
        plain = entry.forms[Form.PLAIN]
        try:
            data = self._answers(entry.wire).streamed(plain) if asked.exchange.stream else plain
        except UNREADABLE:
            return None
        self.counts.add("hits")
        self.counts.add("saved_tokens", entry.tokens)
        asked.notes += [NOTE, ("semantic", f"{cosine:.4f}")]
        return Given(data, headers=(HIT, (b"x-bawn-cache-similarity", b"%.4f" % cosine)), free=True)


def _nobody(_: Asked) -> str:
    return ""


def _last_words(document: RequestDocument) -> Spot | None:
    """What the user says in the end; None in a turn that uses tools, or that ends otherwise."""
    messages = document.messages
    if not messages or any(message.calls or message.said is Said.TOOL for message in messages):
        return None
    if any(spot.said is Said.TOOL for spot in document.spots):
        return None
    last = messages[-1]
    return last.spots[-1] if last.said is Said.USER and last.spots and last.spots[-1].text.strip() else None
