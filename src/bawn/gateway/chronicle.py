"""What is said of the tries of one call: events for the record, rows for the book, and one line for whoever asks why."""

from __future__ import annotations

from typing import Protocol

from bawn.errors import Fault
from bawn.gateway.attempt import Attempt, Begun, Missed
from bawn.gateway.catalogue import Target
from bawn.gateway.closing import Account, Tried
from bawn.gateway.opening import Opened, open_attempt, open_record
from bawn.gateway.pipeline import Prepared
from bawn.terms.event import Event
from bawn.terms.principal import label
from bawn.terms.value import Value

LEFT = "cut"
"""Of a try that was given up, because another was quicker or the call is over."""


class Record(Protocol):
    async def record(self, event: Event) -> str: ...

    def note(self, event: Event) -> None: ...


class Numbered(Value, frozen=True):
    """One try of a call."""

    number: int
    """From 1."""
    target: Target
    waited: float
    """Seconds before it, since the target was tried before."""
    began: float
    """Monotonic seconds."""


class Chronicle:
    """Of one call. Every method may raise the Fault of a record that takes nothing: then the call does not go on."""

    def __init__(self, record: Record, prepared: Prepared, account: Account) -> None:
        self._record, self._prepared, self._account = record, prepared, account
        self._lines: list[str] = []

    @property
    def lines(self) -> tuple[str, ...]:
        """What happened, in order."""
        return tuple(self._lines)

    async def opened(self, tried: Numbered, prepared: Prepared, detail: tuple[tuple[str, str], ...]) -> Opened:
        """The try is about to be sent: the first one as the call itself, with `prepared` for its target."""
        self._account.target = tried.target
        if tried.number == 1:
            opened = await open_record(prepared, self._record, (("attempt", "1"), *detail))
        else:
            more = (("waited_ms", str(round(tried.waited * 1000))),) if tried.waited else ()
            opened = await open_attempt(prepared, self._record, tried.number, (*more, *detail))
        self._account.opened = opened
        return opened

    def begun(self, tried: Numbered, attempt: Attempt, now: float) -> None:
        self._settled(tried, "begun", attempt, None, now)

    def missed(self, tried: Numbered, attempt: Attempt, missed: Missed, now: float, *, left: bool = False) -> None:
        """It did not become the answer; `left` when that is nobody's fault."""
        self._settled(tried, LEFT if left else missed.trouble.value, attempt, missed, now)
        if missed.usage is None:
            return
        self._account.tried.append(
            Tried(
                number=tried.number,
                target=tried.target,
                model=missed.model,
                usage=missed.usage,
                usage_estimated=missed.estimated,
                status=attempt.answer.status if attempt.answer is not None else 0,
                outcome="cut" if left else "upstream_error",
                code="" if left else missed.fault.code,
                total_ms=round((now - tried.began) * 1000),
            )
        )

    def unsent(self, tried: Numbered, fault: Fault) -> None:
        """It was on record, and something that is no provider's fault kept it from being sent."""
        self._lines.append(f"{tried.number}: {tried.target.name} not sent, {fault.code}")
        self._note("attempt.settled", tried.target, code=fault.code, detail=_facts(tried, "unsent"))

    def unwanted(self, begun: Begun) -> None:
        """It had begun as well as another one did."""
        target = begun.opened.prepared.target
        self._account.tried.append(
            Tried(
                number=begun.number,
                target=target,
                model="",
                usage=begun.usage,
                usage_estimated=True,
                status=200,
                outcome="cut",
                code="",
                total_ms=0,
            )
        )

    def skipped(self, name: str, fault: Fault) -> None:
        """A target that is not asked, and why."""
        self._lines.append(f"{name} skipped: {fault.code}, {fault.sentence}")
        provider, _, model = name.partition("/")
        cause = fault.cause or fault.sentence
        self._note("attempt.skipped", Target(provider, model), code=fault.code, cause=cause)

    def over(self) -> None:
        """The account hears of it, when it is more than one try that went well."""
        if len(self._lines) > 1:
            self._account.story = "; ".join(self._lines)

    def _settled(self, tried: Numbered, word: str, attempt: Attempt, missed: Missed | None, now: float) -> None:
        answer = attempt.answer
        status = answer.status if answer is not None else 0
        told = f" ({status})" if status not in (0, 200) else ""
        after = f"after {tried.waited:.1f} s " if tried.waited else ""
        self._lines.append(f"{tried.number}: {after}{tried.target.name} {word}{told}")
        usage = missed.usage if missed is not None else None
        key = (("key", answer.key_label),) if answer is not None and answer.key_label else ()
        faulty = missed is not None and missed.answer is None and word != LEFT
        self._note(
            "attempt.settled",
            tried.target,
            status=status or None,
            latency_ms=round((now - tried.began) * 1000),
            tokens_in=usage.input_tokens if usage is not None else None,
            tokens_out=usage.output_tokens if usage is not None else None,
            code=missed.fault.code if faulty and missed is not None else "",
            detail=(*_facts(tried, word), *key),
        )

    def _note(
        self,
        event: str,
        target: Target,
        *,
        status: int | None = None,
        latency_ms: int | None = None,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
        code: str = "",
        cause: str = "",
        detail: tuple[tuple[str, str], ...] = (),
    ) -> None:
        raw, container = self._prepared.admitted.raw, self._prepared.admitted.container
        self._record.note(
            Event(
                event=event,
                endpoint=self._prepared.exchange.endpoint.value,
                method=raw.method,
                api_key_name=f"container-{container.name}",
                model=target.model,
                provider=target.provider,
                principal=label(container),
                container=container.uuid,
                call=raw.id,
                status=status,
                latency_ms=latency_ms,
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                code=code,
                cause=cause,
                detail=detail,
            )
        )


def _facts(tried: Numbered, word: str) -> tuple[tuple[str, str], ...]:
    return ("attempt", str(tried.number)), ("outcome", word)
