"""What the documents of all wires have in common: the texts of a body, where they stand, and writing the body again.

The body is read when something of it is first wanted. A text is known by its place, the object and the key that hold it, so
that whatever is added beside it moves none. What was not touched is written byte for byte as it came, message by message:
what a provider has cached stays cached.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from bawn.errors import Fault
from bawn.terms.exchange import Exchange
from bawn.terms.toolcall import ToolCall
from bawn.wire.document import Message, OfferedTool, Said, Spot
from bawn.wire.json_text import NotPlain, read_object, written
from bawn.wire.just_read import taken

ROLES = {
    "system": Said.SYSTEM, "developer": Said.SYSTEM, "user": Said.USER, "assistant": Said.ASSISTANT,
    "model": Said.ASSISTANT, "tool": Said.TOOL, "function": Said.TOOL,
}  # fmt: skip
"""What the wires call who speaks; whoever else it may be counts as the user."""
TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""Types of parts that are texts, and the key of the text."""

_decode_root = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Place:
    """Where a text stands."""

    __slots__ = ("attached", "call", "holder", "key", "said", "within")

    def __init__(self, holder: Any, key: str | int, said: Said, call: str = "", *, attached: bool = False) -> None:
        self.holder = holder
        self.key = key
        self.said = said
        self.call = call
        self.attached = attached
        self.within: dict[str, Any] | str = ""
        """The message that it is in, or the field of the request."""

    def read(self) -> str:
        return str(self.holder[self.key])

    def write(self, text: str) -> None:
        self.holder[self.key] = text


class Heard:
    """One message as its wire reads it."""

    __slots__ = ("answers", "calls", "places", "said")

    def __init__(
        self, said: Said, places: list[Place], calls: Sequence[ToolCall] = (), answers: Iterable[str] = ()
    ) -> None:
        self.said = said
        self.places = places
        self.calls = tuple(calls)
        self.answers = tuple(answers)
        """The calls whose results it brings, by id, or by name where there is none."""


def role_of(item: dict[str, Any]) -> Said:
    return ROLES.get(str(item.get("role", "user")), Said.USER)


def texts_of(holder: dict[str, Any], key: str, said: Said, call: str = "", *, attached: bool = False) -> list[Place]:
    """The texts of a content: a text, or a list of parts."""
    content = holder.get(key)
    if isinstance(content, str):
        return [Place(holder, key, said, call, attached=attached)]
    places: list[Place] = []
    for index, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, str):
            places.append(Place(content, index, said, call, attached=attached))
        elif isinstance(part, dict):
            name = TEXTS.get(str(part.get("type", "text")), "")
            if isinstance(part.get(name), str):
                places.append(Place(part, name, said, call, attached=attached))
    return places


def called(call: ToolCall) -> str:
    """By what the result of a call names it."""
    return call.id or call.name


def as_text(value: Any) -> str:
    """Arguments as text, in whatever form a client gives them back."""
    return value if isinstance(value, str) else "" if value is None else encoded(value).decode()


class Editable(ABC):
    """A `RequestDocument`, but for what only its wire knows."""

    LISTED: str
    """The field that holds the messages."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._model = exchange.model
        self._parsed: dict[str, Any] | None = None
        self._items: list[dict[str, Any]] = []
        self._first: tuple[dict[str, Any], ...] = ()
        self._heard: list[Heard] = []
        self._messages: tuple[Message, ...] | None = None
        self._spots: tuple[Spot, ...] = ()
        self._places: list[Place] = []
        self._numbers: dict[tuple[int, str | int], int] = {}
        self._fields: set[str] = set()
        """Fields of the request that were changed."""
        self._touched: set[int] = set()
        """Messages that were changed, by identity."""

    # What only the wire knows

    @abstractmethod
    def _beside(self, read: dict[str, Any]) -> Iterator[tuple[str, Place]]:
        """The texts beside the messages, each with its field."""

    @abstractmethod
    def _hear(self, item: dict[str, Any]) -> Heard: ...

    @abstractmethod
    def _offered(self, read: dict[str, Any]) -> Iterator[OfferedTool]: ...

    @abstractmethod
    def without_tool(self, name: str) -> None: ...

    @abstractmethod
    def add_system(self, text: str, *, first: bool = False) -> None: ...

    @abstractmethod
    def _said_by(self, said: Said, text: str) -> dict[str, Any]:
        """A message with one text."""

    def _join(self, item: dict[str, Any], text: str, *, first: bool) -> None:
        """One more text in a message, on wires where turns alternate."""
        raise NotImplementedError

    ALTERNATES = False

    # Reading

    @property
    def _read(self) -> dict[str, Any]:
        if self._parsed is None:
            read = taken(self._exchange.body)
            self._parsed = read_object(self._exchange.body) if read is None else read
            self._items = self._listed(self._parsed)
            self._first = tuple(self._items)
        return self._parsed

    def _listed(self, read: dict[str, Any]) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = read[self.LISTED]
        return listed

    @property
    def model(self) -> str:
        return self._model

    @property
    def system(self) -> str:
        return "\n\n".join(spot.text for spot in self.spots if spot.said is Said.SYSTEM)

    @property
    def messages(self) -> Sequence[Message]:
        return self._look()

    @property
    def spots(self) -> Sequence[Spot]:
        self._look()
        return self._spots

    @property
    def tools(self) -> Sequence[OfferedTool]:
        return tuple(self._offered(self._read))

    @property
    def changed(self) -> bool:
        return bool(self._fields or self._touched) or self._model != self._exchange.model

    def _look(self) -> tuple[Message, ...]:
        """Find the texts, unless nothing was changed since that was done."""
        if self._messages is not None:
            return self._messages
        read = self._read
        spots = [self._spot(place, -1, field) for field, place in self._beside(read)]
        messages: list[Message] = []
        self._heard = [self._hear(item) for item in self._items]
        for index, (item, heard) in enumerate(zip(self._items, self._heard, strict=True)):
            own = tuple(self._spot(place, index, item) for place in heard.places)
            messages.append(Message(heard.said, own, heard.calls))
            spots += own
        self._messages, self._spots = tuple(messages), tuple(spots)
        return self._messages

    def _spot(self, place: Place, message: int, within: dict[str, Any] | str) -> Spot:
        place.within = within
        number = self._numbers.setdefault((id(place.holder), place.key), len(self._places))
        if number == len(self._places):
            self._places.append(place)
        else:
            self._places[number] = place
        return Spot(number, message, place.said, place.read(), place.call, place.attached)

    # Changing

    def set_model(self, model: str) -> None:
        if model != self._model:
            self._model = model
            self._name_model(self._read, model)

    def _name_model(self, read: dict[str, Any], model: str) -> None:
        read["model"] = model
        self._fields.add("model")

    def set_text(self, spot: Spot, text: str) -> None:
        if not self._places:
            self._look()
        place = self._places[spot.number]
        if place.read() == text:
            return
        place.write(text)
        self._touch(place.within)

    def _touch(self, within: dict[str, Any] | str) -> None:
        """Something was changed in a message, or in a field of the request."""
        if isinstance(within, str):
            self._fields.add(within)
        else:
            self._touched.add(id(within))
        self._messages = None

    def _moved(self, holder: Any, key: str | int, to: Any, to_key: str | int) -> None:
        """A text stands somewhere else now, and is still the same one."""
        number = self._numbers.pop((id(holder), key), None)
        if number is not None:
            self._numbers[id(to), to_key] = number
            self._places[number].holder, self._places[number].key = to, to_key

    def _put(self, parts: list[Any], index: int, part: dict[str, Any]) -> None:
        """A part into a list of parts, bare texts among them keeping their numbers."""
        for at in range(len(parts) - 1, index - 1, -1):
            self._moved(parts, at, parts, at + 1)
        parts.insert(index, part)

    def add_message(self, said: Said, text: str, at: int | None = None) -> None:
        if said not in (Said.USER, Said.ASSISTANT):
            raise ValueError("a message is added for the user or the assistant")
        count = len(self.messages)
        at = self._room(count if at is None else max(0, min(at, count)))
        if self.ALTERNATES:
            for neighbour, first in ((at, True), (at - 1, False)):
                if 0 <= neighbour < count and self._speaks(neighbour) is said:
                    self._join(self._items[neighbour], text, first=first)
                    self._touch(self._items[neighbour])
                    return
        self._insert(at, self._said_by(said, text))

    def _insert(self, at: int, item: dict[str, Any]) -> None:
        self._items.insert(at, item)
        self._touch(self.LISTED)

    def _speaks(self, index: int) -> Said:
        """Whose turn a message is; results of tools come from the user."""
        said = self._heard[index].said
        return Said.USER if said is Said.TOOL else said

    def _room(self, at: int) -> int:
        """The first index from `at` on that is not between a call and its result."""
        end = at
        while True:
            still_open: Counter[str] = Counter()
            for heard in self._heard[:at]:
                still_open.update(called(call) for call in heard.calls)
                still_open.subtract(answer for answer in heard.answers if still_open[answer] > 0)
            for index, heard in enumerate(self._heard[at:], at):
                for answer in heard.answers:
                    if still_open[answer] > 0:
                        still_open[answer] -= 1
                        end = index + 1
            if end == at:
                return at
            at = end

    # Writing

    def body(self) -> bytes:
        if not self._fields and not self._touched:
            return self._exchange.body
        read = self._read
        try:
            root = _decode_root(self._exchange.body)
            out = {name: self._field(name, value, root.get(name)) for name, value in read.items()}
        except msgspec.DecodeError:
            # The careful reader takes what the quick one does not.
            return encoded(read)
        return msgspec.json.encode(out)

    def _field(self, name: str, value: Any, raw: msgspec.Raw | None) -> msgspec.Raw:
        if name == self.LISTED and raw is not None and memoryview(raw)[0] == ord("["):
            if name not in self._fields and not self._touched:
                return raw
            came = {id(item): each for item, each in zip(self._first, _decode_list(raw), strict=True)}
            kept = [
                came[id(item)] if id(item) in came and id(item) not in self._touched else msgspec.Raw(encoded(item))
                for item in self._items
            ]
            return msgspec.Raw(msgspec.json.encode(kept))
        return msgspec.Raw(encoded(value)) if raw is None or name in self._fields else raw


def encoded(value: Any) -> bytes:
    """What was changed, as JSON. Fault `request.malformed_json` when somebody put in a text that is none."""
    try:
        return written(value).encode("utf-8")
    except (NotPlain, UnicodeEncodeError):
        raise Fault("request.malformed_json", "The changed request cannot be written as JSON.") from None
