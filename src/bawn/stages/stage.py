"""The stages a request passes before it is sent, and their view of the answer.

A stage may read, change the document, answer by itself (return `Given`), stall (await) or refuse (raise a Fault). Whatever
it changed is read anew by the wire, and permissions judge the outcome last, so that no stage can put in what the
container may not ask for. An error in a stage is an error of the call, never skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bawn.errors import Fault
from bawn.stages.asked import Asked
from bawn.terms.exchange import Usage
from bawn.terms.frames import Frame
from bawn.terms.value import Value


class Sink(Protocol):
    """Who takes a streamed answer, part by part."""

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None: ...

    def on_data(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_broken(self, fault: Fault) -> None: ...


class Source(Protocol):
    """An answer that comes from somewhere, in the client's wire."""

    status: int
    headers: list[tuple[bytes, bytes]]

    async def body(self, limit: int) -> bytes:
        """The whole of it. Fault `upstream.broken` when it is cut short or over `limit` bytes."""

    def hand_to(self, sink: Sink) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def leave(self) -> None:
        """Nobody wants the rest."""


class Given(Value, frozen=True):
    """An answer that a stage gives instead of the provider, in the client's wire: JSON, or SSE for a stream."""

    data: bytes
    source: Source | None = None
    """Where the answer comes from, when it is not `data`."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """`x-bawn-…` headers beside it, e.g. that it came from a cache."""
    free: bool = False
    """Whether it cost nothing; else it is priced by the usage that it tells."""
    alone: bool = False
    """Whether the model behind it was asked by whoever gives it, on terms of its own: no model is asked in its place,
    neither for permission nor to go on after a refusal."""


class Ending(Value, frozen=True):
    """How a call ended."""

    status: int
    outcome: str
    """As in the usage book: `ok`, `refused`, `upstream_error`, `client_left`, `revoked`, `cut`."""
    usage: Usage | None
    model: str
    """`provider/model`, as it was called."""
    cost_usd: float | None
    total_ms: int


class View(Protocol):
    """A stage's view of one answer; it sees tool calls before the tool gate, which is always last."""

    async def frame(self, frame: Frame) -> Sequence[Frame]:
        """The frames of a stream that go on instead of this one; raise a Fault to end the answer."""

    async def whole(self, body: bytes) -> bytes:
        """The plain answer that goes on instead of this one."""


class Stage(Protocol):
    name: str

    async def request(self, asked: Asked) -> Given | None:
        """Look at the request, change its document, or give the answer; raise a Fault to refuse."""

    def view(self, asked: Asked) -> View | None:
        """A view of the answer, or None when this stage does not look at this one. Called when the request is sent."""

    def over(self, asked: Asked, ending: Ending) -> None:
        """The call has ended, however it did. Neither waits nor raises."""

    # A stage may also have `missed(asked, ending)`, like `over`: the call has ended before it came to this stage.
