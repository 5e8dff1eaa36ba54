"""What every wire can do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from bawn.errors import Fault
from bawn.terms.exchange import Endpoint, Exchange, Usage
from bawn.terms.frames import Frame
from bawn.terms.toolcall import ToolCall
from bawn.wire.endpoints import Route


class Answer(Struct, frozen=True):
    """What a whole answer says, as far as it is decided on."""

    usage: Usage | None
    calls: tuple[ToolCall, ...]
    model: str
    made: str = ""
    """The id of what the provider keeps of it, if it keeps it."""


class ModelEntry(Struct, frozen=True):
    """One model of a list."""

    id: str
    """`provider/model`."""
    provider: str


class StreamReader(Protocol):
    """Reads one streamed answer. After `End` or `Broken` it says nothing more, whatever comes."""

    @property
    def usage(self) -> Usage | None:
        """What the provider has counted so far."""

    @property
    def model(self) -> str:
        """The model that answers, as the provider names it."""

    @property
    def made(self) -> str:
        """The id of what the provider keeps of the answer, if it keeps it; empty where nothing is ever kept."""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now; runs of text frames are one value."""

    def close(self) -> list[Frame]:
        """What remains when the provider has ended its answer as HTTP: `Broken` if the wire had not ended."""


class Wire(Protocol):
    def read_request(self, route: Route, body: bytes) -> Exchange:
        """The fields that are decided on. Faults `request.malformed_json` and `request.invalid`."""

    def with_model(self, body: bytes, model: str) -> bytes:
        """The body with another value of `model`; every other value byte for byte."""

    def with_usage(self, body: bytes) -> bytes:
        """The body of a stream request such that the provider tells the usage; the same bytes where it does anyway."""

    def unkept(self, body: bytes) -> bytes:
        """The body such that the provider keeps nothing of it, unless it says by itself that it shall."""

    def read_answer(self, endpoint: Endpoint, body: bytes) -> Answer:
        """A whole answer. Fault `upstream.broken` when it is not one of this wire."""

    def stream_reader(self, *, hide_usage: bool) -> StreamReader:
        """A reader of one streamed answer; `hide_usage` takes out what `with_usage` added."""

    def is_error(self, body: bytes) -> bool:
        """Whether a provider's body is an error of this wire."""

    def refusal(self, fault: Fault, request_id: str) -> bytes:
        """A fault as an error body."""

    def stream_error(self, fault: Fault, request_id: str) -> bytes:
        """A fault as the event that ends a stream in error."""

    def models_list(self, entries: Sequence[ModelEntry], now: datetime) -> bytes:
        """The answer of `GET /models`."""

    def model(self, entry: ModelEntry, now: datetime) -> bytes:
        """The answer of `GET /models/{id}`."""
