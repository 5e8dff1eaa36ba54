"""A call that may be tried more than once: at its own target, then at those of its chain, until one begins to answer.

    links      which targets may be called, and how                 chains.py
    breakers   whether a provider and its keys are left alone now   breaker.py
    attempt    one try, until something would be seen of it         attempt.py
    trouble    what follows from a try that was missed              trouble.py

Every try is on record before it is sent, reserved and settled by itself. Once something would be seen by the client,
nothing is tried again: what breaks from then on ends the answer in the wire's own error. All of it is over before the
call's deadline, with an answer or with the most telling error there was.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from bawn.errors import Fault
from bawn.gateway.attempt import Attempt, Begun, Missed, Patience
from bawn.gateway.breaker import Breakers, Try
from bawn.gateway.chains import Chains, Link, Links
from bawn.gateway.chronicle import Chronicle, Numbered, Record
from bawn.gateway.closing import Account
from bawn.gateway.failover_settings import Failover as Settings
from bawn.gateway.pace import asked_wait, backoff, patience
from bawn.gateway.permissions import Permissions
from bawn.gateway.pipeline import Prepared
from bawn.gateway.settings import Limits
from bawn.gateway.trouble import ABOUT_PROVIDER, Step, Trouble, step
from bawn.gateway.upstream import Upstream
from bawn.terms.clock import Clock

_OWN = b"x-bawn-"
_UNREAL = frozenset((Trouble.KEY,))
"""Troubles between this installation and a provider, of which a client can make nothing."""
_ONCE = frozenset((Trouble.SILENT, Trouble.BROKEN, Trouble.INEXPRESSIBLE))
"""After these nobody knows whether the provider does what it was asked for."""


class Failover:
    """What follows from one configuration; the breakers live on."""

    def __init__(
        self,
        settings: Settings,
        permissions: Permissions,
        upstream: Upstream,
        limits: Limits,
        record: Record,
        breakers: Breakers,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.permissions = permissions
        self.upstream = upstream
        self.limits = limits
        self.record = record
        self.breakers = breakers
        self.clock = clock
        self.jitter = jitter
        self._chains = Chains(settings.chains)
        breakers.settle(settings.breaker)
        final = {Trouble(name) for name, said in _SAID.items() if getattr(settings, said) == "stop"}
        self.final = frozenset(final)

    def chain(self, prepared: Prepared) -> tuple[str, ...] | None:
        """What follows the call's target; None when the call has one try and no more."""
        if prepared.given is not None:
            return None
        return self._chains.of(prepared.exchange.model, prepared.target)

    async def answered(
        self, prepared: Prepared, chain: tuple[str, ...], account: Account, still: Callable[[], None]
    ) -> Begun:
        """The answer that goes to the client, or the error of a provider that does; else the Fault that says it best.

        `still` raises when the right to call was withdrawn; it is asked after each record. `account` is told of every try.
        """
        return await _Dance(self, prepared, chain, account, still).run()


_SAID = {Trouble.FILTERED: "on_content_filter", Trouble.TOO_LONG: "on_context_length"}


class _Dance:
    """One call."""

    def __init__(
        self, works: Failover, prepared: Prepared, chain: tuple[str, ...], account: Account, still: Callable[[], None]
    ) -> None:
        self._works, self._prepared = works, prepared
        self._account, self._still = account, still
        self._clock = works.clock
        self._chronicle = Chronicle(works.record, prepared, account)
        self._links = Links(prepared, chain, works.permissions, works.upstream.passage, self._skipped)
        seconds = patience(prepared.admitted.raw.headers, works.settings.deadline_seconds)
        self._ends = self._clock.monotonic() + seconds
        self._hurried = seconds < works.settings.deadline_seconds
        """Whether the client has less patience than is configured: a silence is then no fault of the provider's."""
        self._once = any(tool.type == "background" for tool in prepared.exchange.hosted_tools)
        self._count = 0
        self._missed: list[Missed] = []
        self._skips: list[Fault] = []
        self._waits: list[float] = []
        """Seconds until a breaker lets a call try."""
        self._stopped = False
        self._chosen: Begun | None = None
        """Of two lanes, the answer that was there first."""

    async def run(self) -> Begun:
        hedge = self._works.settings.hedge_ms
        try:
            begun = await (self._lane() if hedge is None or self._once else self._lanes(hedge / 1000))
        finally:
            self._chronicle.over()
        if begun is None:
            begun = self._failed()
        self._account.opened, self._account.target = begun.opened, begun.opened.prepared.target
        _mark(begun, self._count)
        return begun

    # what is tried in which order

    async def _lane(self) -> Begun | None:
        while not self._stopped and (link := self._links.next()) is not None:
            begun = await self._at(link)
            if begun is not None:
                return begun
        return None

    async def _lanes(self, after: float) -> Begun | None:
        """As `_lane`; when nothing has come after a while, beside a second one."""
        lanes = [asyncio.ensure_future(self._lane())]
        try:
            try:
                done, _ = await asyncio.wait(lanes, timeout=after)
                if not done and self._links.more():
                    lanes.append(asyncio.ensure_future(self._lane()))
                return await self._first(lanes)
            finally:
                for lane in lanes:
                    lane.cancel()
                for outcome in await asyncio.gather(*lanes, return_exceptions=True):
                    if isinstance(outcome, Begun) and outcome is not self._chosen:
                        self._leave(outcome)
        except asyncio.CancelledError:
            if self._chosen is not None:
                self._leave(self._chosen)
            raise

    async def _first(self, lanes: list[asyncio.Task[Begun | None]]) -> Begun | None:
        running, fault = set(lanes), None
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for lane in lanes:
                if lane not in done:
                    continue
                error = lane.exception()
                if error is not None:
                    fault = fault or error
                elif self._chosen is None:
                    self._chosen = lane.result()
            if self._chosen is not None:
                return self._chosen
        if fault is not None:
            raise fault
        return None

    async def _at(self, link: Link) -> Begun | None:
        """All tries at one target."""
        works, tries, waited = self._works, 0, 0.0
        while True:
            trial = self._admitted(link, tries)
            if trial is None:
                return None
            outcome = await self._try(link, trial, waited)
            if isinstance(outcome, Begun):
                return outcome
            self._missed.append(outcome)
            follows = step(outcome.trouble, works.settings)
            if follows is Step.STOP or (self._once and outcome.trouble in _ONCE):
                self._stopped = True
                return None
            tries += 1
            if follows is Step.NEXT or tries > works.settings.retries or self._stopped:
                return None
            wait = self._wait(outcome, tries)
            if wait is None:
                return None
            waited = wait
            await asyncio.sleep(wait)

    def _admitted(self, link: Link, tries: int) -> Try | None:
        """The breaker's leave to try, or None with the reason on record."""
        works, now, provider = self._works, self._clock.monotonic(), link.target.provider
        if now >= self._ends:
            self._chronicle.skipped(link.target.name, Fault("upstream.timeout", "There is no time left."))
            return None
        try:
            if (
                not tries
                and not works.upstream.usable(provider, works.breakers.barred(provider))
                and self._links.more()
            ):
                raise Fault("upstream.exhausted", "All keys of the provider rest.")
            trial = works.breakers.of(provider).begin(now)
            if trial is None:
                self._waits.append(works.breakers.of(provider).waits(now))
                raise Fault("upstream.exhausted", "The provider failed too often; it is left alone for a while.")
        except Fault as fault:
            if fault.code != "upstream.exhausted" and not self._links.more() and not self._missed:
                raise
            self._skipped(link.target.name, fault)
            return None
        return trial

    def _wait(self, missed: Missed, tries: int) -> float | None:
        """Seconds before the same target is tried again; None when that would take too long."""
        works, settings = self._works, self._works.settings
        headers = missed.answer.headers if missed.answer is not None else ()
        provider = missed.opened.prepared.target.provider
        wait = backoff(settings.backoff, tries, works.jitter)
        asked = asked_wait(headers, self._clock.now())
        if missed.trouble is Trouble.BUSY and works.upstream.spare_key(provider, works.breakers.barred(provider)):
            # Another key has not had too many calls.
            return 0.0
        if asked is not None:
            if asked > settings.retry_after_seconds:
                return None
            wait = max(wait, asked)
        return wait if self._clock.monotonic() + wait < self._ends else None

    # one try

    async def _try(self, link: Link, trial: Try, waited: float) -> Begun | Missed:
        works, clock, chronicle = self._works, self._clock.monotonic, self._chronicle
        barred, probes = works.breakers.keys(link.target.provider)
        self._count += 1
        tried = Numbered(self._count, link.target, waited, clock())
        attempt: Attempt | None = None
        outcome: Begun | Missed | None = None
        try:
            opened = await chronicle.opened(tried, link.prepared, link.way.detail)
            self._still()
            attempt = Attempt(
                works.upstream, works.limits, self._clock, opened, link.way, self._count, final=works.final
            )
            outcome = await attempt.run(self._patience(), barred)
            self._judged(trial, probes, attempt, outcome)
            if isinstance(outcome, Begun):
                chronicle.begun(tried, attempt, clock())
            else:
                chronicle.missed(tried, attempt, outcome, clock())
        except asyncio.CancelledError:
            if attempt is not None:
                chronicle.missed(tried, attempt, attempt.left(), clock(), left=True)
            raise
        except Fault as fault:
            if isinstance(outcome, Begun):
                self._leave(outcome)
            elif attempt is not None and outcome is None:
                chronicle.unsent(tried, fault)
            raise
        finally:
            for each in (trial, *probes.values()):
                each.over(clock(), well=None)
        return outcome

    def _patience(self) -> Patience:
        settings = self._works.settings
        left = max(0.001, self._ends - self._clock.monotonic())
        soft = settings.first_token_seconds if self._prepared.exchange.stream else settings.answer_seconds
        return Patience(soft, left, self._links.more)

    def _judged(self, trial: Try, probes: dict[str, Try], attempt: Attempt, outcome: Begun | Missed) -> None:
        """What the try says about the provider and about the key."""
        now, breakers = self._clock.monotonic(), self._works.breakers
        provider = outcome.opened.prepared.target.provider
        if isinstance(outcome, Begun):
            well: bool | None = True
        else:
            hurried = self._hurried and outcome.trouble is Trouble.SILENT
            well = False if outcome.trouble in ABOUT_PROVIDER and not hurried else None
        trial.over(now, well=well)
        key = attempt.answer.key_id if attempt.answer is not None else ""
        if key:
            busy = isinstance(outcome, Missed) and outcome.trouble is Trouble.BUSY
            tried = probes.get(key) or breakers.of(provider, key).begin(now)
            if tried is not None:
                tried.over(now, well=False if busy else well)

    def _skipped(self, name: str, fault: Fault) -> None:
        self._skips.append(fault)
        self._chronicle.skipped(name, fault)

    # how it ends

    def _failed(self) -> Begun:
        """The error that tells the client most: of a provider that really answered, the last; else what went wrong last."""
        missed = self._missed
        real = [each for each in missed if each.answer is not None and each.trouble not in _UNREAL]
        others = [each for each in missed if each.trouble not in _UNREAL]
        if missed and (self._stopped or not others):
            chosen: Missed | None = missed[-1]
        else:
            chosen = next(iter(reversed(real or others)), None)
        if chosen is not None and chosen.answer is not None:
            return Begun(chosen.opened, chosen.way, chosen.answer)
        if chosen is not None:
            fault = chosen.fault
        elif self._waits or not self._skips:
            wait = min(self._waits, default=0.0)
            sentence = "No provider of this model can be asked now."
            fault = Fault("upstream.exhausted", sentence, retry_after=wait)
        else:
            fault = self._skips[0]
        raise Fault(
            fault.code,
            fault.sentence,
            remedy=fault.remedy,
            cause="; ".join(part for part in (fault.cause, *self._chronicle.lines) if part),
            retry_after=fault.retry_after,
        )

    def _leave(self, begun: Begun) -> None:
        begun.answer.leave()
        self._works.upstream.settle(begun.answer, begun.usage)
        self._chronicle.unwanted(begun)


def _mark(begun: Begun, tries: int) -> None:
    """Tell the client who answered after how many tries; what a provider says of that is not passed on."""
    answer = begun.answer
    served = begun.opened.prepared.target.name
    shown = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in served[:200])
    answer.headers = [
        *((name, value) for name, value in answer.headers if not name.startswith(_OWN)),
        (b"x-bawn-attempts", b"%d" % tries),
        (b"x-bawn-served-by", shown.encode("ascii")),
    ]
