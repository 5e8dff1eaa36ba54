"""The end of a call, however it ended: one settlement, one record, nothing forgotten.

`close` never awaits, so that it also runs to its end for a call that is being cancelled.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from bawn.errors import Fault
from bawn.gateway.call import RawCall
from bawn.gateway.catalogue import Target
from bawn.gateway.opening import Opened
from bawn.guardrails.prices import Prices
from bawn.guardrails.settlement import Outcome, Refusal, Settlement
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.terms.exchange import Endpoint, Exchange, Usage
from bawn.terms.principal import Container, label
from bawn.terms.value import Value

_BATCH_SHARE = Decimal("0.5")


class Notes(Protocol):
    def note(self, event: Event) -> None:
        """Put an event into the record without waiting for the disk."""


class Books(Protocol):
    """Where settlements and refusals are kept for `bawn usage` and `bawn why`."""

    def add(self, settlement: Settlement) -> None: ...

    def refuse(self, refusal: Refusal) -> None: ...


class Tried(Value, frozen=True):
    """A try of a call that did not become its answer, and may have been billed all the same."""

    number: int
    """Of the tries of its call, from 1."""
    target: Target
    model: str
    """As the provider answered; empty when it did not say."""
    usage: Usage | None
    usage_estimated: bool
    status: int
    outcome: Outcome
    """`upstream_error`, or `cut` when another try was quicker."""
    code: str
    total_ms: int


class Account:
    """What is known of one call while it runs; becomes its settlement."""

    __slots__ = (
        "answered_model",
        "asked",
        "container",
        "cost",
        "exchange",
        "fault",
        "first_byte",
        "free",
        "key_label",
        "opened",
        "outcome",
        "raw",
        "results",
        "said",
        "status",
        "story",
        "streamed",
        "target",
        "tried",
        "usage",
        "usage_estimated",
    )  # fmt: skip

    def __init__(self, raw: RawCall, container: Container | None) -> None:
        self.raw = raw
        self.container = container
        """The container of the door, known before the call is admitted; None when the door has none."""
        self.exchange: Exchange | None = None
        self.target: Target | None = None
        self.asked: Asked | None = None
        self.opened: Opened | None = None
        self.cost: Decimal | None = None
        """What it cost, once it is settled; None where nobody knows."""
        self.said = b""
        """The whole answer as the client got it; empty for a stream."""
        self.streamed: list[bytes] = []
        """The frames that the client got."""
        self.usage: Usage | None = None
        self.usage_estimated = False
        """Whether the provider's count was lost with a cut stream and is estimated from what went out."""
        self.free = False
        """Whether what was asked costs nothing: reading and keeping objects, but not what a model did for them."""
        self.results: list[tuple[str, Usage]] = []
        """What the lines of a batch used, by model, when their results are read for the first time."""
        self.tried: list[Tried] = []
        """What it had used at other targets, before or beside the one that answered."""
        self.story = ""
        """What was tried in which order, when it was more than one thing; for the operator."""
        self.answered_model = ""
        self.key_label = ""
        """Which of the provider's keys was used, where they have labels."""
        self.first_byte = 0.0
        self.status = 0
        self.outcome: Outcome = "ok"
        self.fault: Fault | None = None


class Closing:
    def __init__(
        self, notes: Notes, books: Books, prices: Prices, clock: Clock, lost: Callable[[str, Exception], None]
    ) -> None:
        self._notes = notes
        self._books = books
        self._prices = prices
        self._clock = clock
        self._lost = lost

    def close(self, account: Account) -> None:
        """Settle a call that was opened; note one that was refused before."""
        raw, container, fault = account.raw, account.container, account.fault
        now = self._clock.now()
        total_ms = max(0, round((self._clock.monotonic() - raw.received) * 1000))
        usage = account.usage
        opened = account.opened is not None
        event = Event(
            # Without a fault it was answered here: the list of models, the probe.
            event="call.settled" if opened else "call.refused" if fault is not None else "call.answered",
            endpoint=account.exchange.endpoint.value if account.exchange is not None else _shown(raw.path),
            method=raw.method,
            api_key_name=f"container-{container.name}" if container is not None else "",
            tokens_in=usage.input_tokens if usage is not None else None,
            tokens_out=usage.output_tokens if usage is not None else None,
            model=account.target.model if account.target is not None else "",
            provider=account.target.provider if account.target is not None else "",
            latency_ms=total_ms,
            status=account.status,
            principal=label(container) if container is not None else "",
            container=raw.door.container_uuid,
            call=raw.id,
            code=fault.code if fault is not None else "",
            cause=(fault.cause or fault.sentence) if fault is not None else account.story,
            detail=_facts(account),
        )
        try:
            self._notes.note(event)
            if fault is not None and fault.kind.blame != "ours":
                self._books.refuse(
                    Refusal(
                        time=now,
                        container_uuid=raw.door.container_uuid,
                        call=raw.id,
                        code=fault.code,
                        sentence=fault.sentence,
                        cause=fault.cause,
                        remedy=fault.remedy,
                        method=raw.method[:16],
                        endpoint=event.endpoint[:200],
                        model=account.exchange.model[:200] if account.exchange is not None else "",
                    )
                )
            elif account.story and account.outcome == "upstream_error":
                self._books.refuse(_exhausted(account, now))
            if opened and container is not None and account.target is not None and account.exchange is not None:
                self._settle_tried(account, container, account.exchange, now)
                account.cost = self._cost(account, account.target, now)
                self._books.add(
                    Settlement(
                        call=raw.id,
                        time=now,
                        container_uuid=container.uuid,
                        container_number=container.number,
                        session=account.exchange.session or _session(raw),
                        wire=account.exchange.wire,
                        endpoint=account.exchange.endpoint,
                        provider=account.target.provider,
                        model_requested=account.exchange.model,
                        # A call about an object that is kept has no model; its family says more than nothing.
                        model=account.answered_model or account.target.model or account.exchange.endpoint.value,
                        usage=usage,
                        usage_estimated=account.usage_estimated,
                        cost_usd=account.cost,
                        first_byte_ms=_ms(account.first_byte, raw.received),
                        total_ms=total_ms,
                        status=account.status,
                        outcome=account.outcome,
                        code=fault.code if fault is not None else "",
                    )
                )
                if account.results:
                    self._settle_results(account, account.opened, container, now)
        except Fault as error:
            # The call is over and cannot be stopped any more; the next one will be refused at its opening.
            self._lost(raw.id, error)

    def _settle_tried(self, account: Account, container: Container, exchange: Exchange, now: datetime) -> None:
        """A row for each try that may have been billed and is not the one that answered."""
        for tried in account.tried:
            target = tried.target
            self._books.add(
                Settlement(
                    call=f"{account.raw.id}.{tried.number}",
                    time=now,
                    container_uuid=container.uuid,
                    container_number=container.number,
                    session=exchange.session or _session(account.raw),
                    wire=exchange.wire,
                    endpoint=exchange.endpoint,
                    provider=target.provider,
                    model_requested=exchange.model,
                    model=tried.model or target.model,
                    usage=tried.usage,
                    usage_estimated=tried.usage_estimated,
                    cost_usd=self._prices.cost(
                        target.provider, tried.model or target.model, tried.usage, now, target.model
                    ),
                    first_byte_ms=None,
                    total_ms=tried.total_ms,
                    status=tried.status,
                    outcome=tried.outcome,
                    code=tried.code,
                )
            )

    def ending(self, account: Account) -> Ending:
        """How it ended, for the stages that saw it begin."""
        target = account.target
        cost = account.cost
        if cost is None and target is not None and account.opened is None:
            cost = self._cost(account, target, self._clock.now())
        return Ending(
            account.status,
            account.outcome,
            account.usage,
            target.name if target is not None else "",
            None if cost is None else float(cost),
            max(0, round((self._clock.monotonic() - account.raw.received) * 1000)),
        )

    def _settle_results(self, account: Account, opened: Opened | None, container: Container, now: datetime) -> None:
        """A row for each model that worked on a batch; both providers of batches take half the price for them."""
        exchange, target = account.exchange, account.target
        if opened is None or exchange is None or target is None:
            return
        for number, (model, usage) in enumerate(account.results, 1):
            cost = self._prices.cost(target.provider, model, usage, now)
            self._notes.note(
                Event(
                    event="batch.settled",
                    endpoint=exchange.endpoint.value,
                    api_key_name=f"container-{container.name}",
                    tokens_in=usage.input_tokens,
                    tokens_out=usage.output_tokens,
                    model=model,
                    provider=target.provider,
                    principal=label(container),
                    container=container.uuid,
                    call=account.raw.id,
                )
            )
            self._books.add(
                Settlement(
                    call=f"{account.raw.id}.{number}",
                    time=now,
                    container_uuid=container.uuid,
                    container_number=container.number,
                    session="",
                    wire=exchange.wire,
                    endpoint=Endpoint.BATCHES,
                    provider=target.provider,
                    model_requested=model,
                    model=model,
                    usage=usage,
                    usage_estimated=False,
                    cost_usd=None if cost is None else cost * _BATCH_SHARE,
                    first_byte_ms=None,
                    total_ms=0,
                    status=account.status,
                    outcome="ok",
                    code="",
                )
            )

    def _cost(self, account: Account, target: Target, now: datetime) -> Decimal | None:
        if account.free:
            return Decimal(0)
        model = account.answered_model or target.model
        return self._prices.cost(target.provider, model, account.usage, now, target.model)


def _exhausted(account: Account, now: datetime) -> Refusal:
    """The provider's own error went to the client; `bawn why` tells of all that was tried before."""
    fault = Fault("upstream.exhausted", "No provider answered the call; the last error of one was passed on.")
    return Refusal(
        time=now,
        container_uuid=account.raw.door.container_uuid,
        call=account.raw.id,
        code=fault.code,
        sentence=fault.sentence,
        cause=account.story,
        remedy=fault.remedy,
        method=account.raw.method[:16],
        endpoint=account.exchange.endpoint.value if account.exchange is not None else "",
        model=account.exchange.model[:200] if account.exchange is not None else "",
    )


def _facts(account: Account) -> tuple[tuple[str, str], ...]:
    outcome: tuple[tuple[str, str], ...] = (("outcome", account.outcome),) if account.outcome != "ok" else ()
    key: tuple[tuple[str, str], ...] = (("key", account.key_label),) if account.key_label else ()
    # What stages noted before the call was sent is in the record of its opening.
    notes: tuple[tuple[str, str], ...] = (
        tuple(account.asked.notes[account.asked.noted :]) if account.asked is not None else ()
    )
    return (*outcome, *key, *notes)


def _session(raw: RawCall) -> str:
    """The conversation as agents name it beside the body: OpenCode and Claude Code each have a header for it."""
    for name in (b"x-session-id", b"x-claude-code-session-id"):
        if value := raw.header(name):
            return value[:200].decode("ascii")
    return ""


def _ms(moment: float, start: float) -> int | None:
    return max(0, round((moment - start) * 1000)) if moment else None


_KEY = re.compile(rb"(key|token)=[^&]*", re.IGNORECASE)
"""Some clients of Gemini put their token there; such a call is refused, and what they sent is not written down."""


def _shown(path: bytes) -> str:
    return _KEY.sub(b"key=[redacted]", path)[:200].decode("latin-1")
