"""A request on its way through the stages: who asks, in which conversation, and for what."""

from __future__ import annotations

from collections.abc import Callable

from bawn.terms.exchange import Exchange
from bawn.terms.principal import Container
from bawn.terms.way import NO_WAY, Way
from bawn.wire.document import RequestDocument

UNNAMED = ("s:", "call:")
"""How the names of conversations begin that no agent names; no agent can name one so."""


class Asked:
    __slots__ = (
        "_came",
        "_document",
        "_read",
        "_session",
        "call",
        "container",
        "depth",
        "exchange",
        "first",
        "headers",
        "method",
        "noted",
        "notes",
        "passed",
        "path",
        "seen",
        "way",
    )

    def __init__(
        self,
        call: str,
        container: Container,
        exchange: Exchange,
        headers: tuple[tuple[bytes, bytes], ...],
        session: Callable[[Asked], str],
        read: Callable[[Exchange], RequestDocument | None],
        depth: int = 0,
        method: str = "POST",
        path: bytes = b"",
        way: Way = NO_WAY,
    ) -> None:
        self.call = call
        """The id that joins all records of the call."""
        self.container = container
        self._came = exchange
        self.exchange = exchange
        """What is decided on, as of the last change."""
        self.headers = headers
        """As sent, names in lower case."""
        self.depth = depth
        """How deep the call nests: 0 for one of the agent, more for one that Bawn makes for it."""
        self.method = method
        self.path = path
        """As sent."""
        self.way = way
        """The scripts that are before it."""
        self.notes: list[tuple[str, str]] = []
        """What stages want on record of the call, as name and value; never prompts or answers."""
        self.noted = 0
        """How many of the notes are on record."""
        self.passed = 0
        """Behind the last stage that it came to."""
        self.seen = False
        """Whether a stage has looked at it."""
        self.first = 0
        """The first of them: a call that a script makes has those before the scripts behind it."""
        self._session: Callable[[Asked], str] | str = session
        self._read: Callable[[Exchange], RequestDocument | None] = read
        self._document: RequestDocument | None = None

    @property
    def session(self) -> str:
        """The conversation that the call belongs to, recognised without the agent's help; found when first wanted."""
        if not isinstance(self._session, str):
            self._session = self._session(self)
        return self._session

    @property
    def document(self) -> RequestDocument | None:
        """The request as it may be read and changed; None where it is no conversation."""
        if self._document is None:
            self._document = self._read(self.exchange)
        return self._document

    @property
    def came(self) -> Exchange:
        """The call as the agent sent it, byte for byte."""
        return self._came

    @property
    def sent(self) -> RequestDocument | None:
        """The request as the agent sent it, whatever was changed since."""
        if self.exchange is self._came and not self.changed:
            return self.document
        return self._read(self._came)

    @property
    def changed(self) -> bool:
        return self._document is not None and self._document.changed

    def settled(self, exchange: Exchange) -> None:
        """What was changed has been read anew as `exchange`; the document goes on from there."""
        self.exchange = exchange
        self._document = None

    def put_away(self) -> None:
        """The call is over: what was read of it is read again for whoever still wants it."""
        if not self.changed:
            self._document = None

    def header(self, name: bytes) -> bytes:
        return next((value for key, value in self.headers if key == name), b"")
