"""Why something may not leave: a code, a sentence, and the answer that a program inside can read.

The answer says that another way is pointless, because it is: agents that are refused otherwise try the next tool, the next
proxy variable, the next port. The codes are those of `errors.KINDS`, one vocabulary for the door, the record and `bawn why`.
"""

from __future__ import annotations

import json

from bawn.errors import KINDS

POINTLESS = "There is no other way out of this container: trying another tool, protocol, port or address is pointless."


class Denied(Exception):
    """A refusal. Equal when code, sentence and place are."""

    def __init__(self, code: str, sentence: str, *, host: str = "", port: int = 0) -> None:
        super().__init__(sentence)
        self.kind = KINDS[code]
        self.sentence = sentence
        self.host = host
        self.port = port

    @property
    def code(self) -> str:
        return self.kind.code

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Denied) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[str, str, str, int]:
        return self.code, self.sentence, self.host, self.port


def answer(denied: Denied) -> bytes:
    """One whole HTTP/1.1 response; the connection ends with it."""
    said: dict[str, object] = {"code": denied.code, "message": denied.sentence, "remedy": denied.kind.remedy}
    if denied.host:
        said |= {"host": denied.host, "port": denied.port}
    said["retry"] = "later" if denied.kind.retry else f"pointless: {POINTLESS}"
    body = json.dumps({"error": said}).encode() + b"\n"
    # The reason stands in the status line too: of a refused CONNECT most clients show nothing else.
    phrase = denied.code.encode()
    return b"".join(
        (
            b"HTTP/1.1 %d Refused: %b\r\n" % (denied.kind.status, phrase),
            b"content-type: application/json\r\n",
            b"content-length: %d\r\n" % len(body),
            b"x-bawn-reason: %b\r\n" % phrase,
            b"cache-control: no-store\r\n",
            b"connection: close\r\n\r\n",
            body,
        )
    )
