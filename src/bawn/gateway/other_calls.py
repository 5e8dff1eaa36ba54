"""The walk of a call by a path that the operator opened, beside that of `server`: admitted, limited and recorded as all
are, judged by what can be seen of it, and answered whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from bawn.errors import Fault, quoted
from bawn.gateway.admission import Admission, Admitted
from bawn.gateway.answer import Answer
from bawn.gateway.closing import Account
from bawn.gateway.opening import Recorder, open_record
from bawn.gateway.passing import without
from bawn.gateway.permissions import Permissions
from bawn.gateway.pipeline import Pipeline
from bawn.gateway.reply import Reply
from bawn.gateway.settings import Limits
from bawn.gateway.upstream import Upstream
from bawn.terms.frames import HeldCall
from bawn.wire import fields
from bawn.wire.other_calls import read_other_path, read_other_path_answer

_GOOD = (200, 201, 202)


class Works(Protocol):
    """What follows from the configuration; of `server`, which stands above."""

    @property
    def limits(self) -> Limits: ...
    @property
    def permissions(self) -> Permissions: ...
    @property
    def pipeline(self) -> Pipeline: ...
    @property
    def upstream(self) -> Upstream: ...


SaidNo = Callable[[Answer, None, Reply, Account, Limits], Awaitable[None]]


class OtherCalls:
    def __init__(self, admission: Admission, recorder: Recorder, said_no: SaidNo) -> None:
        self._admission = admission
        self._recorder = recorder
        self._said_no = said_no

    async def walk(self, works: Works, admitted: Admitted, reply: Reply, account: Account) -> None:
        raw = admitted.raw
        path = raw.route.model
        works.permissions.permit_path(admitted.container, path)
        exchange = read_other_path(raw.route, raw.body)
        account.exchange = exchange
        prepared = await works.pipeline.prepare(admitted, exchange)
        exchange, target = prepared.exchange, prepared.target
        account.exchange, account.target = exchange, target
        if prepared.given is not None:
            raise Fault("stage.refused", "A stage would answer a call of which it cannot know how.")
        if target.provider not in works.upstream.keepers(exchange.wire):
            raise Fault(
                "request.wire_mismatch",
                f"The provider {quoted(target.provider)} has no such path.",
                remedy="Name a model of one that has it.",
            )
        opened = await open_record(prepared, self._recorder, (("path", path),))
        account.opened = opened
        # Writing the record took time; the right to call must hold now, not only when it was asked.
        self._admission.admit(raw)
        method, _, rest = path.partition(" ")
        body, content = b"", b""
        if method == "POST":
            content, body = b"application/json", exchange.body
            if exchange.model and exchange.model != target.model:
                body = fields.with_field(body, "model", target.model)
        answer = await works.upstream.forward(opened, method, rest, content, body)
        try:
            if answer.status not in _GOOD:
                await self._said_no(answer, None, reply, account, works.limits)
                return
            said = without(answer.secret, await answer.body(works.limits.answer_bytes))
            for stage in prepared.frame_stages:
                for frame in await stage.frame(HeldCall((), said)):
                    said = frame.data
            account.usage = read_other_path_answer(said)
            account.status = 200
            kept = [pair for pair in answer.headers if pair[0] != b"content-type"]
            reply.whole(200, [(b"content-type", b"application/json"), *kept], said)
        finally:
            answer.leave()
            works.upstream.settle(answer, account.usage)
