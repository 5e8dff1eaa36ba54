"""A provider that says no, as the client hears it."""

from __future__ import annotations

from bawn.errors import Fault
from bawn.gateway.answer import Answer
from bawn.gateway.closing import Account
from bawn.gateway.passage import Passage
from bawn.gateway.passing import without
from bawn.gateway.reply import Reply
from bawn.gateway.settings import Limits
from bawn.translation.errors import read_error, write_error
from bawn.wire import wire


async def carry_refusal(answer: Answer, way: Passage | None, reply: Reply, account: Account, limits: Limits) -> None:
    """The provider said no. Its words pass when they are of its wire; what concerns our key does not."""
    body = without(answer.secret, await answer.body(min(limits.answer_bytes, 2**20)))
    account.status = answer.status
    account.outcome = "upstream_error"
    if answer.status in (401, 403):
        raise Fault(
            "upstream.key_refused",
            "The provider did not accept the key that this installation has for it.",
            cause=f"the provider answered {answer.status}"
            + (f" to the key with the label {answer.key_label}" if answer.key_label else ""),
        )
    if way is not None and way.carriage is not None:
        sentence = read_error(body)
        written = write_error(reply.wire, answer.status, sentence) if sentence is not None else b""
        # Once more: what was escaped in the provider's words may be plain in ours.
        body = without(answer.secret, written)
    if not 400 <= answer.status < 600 or not wire(reply.wire).is_error(body):
        raise Fault(
            "upstream.broken",
            "The provider answered with an error that is not of its wire.",
            cause=f"status {answer.status}, {len(body)} bytes",
        )
    kept = [pair for pair in answer.headers if pair[0] != b"content-type"]
    reply.whole(answer.status, [(b"content-type", b"application/json"), *kept], body)
