"""What can be done with Gemini's answers beside reading them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

from bawn.terms.exchange import Endpoint
from bawn.wire.editing import Kept, Outcome, Refused, Said, StreamEditor
from bawn.wire.editing_faults import editing, reforming
from bawn.wire.fields import with_more
from bawn.wire.gemini import GeminiContents
from bawn.wire.gemini_editing import ContentEditor
from bawn.wire.gemini_folding import folded_content, streamed_content
from bawn.wire.gemini_parts import OWN, Candidate, parts_of, text_of, together, with_parts
from bawn.wire.holding import Unsound
from bawn.wire.plain_object import dicts, read_body, written_body

_FILTERED = (
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
)  # fmt: skip
_FINISHED = {"STOP": "stop", "MAX_TOKENS": "length", **dict.fromkeys(_FILTERED, "filter")}


class ContentAnswers:
    """Faults `tool.refused` and `upstream.broken`, for what cannot be done soundly."""

    def editor(self, before: bytes) -> StreamEditor:
        return ContentEditor(before)

    @editing
    def edited(self, endpoint: Endpoint, body: bytes, outcomes: Sequence[Outcome]) -> bytes:
        if all(isinstance(outcome, Kept) for outcome in outcomes):
            return body
        answer, left = read_body(body), iter(outcomes)
        candidates = [
            with_parts(each, Candidate().parts(parts_of(each), left)) if parts_of(each) else each
            for each in _candidates(answer)
        ]
        if next(left, None) is not None:
            raise Unsound("there are more outcomes than calls")
        return written_body({**answer, "candidates": candidates})

    @reforming
    def joined(self, first: bytes, second: bytes) -> bytes:
        before, after = read_body(first), read_body(second)
        said = {each.get("index", 0): each for each in _candidates(before)}
        candidates = [_behind(said.get(each.get("index", 0), {}), each) for each in _candidates(after)]
        own = {name: before[name] for name in OWN if name in before}
        whole = {**{name: value for name, value in after.items() if name not in OWN}, **own}
        if candidates:
            whole["candidates"] = candidates
        usage = together(before.get("usageMetadata"), after.get("usageMetadata"))
        return written_body(whole if usage is None else {**whole, "usageMetadata": usage})

    @reforming
    def folded(self, stream: bytes) -> bytes:
        return written_body(folded_content(stream))

    @reforming
    def streamed(self, body: bytes) -> bytes:
        return streamed_content(read_body(body))

    @editing
    def continued(self, request: bytes, answer: bytes, refusals: Sequence[Refused]) -> bytes:
        calling = [each for each in _candidates(read_body(answer)) if any(map(_called, parts_of(each)))]
        if len(calling) != 1:
            raise Unsound("there is no one candidate to go on with")
        content = {"role": "model", **calling[0]["content"]}
        calls = [part["functionCall"] for part in parts_of(calling[0]) if _called(part)]
        if len(calls) != len(refusals):
            raise Unsound("there are not as many refusals as calls")
        results = [_result(call, refused) for call, refused in zip(calls, refusals, strict=True)]
        return with_more(request, "contents", [content, {"role": "user", "parts": results}])

    def answer_of(self, text: str, model: str, call: str, created: int) -> bytes:
        content = {"parts": [{"text": text}], "role": "model"}
        return written_body(
            {
                "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
                "usageMetadata": dict.fromkeys(("promptTokenCount", "candidatesTokenCount", "totalTokenCount"), 0),
                "modelVersion": model,
                "responseId": call,
            }
        )

    @reforming
    def said(self, endpoint: Endpoint, body: bytes) -> Said:
        if endpoint is not Endpoint.GENERATE:
            return Said("", (), "other")
        calls = GeminiContents().read_answer(endpoint, body).calls
        answer = read_body(body)
        candidates = _candidates(answer)
        text = "".join(text_of(part) for each in candidates for part in parts_of(each))
        if not candidates:
            return Said(text, calls, "filter" if answer.get("promptFeedback") else "other")
        done = _FINISHED.get(str(candidates[0].get("finishReason")), "other")
        runs_here = any(not call.hosted for call in calls)
        return Said(text, calls, "calls" if runs_here and done == "stop" else done)


def _behind(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The second candidate behind what the first one says; the calls of the first are gone."""
    said = [part for part in parts_of(first) if not _called(part)]
    voice = Candidate()
    voice.gone(said)
    voice.apart = True
    return with_parts(second, [*said, *voice.parts(parts_of(second), repeat(Kept()))])


def _called(part: dict[str, Any]) -> bool:
    """Whether the client was to run something."""
    return part.get("functionCall") is not None


def _result(call: dict[str, Any], refused: Refused) -> dict[str, Any]:
    if (call.get("id") or "") != refused.id:
        raise Unsound("a call has no refusal")
    own = {"id": refused.id} if refused.id else {}
    return {"functionResponse": {**own, "name": call["name"], "response": {"error": refused.text}}}


def _candidates(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return dicts(answer.get("candidates") or [], "the candidates")
