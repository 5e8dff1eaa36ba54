"""The full request log: what was asked and answered, for whoever has to understand a run afterwards. Off by default.

It is not the record (`audit`), which holds no prompts and cannot be lost. Here bodies are written, so secrets are taken out
of them first: everything the vault knows and everything that looks like a key, in every text of the body; an answer in
pieces is put together before, since a secret could lie across two of them. Keys of providers never come by here at all,
they are put on behind the last stage. Bodies over the limit are cut, redacted before and not after.

The request is written as the agent sent it, and also when a step before this one refused it; the answer as it came here.
By both, and by the name of the conversation, rules can be tried on what was said (`enforcement/replay.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import msgspec
from pydantic import Field

from bawn.audit.redact import Redactor
from bawn.config.patterns import Pattern
from bawn.config.section import Section
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, View
from bawn.terms.clock import Clock
from bawn.terms.exchange import WireName
from bawn.terms.tags import HEADER as TAGS
from bawn.terms.tags import named
from bawn.transforms.collecting import UNREADABLE, Collected
from bawn.transforms.counts import Counts
from bawn.transforms.log_files import Keeping, LogFiles
from bawn.transforms.questions import CONVERSATIONS
from bawn.transforms.tool_settings import Patterns
from bawn.wire.editing import Answers

_HEADERS = (b"user-agent", b"anthropic-version", b"anthropic-beta", b"x-session-id")
"""Headers that are written; none in which a token could stand."""
_MARGIN = 8192
"""Characters at the end of a cut body that are left out: half a secret is not known as one."""
_DEPTH = 64
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Log(Section):
    """Requests and answers in files."""

    per: Literal["container", "project"] = Field(default="container", description="What has a file of its own.")
    containers: Patterns = Field(default=("*",), description="Whose calls are written.")
    requests: bool = Field(default=True, description="Whether the body of the request is written.")
    answers: bool = Field(default=True, description="Whether the body of the answer is written.")
    body_bytes: int = Field(default=2**18, ge=256, le=2**26, description="Of a larger body only the beginning.")
    file_bytes: int = Field(default=2**24, ge=4096, le=2**32, description="Size at which a file is closed.")
    files: int = Field(default=10, ge=0, le=10_000, description="Closed files that are kept of each.")
    days: float = Field(default=7, gt=0, le=3660, description="Older files are deleted.")


class LogStage:
    """Replaced on reload; the files stay open."""

    name = "log"

    def __init__(
        self,
        settings: Log,
        files: LogFiles,
        redactor: Redactor,
        answers: Callable[[WireName], Answers],
        clock: Clock,
        counts: Counts,
    ) -> None:
        self._settings = settings
        self._containers = [Pattern(each) for each in settings.containers]
        self._files = files
        self._redactor = redactor
        self._answers = answers
        self._clock = clock
        self.counts = counts
        self._began: dict[str, str] = {}
        """The conversation of each call that is written. It is found before the call goes on, as other steps find it."""
        self._seen: dict[str, Collected] = {}
        files.keeping = Keeping(settings.file_bytes, settings.files, settings.days)

    async def request(self, asked: Asked) -> Given | None:
        if self._wanted(asked):
            self._began[asked.call] = asked.session
        return None

    def view(self, asked: Asked) -> View | None:
        if asked.call not in self._began or not self._settings.answers:
            return None
        self._seen[asked.call] = seen = Collected(4 * self._settings.body_bytes)
        return seen

    def over(self, asked: Asked, ending: Ending) -> None:
        session, seen = self._began.pop(asked.call, None), self._seen.pop(asked.call, None)
        if session is not None:
            self._write(asked, ending, session, seen)

    def missed(self, asked: Asked, ending: Ending) -> None:
        """Refused or answered by a step before this one."""
        if self._wanted(asked):
            self._write(asked, ending, asked.session, None)

    def _wanted(self, asked: Asked) -> bool:
        return any(each.fits(asked.container.name) for each in self._containers)

    def _write(self, asked: Asked, ending: Ending, session: str, seen: Collected | None) -> None:
        container, exchange, usage = asked.container, asked.exchange, ending.usage
        line = {
            "time": self._clock.now().isoformat().replace("+00:00", "Z"),
            "call": asked.call,
            "session": session,
            "container": container.name,
            "number": container.number,
            "uuid": container.uuid,
            "project": container.project,
            "wire": exchange.wire.value,
            "endpoint": exchange.endpoint.value,
            "model": exchange.model,
            "called": ending.model,
            "stream": exchange.stream,
            "depth": asked.depth,
            "status": ending.status,
            "outcome": ending.outcome,
            "tokens_in": usage.input_tokens if usage is not None else None,
            "tokens_out": usage.output_tokens if usage is not None else None,
            "cost_usd": ending.cost_usd,
            "total_ms": ending.total_ms,
            "notes": [list(note) for note in asked.notes],
            "tags": sorted(named(asked.header(TAGS))),
            "headers": {name.decode(): value.decode("latin-1") for name, value in asked.headers if name in _HEADERS},
        }
        # What came in; what other stages make of it is seen in what they note.
        request = asked.came.body if self._settings.requests else None
        said = [*seen.earlier, seen.data] if seen is not None else []
        folded = self._answers(exchange.wire) if seen is not None and seen.streamed else None
        unsure = folded is not None and exchange.endpoint not in CONVERSATIONS
        if seen is not None and (unsure or not seen.whole_answer):
            # Pieces of a stream that was cut cannot be put together, so nothing is sure to be taken out of them.
            said, line["answer_bytes"] = [], seen.size
        made = partial(_line, line, request, said, folded, self._settings.body_bytes, self._redactor)
        name = f"container-{container.number}" if self._settings.per == "container" else f"project-{container.project}"
        size = len(request or b"") + sum(map(len, said)) + 2048
        self.counts.add("written" if self._files.add(name, size, made) else "lost")


def _line(
    line: dict[str, Any],
    request: bytes | None,
    said: Sequence[bytes],
    folding: Answers | None,
    limit: int,
    redactor: Redactor,
) -> bytes:
    """On the thread of the log. Of several answers the last one is `answer`: before it the model was told of refusals."""
    told = redacted(line, redactor)
    if request is not None:
        told["request"] = body_told(request, limit, redactor)
    if said:
        *earlier, last = said
        try:
            bodies = [
                body_told(folding.folded(each) if folding is not None else each, limit, redactor) for each in earlier
            ]
            told |= {"earlier": bodies} if bodies else {}
            told["answer"] = body_told(folding.folded(last) if folding is not None else last, limit, redactor)
        except UNREADABLE:
            told["answer_bytes"] = sum(map(len, said))
    return bytes(_encode(told)) + b"\n"


def body_told(body: bytes, limit: int, redactor: Redactor) -> Any:
    """A body without secrets: the value that it is, or what is known of one that is too large or no JSON."""
    if len(body) <= limit:
        try:
            return redacted(_decode(body), redactor)
        except (ValueError, RecursionError):
            return {"bytes": len(body), "text": _text(body, redactor)}
    begin = _text(body[: limit + _MARGIN], redactor)
    return {"bytes": len(body), "begin": begin[: max(0, min(limit, len(begin) - _MARGIN))]}


def redacted(value: Any, redactor: Redactor, depth: int = 0) -> Any:
    """The value with every text in it redacted, keys among them."""
    if isinstance(value, str):
        return redactor.text(value)
    if depth > _DEPTH:
        return "[deeper than is written]"
    if isinstance(value, dict):
        return {redactor.text(key): redacted(inner, redactor, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [redacted(inner, redactor, depth + 1) for inner in value]
    return value


def _text(body: bytes, redactor: Redactor) -> str:
    """A body that cannot be read as JSON, as text; what is escaped in it is found as the escapes that are usual."""
    return redactor.text(body.decode("utf-8", "replace"))
