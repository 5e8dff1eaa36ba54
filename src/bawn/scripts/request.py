"""A request as a script gets it, changes it, and makes others."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bawn.errors import Fault
from bawn.scripts.answer import Answer, error_of, streamed
from bawn.scripts.body import UNSET, Json, Unset
from bawn.scripts.refusals import Refused, StreamBroken
from bawn.scripts.said import Call, Said, ToolResult
from bawn.scripts.talk import Talk, Words
from bawn.wire.document import RequestDocument, Spot
from bawn.wire.holding import Unsound

_IN_PATH = re.compile(r"(/(?:api/)?v1beta/models/)(.+)(:[A-Za-z]+(?:\?.*)?)")


class Request:
    """What the agent sent, without its credentials. A script may change it, or make another."""

    def __init__(
        self,
        method: str = "POST",
        path: str = "/api/v1/chat/completions",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        json: Any = UNSET,
    ) -> None:
        self.method = method
        self.path = path
        """As sent, with its query."""
        self.headers: dict[str, str] = {name.lower(): value for name, value in (headers or {}).items()}
        """Names in lower case; never a credential."""
        self._json = Json(body, json)
        self._read: tuple[Json, RequestDocument] | None = None

    @property
    def body(self) -> bytes:
        """As it goes on: what was sent, or what `json` has become."""
        return self._json.text()

    @body.setter
    def body(self, data: bytes) -> None:
        self._json = Json(data)

    @property
    def json(self) -> Any:
        """The body as Python values, None when there is none. What is changed in it goes on changed. Raises ValueError."""
        return self._json.value()

    @json.setter
    def json(self, value: Any) -> None:
        self._json = Json(b"", value)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of a conversation (`messages`, or `input` of the Responses wire), to be changed in place."""
        said = self.json
        found = said.get("messages", said.get("input")) if isinstance(said, dict) else None
        return found if isinstance(found, list) else []

    @property
    def model(self) -> str:
        """As the agent names it, in the body or (Gemini) in the path."""
        in_path = _IN_PATH.fullmatch(self.path)
        if in_path is not None:
            return in_path[2]
        said = self.json
        return str(said.get("model", "")) if isinstance(said, dict) else ""

    @model.setter
    def model(self, name: str) -> None:
        in_path = _IN_PATH.fullmatch(self.path)
        if in_path is not None:
            self.path = f"{in_path[1]}{name}{in_path[3]}"
        else:
            self.json["model"] = name

    @property
    def stream(self) -> bool:
        """Whether the agent wants the answer as events."""
        in_path = _IN_PATH.fullmatch(self.path)
        if in_path is not None:
            return in_path[3].startswith(":stream")
        said = self.json
        return isinstance(said, dict) and said.get("stream") is True

    @property
    def last_text(self) -> str:
        """The text of the last message, whatever form it has; empty when there is none."""
        if not self.messages:
            document = self._document()
            if document is not None and document.messages:
                return document.messages[-1].text
            said = self.json
            return said["input"] if isinstance(said, dict) and isinstance(said.get("input"), str) else ""
        content = self.messages[-1].get("content", "")
        if isinstance(content, str):
            return content
        parts = content if isinstance(content, list) else []
        return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))

    def copy(self, *, json: Any = UNSET, path: str = "", method: str = "") -> Request:
        """Another request, equal but for what is given; changing it does not change this one."""
        made = Request(method or self.method, path or self.path, self.headers, self.body)
        if not isinstance(json, Unset):
            made.json = json
        return made

    # what is the same on every wire

    @property
    def talk(self) -> Talk | None:
        """The request as one of a conversation (chat completions, responses, messages, generateContent); None for any other."""
        return Talk.of(self.method, self.path, self.headers, self.body)

    @property
    def texts(self) -> Sequence[Spot]:
        """Every text of a conversation and who `said` it: `system`, `user`, `assistant`, `tool`. Empty for any other."""
        document = self._document()
        return () if document is None else document.spots

    @property
    def results(self) -> list[ToolResult]:
        """What the tools of the agent have answered so far, each with the call it answers."""
        document = self._document()
        if document is None:
            return []
        calls = {
            key: call for message in document.messages for call in message.calls for key in (call.name, call.id) if key
        }
        return [ToolResult(spot, Call(calls[spot.call])) for spot in document.spots if spot.call in calls]

    def set_text(self, spot: Spot, text: str) -> None:
        """Another text in the place of one of `texts`; what stands beside it stays."""
        if text != spot.text and (document := self._document()) is not None:
            document.set_text(spot, text)
            self._changed(document)

    def add_system(self, text: str) -> None:
        """One more text of the system, behind what is there."""
        document = self._document()
        if document is None:
            raise ValueError("this request is no conversation")
        document.add_system(text)
        self._changed(document)

    def counted(self) -> Request:
        """The same request, such that a stream tells how many tokens it took. `res.relay` takes that out again for an
        agent that did not ask for it."""
        made, talk = self.copy(), self.talk
        if talk is not None:
            made.body = talk.counted()
        return made

    async def read(self, answer: Answer) -> Said:
        """All of what an answer to this request says, plain or streamed. Raises Refused for an answer of failure, and
        StreamBroken."""
        talk = self.talk
        if not answer.ok:
            raise Refused(answer.status, "upstream", error_of(await answer.body()))
        body = await answer.body()
        if talk is None:
            return Said(answer.status, Words(body=body))
        try:
            return Said(answer.status, talk.words(talk.folded(body) if streamed(answer) else body))
        except (Fault, Unsound) as error:
            raise StreamBroken(str(error)) from None

    def answer(self, text: str) -> dict[str, Any]:
        """An answer to this request in which the assistant says `text`, to be returned."""
        talk = self.talk
        if talk is None:
            raise ValueError("this request is no conversation")
        made: dict[str, Any] = msgspec.json.decode(talk.answer_of(text, uuid.uuid4().hex, int(time.time())))
        return made

    def _document(self) -> RequestDocument | None:
        if self._read is not None and self._read[0] is self._json and not self._json.changed():
            return self._read[1]
        talk = self.talk
        if talk is None:
            return None
        self._read = self._json, talk.document()
        return self._read[1]

    def _changed(self, document: RequestDocument) -> None:
        self._json = Json(document.body())
        self._read = self._json, document
