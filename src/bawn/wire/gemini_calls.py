"""Which parts of Gemini's answers are calls for the client to run, and what a candidate may consist of.

A part is of one kind, and the kinds stand in two tables. Code that the provider ran itself is told as a call too, with
the name by which a request asks for it, so that the gate sees code that nobody asked for. Packages read a field under
both of its names (`functionCall`, `function_call`); an answer that uses another name than Google does is refused,
since one reader would see a call where another sees none.
"""

from __future__ import annotations

from typing import Any

from bawn.terms.toolcall import ToolCall
from bawn.wire.holding import Unsound
from bawn.wire.json_text import written

CODE_EXECUTION = "codeExecution"

ANSWER = frozenset((
    "candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId", "createTime", "modelStatus",
))  # fmt: skip
CANDIDATE = frozenset((
    "content", "finishReason", "finishMessage", "index", "safetyRatings", "citationMetadata", "tokenCount", "avgLogprobs",
    "logprobsResult", "groundingMetadata", "groundingAttributions", "urlContextMetadata", "continuationToken",
))  # fmt: skip
CONTENT = frozenset(("parts", "role"))
SAID = frozenset(("text", "inlineData", "fileData", "audioTranscription"))
"""Kinds of parts that only tell."""
ACTS = frozenset(("functionCall", "executableCode", "codeExecutionResult"))
"""Kinds of parts that somebody runs, or has run."""
BESIDE = frozenset((
    "thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata", "mediaProcessing", "speechMetadata",
))  # fmt: skip
"""What stands in a part beside what it says."""
_CALL = frozenset(("id", "name", "args"))
_ENDS = ("FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED")


class Told:
    """What the answer to one request has told so far: read whole, or frame by frame."""

    __slots__ = ("_finished", "_ran", "blocked")

    def __init__(self) -> None:
        self._finished: dict[int, bool] = {}
        """The candidates that have begun, by their number; true for those that say why they ended."""
        self._ran: set[int] = set()
        """Candidates in which code was told, whose result may follow."""
        self.blocked = False
        """Whether the provider has said why it gives no answer at all."""

    @property
    def whole(self) -> bool:
        """Whether everything that was begun has ended."""
        return self.blocked or (bool(self._finished) and all(self._finished.values()))

    def read(self, answer: Any) -> list[ToolCall]:
        """The calls in an answer, or in a frame of one. Raises Unsound."""
        if not isinstance(answer, dict):
            raise Unsound("it is not an object")
        _known(answer, ANSWER)
        feedback = answer.get("promptFeedback")
        if isinstance(feedback, dict) and _says_why(feedback.get("blockReason")):
            self.blocked = True
        calls: list[ToolCall] = []
        for candidate in _objects(answer.get("candidates"), "the candidates"):
            calls += self._candidate(candidate)
        return calls

    def _candidate(self, candidate: dict[str, Any]) -> list[ToolCall]:
        _known(candidate, CANDIDATE)
        index, content = candidate.get("index", 0), candidate.get("content")
        if not isinstance(index, int) or isinstance(index, bool) or index < 0:
            raise Unsound("a candidate has no number")
        calls: list[ToolCall] = []
        if content is not None:
            if not isinstance(content, dict):
                raise Unsound("the content of a candidate is not an object")
            _known(content, CONTENT)
            for part in _objects(content.get("parts"), "the parts of a candidate"):
                calls += self._part(part, index)
        self._finished[index] = _says_why(candidate.get("finishReason")) or (
            self._finished.get(index, False) and not calls
        )
        return calls

    def _part(self, part: dict[str, Any], index: int) -> list[ToolCall]:
        kinds = [name for name, value in part.items() if value is not None and name not in BESIDE]
        if not kinds:
            return []
        (kind, *more) = kinds
        if more or (kind not in SAID and kind not in ACTS):
            raise Unsound("a part is of two kinds" if more else "a part is of a kind that is not known")
        if kind == "functionCall":
            return [_call_of(part[kind])]
        if kind == "executableCode":
            self._ran.add(index)
            return [_code_of(part[kind])]
        if kind == "codeExecutionResult" and index not in self._ran:
            raise Unsound("code was run that was not told")
        return []


def _call_of(call: Any) -> ToolCall:
    if not isinstance(call, dict) or not _CALL.issuperset(call):
        # Arguments in pieces (`partialArgs`) are not asked for, so they do not come.
        raise Unsound("a tool call holds something that is not known")
    name, call_id, arguments = call.get("name"), call.get("id"), call.get("args")
    if not isinstance(name, str) or not name:
        raise Unsound("a tool call has no name")
    if not isinstance(call_id, str | None) or not isinstance(arguments, dict | None):
        raise Unsound("a tool call is not as it must be")
    return ToolCall(call_id or "", name, written(arguments or {}))


def _code_of(code: Any) -> ToolCall:
    if not isinstance(code, dict):
        raise Unsound("code that was run is not an object")
    return ToolCall("", CODE_EXECUTION, written(code), hosted=CODE_EXECUTION)


def _objects(value: Any, what: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Unsound(f"{what} are not a list of objects")
    return value


def _says_why(reason: Any) -> bool:
    return isinstance(reason, str) and bool(reason) and reason not in _ENDS


def _known(value: dict[str, Any], names: frozenset[str]) -> None:
    """What is not in the table is news of the provider, as long as it is no other name of what is, and holds no part."""
    for name, each in value.items():
        if name not in names and (folded(name) in _FOLDED or _holds_parts(each)):
            raise Unsound("something is told in another place or under another name than it must be")


def folded(name: str) -> str:
    """One text for all spellings of a name."""
    return name.replace("_", "").lower()


_FOLDED = frozenset(folded(name) for name in ANSWER | CANDIDATE | CONTENT | SAID | ACTS | BESIDE)
_PARTS = frozenset(folded(name) for name in ACTS | {"candidates", "parts", "content"})


def _holds_parts(value: Any) -> bool:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            if any(folded(name) in _PARTS for name in each):
                return True
            pending += each.values()
        elif isinstance(each, list):
            pending += each
    return False
