"""Answers in memory: bounded in number and size, the longest unused go first, and each only for its time.

Kept on disk as well where the operator wants that, in a file of its own: it can be deleted at any time, and nothing else
waits for it. What changes is told to `changed`, and that is all this module knows of files.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from msgspec import Struct

from bawn.terms.exchange import Endpoint, WireName

_OVERHEAD = 400
"""Bytes of an entry beside what it answers, roughly."""


class Entry(Struct):
    """One kept answer."""

    wire: WireName
    endpoint: Endpoint
    forms: dict[str, bytes]
    """The answer by form (`questions.Form`), as it came and as it was made since."""
    model: str
    """`provider/model`."""
    container_uuid: str
    """Of the container whose call brought it."""
    project: str
    expires: float
    """Unix seconds."""
    calls: bool
    """Whether the turn used tools."""
    tokens: int
    """What the answer had cost in tokens, input and output; what a hit saves."""
    cost_usd: float | None

    @property
    def size(self) -> int:
        return _OVERHEAD + sum(map(len, self.forms.values()))


Change = Callable[[bytes, Entry | None], None]


class Entries:
    def __init__(self, changed: Change | None = None) -> None:
        self.most = 0
        self.most_bytes = 0
        self.size = 0
        self.changed = changed
        """Told of each entry that is there now (the entry) or not any more (None)."""
        self._kept: OrderedDict[bytes, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def bound(self, most: int, most_bytes: int) -> None:
        """From now on; what is too much goes."""
        self.most, self.most_bytes = most, most_bytes
        self._shrink()

    def get(self, key: bytes, now: float) -> Entry | None:
        entry = self._kept.get(key)
        if entry is None:
            return None
        if entry.expires <= now:
            self._remove(key)
            return None
        self._kept.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: Entry, *, told: bool = True) -> None:
        if (old := self._kept.pop(key, None)) is not None:
            self.size -= old.size
        if entry.size > self.most_bytes or not self.most:
            return
        self._kept[key] = entry
        self.size += entry.size
        if told and self.changed is not None:
            self.changed(key, entry)
        self._shrink()

    def add_form(self, key: bytes, entry: Entry, form: str, data: bytes) -> None:
        """The same answer in one more form, so that it is made once."""
        if self._kept.get(key) is entry:
            self.size += len(data)
            entry.forms[form] = data
            self._shrink()

    def forget(self, wanted: Callable[[Entry], bool]) -> int:
        """Drop all that fit; how many they were."""
        gone = [key for key, entry in self._kept.items() if wanted(entry)]
        for key in gone:
            self._remove(key)
        return len(gone)

    def load(self, found: Iterable[tuple[bytes, Entry]], now: float) -> None:
        """What was kept before, oldest first."""
        for key, entry in found:
            if entry.expires > now:
                self.put(key, entry, told=False)

    def _shrink(self) -> None:
        while self._kept and (len(self._kept) > self.most or self.size > self.most_bytes):
            self._remove(next(iter(self._kept)))

    def _remove(self, key: bytes) -> None:
        self.size -= self._kept.pop(key).size
        if self.changed is not None:
            self.changed(key, None)
