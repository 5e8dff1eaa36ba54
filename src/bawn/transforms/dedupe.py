"""Files that an agent has read again and again stand in its history again and again: all copies but the latest become a
short reference.

A copy is the whole text of a tool's result, or what is within a fenced block of the user, and only what is equal to the
last letter is one. The latest copy, and everything that has none, is left as it is. What is put in a copy's place says
nothing that a later copy could change, so that the history up to there reads the same from call to call and a provider's
cache of it stays of use: a third copy changes the second and leaves the first alone.
"""

from __future__ import annotations

import asyncio
import json

from pydantic import Field

from bawn.config.section import Section
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, View
from bawn.terms.value import Value
from bawn.transforms.counts import Counts
from bawn.transforms.fences import fences
from bawn.wire.document import RequestDocument, Said, Spot

BYTES_A_TOKEN = 4
"""An estimate; no tokenizer of the many is right for all models."""
AT_ONCE = 256 * 2**10
"""Bytes of a request from which on others are let through meanwhile."""
_SHOWN = 60


class Dedupe(Section):
    """Repeated contents in a conversation are replaced by references to the latest copy."""

    bytes: int = Field(default=512, ge=256, le=2**24, description="Size from which on a content counts.")
    tools: bool = Field(default=True, description="Whether results of tools are looked at.")
    fenced: bool = Field(default=True, description="Whether fenced blocks in what the user says are looked at.")


class Saved(Value, frozen=True):
    """What was left out of one request."""

    copies: int
    bytes: int

    @property
    def tokens(self) -> int:
        return self.bytes // BYTES_A_TOKEN


class Deduplication:
    """The stage."""

    name = "dedupe"

    def __init__(self, settings: Dedupe, counts: Counts | None = None) -> None:
        self._settings = settings
        self.counts = counts or Counts()

    async def request(self, asked: Asked) -> Given | None:
        document = asked.document
        if document is not None and (saved := await self._deduplicated(asked, document)).copies:
            asked.notes.append(("dedupe.tokens_saved", str(saved.tokens)))
            self.counts.add("requests")
            self.counts.add("copies", saved.copies)
            self.counts.add("bytes_saved", saved.bytes)
            self.counts.add("tokens_saved", saved.tokens)
        return None

    async def _deduplicated(self, asked: Asked, document: RequestDocument) -> Saved:
        if len(asked.exchange.body) < AT_ONCE:
            return deduplicate(document, self._settings)
        return await asyncio.to_thread(deduplicate, document, self._settings)

    def view(self, asked: Asked) -> View | None:
        return None

    def over(self, asked: Asked, ending: Ending) -> None:
        return None


def deduplicate(document: RequestDocument, settings: Dedupe) -> Saved:
    """Replace what is repeated in a document."""
    pieces = [piece for spot in document.spots for piece in _pieces(spot, settings)]
    latest = {piece.content: number for number, piece in enumerate(pieces)}
    copies = saved = 0
    cuts: dict[int, list[_Piece]] = {}
    for number, piece in enumerate(pieces):
        if latest[piece.content] != number:
            cuts.setdefault(piece.spot.number, []).append(piece)
    for own in cuts.values():
        text = own[0].spot.text
        for piece in reversed(own):
            text = text[: piece.start] + piece.reference + text[piece.end :]
            copies += 1
            saved += size(piece.content) - size(piece.reference)
        document.set_text(own[0].spot, text)
    return Saved(copies, saved)


class _Piece(Value, frozen=True):
    """One content that could have a copy."""

    spot: Spot
    start: int
    end: int

    @property
    def content(self) -> str:
        return self.spot.text[self.start : self.end]

    @property
    def reference(self) -> str:
        content = self.content
        first = next((line for line in content.splitlines() if line.strip()), "").strip()
        # Written as JSON, a line of a file cannot be taken for a sentence of ours.
        shown = json.dumps(first[:_SHOWN] + ("…" if len(first) > _SHOWN else ""), ensure_ascii=False)
        return (
            f"[{size(content)} bytes left out here: the same content, which begins with {shown}, stands whole further down "
            "in this conversation.]" + ("\n" if content.endswith("\n") else "")
        )


def _pieces(spot: Spot, settings: Dedupe) -> list[_Piece]:
    if spot.attached or len(spot.text) * 4 < settings.bytes:
        return []
    found: list[_Piece] = []
    if spot.said is Said.TOOL and settings.tools:
        found = [_Piece(spot, 0, len(spot.text))]
    elif spot.said is Said.USER and settings.fenced:
        found = [_Piece(spot, fence.inside, fence.inside_end) for fence in fences(spot.text) if fence.closed]
    return [piece for piece in found if size(piece.content) >= settings.bytes]


def size(text: str) -> int:
    """In bytes, as it is sent."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
