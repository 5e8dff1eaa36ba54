"""The walk of a call about an object that a provider keeps (a file, a response, a conversation), beside that of `server`.

Who calls is known and whether the operator has opened the family; what is left is ownership. Every id that the call
names is owned by the container, or it hears what it hears of an id that nobody has. What a call makes is written down
before the client learns of it; what it lists is cut down to what the container owns; what it ends is forgotten once the
provider said so. Answers that bring tool calls along (a response that is read again) pass the tool gate like others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import structlog

from bawn.errors import Fault
from bawn.gateway.admission import Admission, Admitted
from bawn.gateway.answer import Answer
from bawn.gateway.batches import Permitted, permit_requests, used
from bawn.gateway.claims import claim, object_event
from bawn.gateway.closing import Account
from bawn.gateway.http1 import DoorConnection
from bawn.gateway.object_pages import owned_page
from bawn.gateway.object_uploads import Reading, passed_on
from bawn.gateway.opening import Opened, Recorder, open_record, record_ways_out
from bawn.gateway.owners import OWED
from bawn.gateway.parts import Parts
from bawn.gateway.passing import Passing, without
from bawn.gateway.provider_refusal import carry_refusal
from bawn.gateway.reply import Reply
from bawn.gateway.toolgate import Judged, refused
from bawn.gateway.works import Works
from bawn.terms.clock import Clock
from bawn.terms.exchange import Endpoint, Usage
from bawn.terms.frames import HeldCall
from bawn.wire.batch_lines import read_line, route_of
from bawn.wire.json_text import read_object
from bawn.wire.object_answers import calls_within, is_ended, made, read_object_answer, response_over
from bawn.wire.object_requests import read_object_call
from bawn.wire.objects import ID, Body, Effect, ObjectCall

_log = structlog.get_logger("bawn.gateway")

KINDS = {
    "responses": "response",
    "conversations": "conversation",
    "files": "file",
    "batches": "batch",
    "vector_stores": "vector_store",
}
"""What the objects of a family are called in the table of owners."""
RESULTS = "results"
"""The kind of a file that holds the results of a batch, before a dot and what they are results of."""
_LISTED = {family: (kind, RESULTS) if family == "files" else (kind,) for family, kind in KINDS.items()}
"""What a list of a family can hold."""
_GOOD = (200, 201, 202)
_JSON = [(b"content-type", b"application/json")]


class ObjectCalls:
    def __init__(self, admission: Admission, recorder: Recorder, clock: Clock) -> None:
        self.admission = admission
        self.recorder = recorder
        self.clock = clock

    async def walk(
        self,
        works: Works,
        admitted: Admitted,
        asked: ObjectCall,
        connection: DoorConnection,
        reply: Reply,
        account: Account,
    ) -> None:
        raw = admitted.raw
        if named := raw.header(b"x-bawn-provider"):
            asked = msgspec.structs.replace(asked, provider=named.decode("latin-1"))
        exchange = read_object_call(asked, raw.body)
        account.exchange, account.free, account.usage = exchange, True, Usage()
        reading = Reading(asked.row, raw.header(b"content-type")) if asked.row.body is Body.UPLOAD else None
        keepers = works.upstream.keepers(asked.row.wire)
        account.asked = seen = works.pipeline.asked(admitted, exchange)
        prepared = await works.pipeline.prepare_object(admitted, seen, asked, keepers)
        if asked.row.path == "messages/batches" and asked.row.effect is Effect.MAKES:
            permitted = Permitted(works.pipeline, admitted, prepared.target.provider)
            await permit_requests(permitted, raw.body)
            account.exchange = permitted.ways(exchange)
            account.asked = seen = works.pipeline.asked(admitted, account.exchange)
            prepared = await works.pipeline.prepare_object(admitted, seen, asked, keepers)
        account.target = prepared.target
        detail = (("object.call", f"{asked.row.method} {asked.row.path}"), *(("object", name) for name in asked.ids))
        account.opened = await open_record(prepared, self.recorder, detail)
        # Writing the record took time; the right to call must hold now, not only when it was asked.
        self.admission.admit(raw)
        await _Asked(self, works, account.opened, asked, connection, reply, account, reading).carry()


class _Asked:
    """One call that is on record."""

    def __init__(
        self,
        calls: ObjectCalls,
        works: Works,
        opened: Opened,
        asked: ObjectCall,
        connection: DoorConnection,
        reply: Reply,
        account: Account,
        reading: Reading | None,
    ) -> None:
        self._calls, self._works, self._opened, self._asked = calls, works, opened, asked
        self._connection, self._reply, self._account, self._reading = connection, reply, account, reading
        self._container = opened.prepared.admitted.container
        self._target = opened.prepared.target
        self._owners = works.permissions.owners
        self._unspent = True
        """Whether the ledger has not heard yet what was used."""

    async def carry(self) -> None:
        """Ask the provider, and answer."""
        row = self._asked.row
        if row.effect is Effect.LISTS:
            await self._list()
            return
        if row.effect is Effect.ENDS:
            await self._settle_before_its_end()
        if row.path == "batches":
            await self._permit_input()
        results = self._results if row.lines else None
        if results is not None and not await self._settle_results(self._asked.ids[0], self._asked.path, results):
            return
        body = self._opened.prepared.exchange.body
        async with self._sent(row.method, self._asked.path, self._content(), self._body(body)) as answer:
            if answer.status not in _GOOD:
                await carry_refusal(answer, None, self._reply, self._account, self._works.limits)
            elif results is not None:
                await self._passing(answer).results(results, self._works.gate, self._works.limits.answer_bytes)
            elif row.lines:
                await self._passing(answer).content()
            else:
                await self._answer(answer)

    async def _answer(self, answer: Answer) -> None:
        body, read = await self._read(answer)
        effect = self._asked.row.effect
        if effect is Effect.MAKES:
            await self._claim(made(read))
        elif effect is Effect.ENDS and is_ended(read):
            await self._forget()
        elif self._asked.row.family == "responses" and self._asked.told:
            await self._settle(read)
        await self._claim_outputs(read)
        body = self._led_here(body, read)
        self._account.status = 200
        self._reply.whole(200, [*self._headers(answer), *_JSON], await self._judged(body, read))

    async def _judged(self, body: bytes, read: dict[str, Any]) -> bytes:
        """The answer, once what it would have the client do may be done."""
        for view in self._opened.prepared.views:
            if await view.whole(body) != body:
                raise Fault("stage.refused", "A stage would change the answer to a call about a kept object.")
        held = HeldCall(calls_within(self._asked, read), body)
        if not held.calls:
            return held.data
        verdict = await self._works.gate.judge(self._opened, held)
        if isinstance(verdict, Judged):
            raise refused(verdict)
        return verdict.data

    # who owns it

    async def _claim(self, name: str) -> None:
        kind = KINDS[self._asked.row.family]
        # What becomes of messages is told by their batch itself, of other batches by files of their own.
        await self._claim_as(name, kind + OWED if self._asked.row.path == "messages/batches" else kind)

    async def _claim_as(self, name: str, kind: str) -> None:
        calls = self._calls
        await claim(self._opened, self._works.permissions, calls.recorder, name, kind, calls.clock.now())

    async def _forget(self) -> None:
        name = self._asked.ids[0]
        kind = self._owners.kind(self._target.provider, name)
        if kind.endswith(OWED):
            # Broken off in the middle: what it used by then, nobody says.
            self._account.usage, self._account.free = None, False
        try:
            await self._calls.recorder.record(object_event("object.ended", self._opened, name, kind))
            await self._owners.forget(self._target.provider, name)
        except Fault as fault:
            # It is no more, and that is what the client asks; a row about nothing opens nothing.
            _log.error("object.not_forgotten", provider=self._target.provider, code=fault.code)

    # what it used

    @property
    def _owes(self) -> bool:
        return self._owners.kind(self._target.provider, self._asked.ids[0]).endswith(OWED)

    async def _settle(self, read: dict[str, Any]) -> None:
        """What was worked in the background is paid for by the call that first reads its end."""
        over, usage, model = response_over(read)
        if over and self._owes and await self._owners.settle(self._target.provider, self._asked.ids[0]):
            self._account.usage, self._account.answered_model, self._account.free = usage, model, False

    async def _settle_before_its_end(self) -> None:
        """What is deleted cannot be read any more, so what it owes is looked up before."""
        if not self._owes:
            return
        if self._asked.row.family != "responses":
            name, path, results = self._asked.ids[0], self._asked.path, self._results
            if results is not None:
                lines = f"{path}/{'results' if results is Endpoint.MESSAGES else 'content'}"
                await self._settle_results(name, lines, results, told=False)
            return
        async with self._sent("GET", self._asked.path) as answer:
            if answer.status == 200:
                _, read = await self._read(answer)
                await self._settle(read)

    # batches

    @property
    def _results(self) -> Endpoint | None:
        """Which answers stand in the lines of what is asked for; None when it has no results."""
        if self._asked.row.path.startswith("messages/batches"):
            return Endpoint.MESSAGES
        kind, dot, asked = self._owners.kind(self._target.provider, self._asked.ids[0]).partition(".")
        return Endpoint(asked.removesuffix(OWED)) if kind == RESULTS and dot else None

    async def _permit_input(self) -> None:
        """Read the file that a batch is made of once more at the provider: it is what the provider will work on."""
        prepared = self._opened.prepared
        read = read_object(prepared.exchange.body)
        file, route = read.get("input_file_id"), route_of(read.get("endpoint"))
        if not isinstance(file, str) or not ID.fullmatch(file):
            raise Fault("request.invalid", "The field 'input_file_id' has to be the id of a file.")
        permitted = Permitted(self._works.pipeline, prepared.admitted, self._target.provider)
        async with self._sent("GET", f"files/{file}/content", query="") as answer:
            if answer.status != 200:
                raise Fault(
                    "upstream.broken",
                    "The provider did not give the file of the batch back, so that nobody knows what is in it.",
                    cause=f"the provider answered {answer.status}",
                )
            async for line in Parts(answer).lines(self._works.limits.body_bytes):
                await permitted.take(partial(read_line, line, route), len(line))
        if not permitted.lines:
            raise Fault("request.invalid", "The file of the batch has no lines.")
        await record_ways_out(prepared, permitted.ways(prepared.exchange), self._calls.recorder)
        self._calls.admission.admit(prepared.admitted.raw)

    async def _claim_outputs(self, batch: dict[str, Any]) -> None:
        """The files in which a batch tells its results belong to whom it belongs to, and are settled before they are
        known: whatever is done with them then, it was paid for."""
        if self._asked.row.path.partition("/")[0] != "batches":
            return
        for field in ("output_file_id", "error_file_id"):
            name = batch.get(field)
            if name is None:
                continue
            asked = route_of(batch.get("endpoint")).endpoint
            if not isinstance(name, str) or not ID.fullmatch(name):
                raise Fault("upstream.broken", "The provider did not say which file holds the results.")
            if self._owners.owner(self._target.provider, name) != self._container.uuid:
                await self._claim_as(name, f"{RESULTS}.{asked.value}{OWED}")
            if not self._owners.kind(self._target.provider, name).startswith(f"{RESULTS}."):
                raise Fault("upstream.broken", "The provider names a file as results that was there before.")
            await self._settle_results(name, f"files/{name}/content", asked, told=False)

    def _led_here(self, body: bytes, batch: dict[str, Any]) -> bytes:
        """A batch of messages says by which address its results are read: by this door, as it was called, since the
        container reaches no other."""
        if not self._asked.row.path.startswith("messages/batches") or not isinstance(batch.get("results_url"), str):
            return body
        raw = self._opened.prepared.admitted.raw
        root = b"http://" + raw.header(b"host") + raw.path.partition(b"messages/batches")[0]
        batch["results_url"] = f"{root.decode('latin-1')}messages/batches/{batch['id']}/results"
        return msgspec.json.encode(batch)

    async def _settle_results(self, name: str, path: str, asked: Endpoint, *, told: bool = True) -> bool:
        """What a batch used, once. False when the provider gives no results, which `told` tells the client."""
        provider = self._target.provider
        if not self._owners.kind(provider, name).endswith(OWED):
            return True
        async with self._sent("GET", path, query="") as answer:
            if answer.status != 200:
                if told:
                    await carry_refusal(answer, None, self._reply, self._account, self._works.limits)
                return False
            results = await used(Parts(answer).lines(self._works.limits.answer_bytes), asked)
        if await self._owners.settle(provider, name):
            self._account.results += results
        return True

    # the provider

    @asynccontextmanager
    async def _sent(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        body: bytes | AsyncIterator[bytes] = b"",
        query: str | None = None,
    ) -> AsyncIterator[Answer]:
        upstream = self._works.upstream
        whole = f"{path}?{self._query() if query is None else query}".removesuffix("?")
        answer = await upstream.forward(self._opened, method, whole, content, body)
        try:
            yield answer
        finally:
            answer.leave()
            upstream.settle(answer, self._spent())

    def _spent(self) -> Usage | None:
        """What the call used, for one of the questions that it takes."""
        if self._account.free:
            return None
        usage, self._unspent = self._account.usage if self._unspent else None, False
        return usage

    def _query(self) -> str:
        return "&".join(f"{name}={value}" for name, value in self._asked.query)

    def _content(self) -> bytes:
        match self._asked.row.body:
            case Body.JSON:
                return b"application/json"
            case Body.UPLOAD:
                return self._opened.prepared.admitted.raw.header(b"content-type").strip()
            case Body.NONE:
                return b""

    def _body(self, whole: bytes) -> bytes | AsyncIterator[bytes]:
        if self._reading is None:
            return whole if self._asked.row.body is Body.JSON else b""
        if self._connection.upload is None:
            raise Fault("internal", "An upload came without its body.")
        return passed_on(self._connection.upload, self._reading)

    async def _read(self, answer: Answer) -> tuple[bytes, dict[str, Any]]:
        body = without(answer.secret, await answer.body(self._works.limits.answer_bytes))
        self._account.first_byte = self._account.first_byte or self._calls.clock.monotonic()
        return body, read_object_answer(self._asked, body)

    def _passing(self, answer: Answer) -> Passing:
        """For what is no JSON document, in parts; the answer has begun."""
        self._account.status = 200
        self._account.first_byte = self._calls.clock.monotonic()
        return Passing(self._opened, answer, self._connection, self._reply)

    def _headers(self, answer: Answer) -> list[tuple[bytes, bytes]]:
        return [pair for pair in answer.headers if pair[0] != b"content-type"]

    async def _list(self) -> None:
        provider, container = self._target.provider, self._container.uuid
        page = await owned_page(
            self._asked,
            self._page,
            lambda name: self._owners.owner(provider, name) == container,
            self._owners.count(provider, _LISTED[self._asked.row.family], container),
        )
        for item in page["data"]:
            await self._claim_outputs(item)
            self._led_here(b"", item)
        self._account.status = 200
        self._reply.whole(200, _JSON, msgspec.json.encode(page))

    async def _page(self, query: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        text = "&".join(f"{name}={value}" for name, value in query)
        async with self._sent("GET", self._asked.path, query=text) as answer:
            if answer.status != 200:
                raise Fault(
                    "upstream.broken",
                    "The provider did not list its objects.",
                    cause=f"the provider answered {answer.status}",
                )
            return (await self._read(answer))[1]
