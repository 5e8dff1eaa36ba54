"""The walk of a call by a path that the operator opened, beside that of `server`: admitted, limited and recorded as all
are, judged by what can be seen of it, and answered whole."""

from __future__ import annotations

from bawn.errors import Fault, quoted
from bawn.gateway.admission import Admission, Admitted
from bawn.gateway.closing import Account
from bawn.gateway.opening import Recorder, open_record
from bawn.gateway.passing import without
from bawn.gateway.provider_refusal import carry_refusal
from bawn.gateway.reply import Reply
from bawn.gateway.works import Works
from bawn.wire import fields
from bawn.wire.other_calls import read_other_path, read_other_path_answer

_GOOD = (200, 201, 202)


class OtherCalls:
    def __init__(self, admission: Admission, recorder: Recorder) -> None:
        self._admission = admission
        self._recorder = recorder

    async def walk(self, works: Works, admitted: Admitted, reply: Reply, account: Account) -> None:
        raw = admitted.raw
        path = raw.route.model
        works.permissions.permit_path(admitted.container, path)
        exchange = read_other_path(raw.route, raw.body)
        account.exchange = exchange
        account.asked = asked = works.pipeline.asked(admitted, exchange)
        prepared = await works.pipeline.prepare(admitted, asked)
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
                await carry_refusal(answer, None, reply, account, works.limits)
                return
            said = without(answer.secret, await answer.body(works.limits.answer_bytes))
            for view in prepared.views:
                said = await view.whole(said)
            account.usage = read_other_path_answer(said)
            account.status = 200
            kept = [pair for pair in answer.headers if pair[0] != b"content-type"]
            reply.whole(200, [(b"content-type", b"application/json"), *kept], said)
        finally:
            answer.leave()
            works.upstream.settle(answer, account.usage)
