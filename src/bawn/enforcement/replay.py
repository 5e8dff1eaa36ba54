"""Rules tried on calls that were recorded: which would have fired, and what they would have changed.

Each call goes through the very stage and judge that live traffic goes through, by a clock that stands where the call stood,
with conversations that are in memory alone. Nothing is asked, sent, run or kept. Calls that went on side by side are told
side by side: a request when it came, its answer when it was over.

What cannot be replayed is said and never guessed: a request of which only the beginning was kept, an answer that was not.
What an agent would have done after another answer is not known either; what follows is told as it was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from bawn.enforcement.conversations import Conversations, Place
from bawn.enforcement.difference import difference, readable
from bawn.enforcement.effects import Doing, Effects
from bawn.enforcement.enforcer import Enforcer
from bawn.enforcement.judge import RulesJudge
from bawn.enforcement.labels import Labels
from bawn.enforcement.stage import RulesStage, put_in
from bawn.enforcement.turn import base
from bawn.errors import Fault
from bawn.rules.matching import RuleSet
from bawn.stages.asked import Asked
from bawn.stages.judging import Proposed
from bawn.stages.stage import Ending
from bawn.terms.decision import Effect
from bawn.terms.event import Event
from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.terms.principal import Container
from bawn.terms.tags import HEADER
from bawn.terms.tags import named as tags_of
from bawn.wire import Route, wire
from bawn.wire.answers import answers
from bawn.wire.documents import document
from bawn.wire.holding import Unsound

_UNREADABLE = (Fault, Unsound, ValueError, LookupError, TypeError, AttributeError)
"""What reading a recorded body can come to, from which secrets were taken out."""
_REFUSED = "refused"


class Recorded(Struct, frozen=True):
    """One call of an agent as it was kept."""

    call: str
    container: Container
    session: str
    wire: WireName
    endpoint: Endpoint
    model: str
    stream: bool
    tags: tuple[str, ...]
    """Those that the request named itself."""
    began: datetime
    ended: datetime
    status: int
    outcome: str
    request: bytes | None
    """As the agent sent it; None where that was not kept whole."""
    answers: tuple[bytes, ...] | None
    """The plain answer as the model gave it, and those that it gave once it was told of a refusal; None where there is none,
    or they were not kept whole."""


class Fired(Struct, frozen=True):
    rule: str
    event: str
    effect: str
    error: str
    """Why it could not be done; empty where it could."""


class Withheld(Struct, frozen=True):
    """A tool call that the agent would not have got, or not at once."""

    tool: str
    rule: str
    asks: bool
    """Whether a person would have been asked."""
    because: str


class Replayed(Struct):
    """One call, and what rules would have made of it."""

    recorded: Recorded
    fired: list[Fired] = msgspec.field(default_factory=list)
    refused: str = ""
    """Why the agent would have got a refusal, in place of the whole call or of the answer."""
    withheld: list[Withheld] = msgspec.field(default_factory=list)
    change: str = ""
    """What is put into the request and was not in it before, as a diff."""
    standing: tuple[str, ...] = ()
    """Rules whose words were put in with an earlier call, and stand in this one again."""
    untold: list[str] = msgspec.field(default_factory=list)
    """What of it cannot be replayed, and why."""


class Replay:
    """One conversation, from its beginning."""

    def __init__(self, rules: RuleSet, labels: Labels, place: Callable[[str], str]) -> None:
        self._clock = _Then()
        self._noted: list[Event] = []
        self._effects = Effects(_nothing, lambda doing, fault, seconds: None, self._clock.monotonic)
        self._known = _Known(labels)
        self._enforcer = Enforcer(
            Conversations(None, self._clock), self._effects, self._known, self._noted.append, self._clock
        )
        self._enforcer.place = place
        self._enforcer.hold(rules)
        self._stage = RulesStage(self._enforcer)
        self._judge = RulesJudge(self._enforcer)
        self._asked: dict[str, Asked] = {}

    async def walk(self, calls: Sequence[Recorded], enough: Callable[[], bool] = lambda: False) -> list[Replayed]:
        """Those that were replayed before it was `enough`, in the order in which they came. One that it was enough in the middle
        of is not told."""
        self._known.enough = enough
        told = [Replayed(each) for each in calls]
        moments = [(each.recorded.began, 0, at) for at, each in enumerate(told)]
        moments += [(each.recorded.ended, 1, at) for at, each in enumerate(told)]
        over: set[int] = set()
        for when, part, at in sorted(moments):
            if enough():
                break
            self._clock.time = when
            try:
                await (self._answer(told[at]) if part else self._request(told[at]))
            except _Enough:
                break
            await self._enforcer.settled()
            await self._effects.settled()
            told[at].fired += [_fired(event) for event in self._noted]
            self._noted.clear()
            if part:
                over.add(at)
        return [each for at, each in enumerate(told) if at in over]

    async def _request(self, told: Replayed) -> None:
        recorded = told.recorded
        if recorded.request is None:
            told.untold.append("its request is not in the log, or not whole")
            return
        try:
            exchange = _read(recorded, recorded.request)
            asked = _asked(recorded, exchange)
            asked.document  # noqa: B018 - whether it can be read
        except _UNREADABLE as error:
            told.untold.append(f"its request cannot be read any more: {_because(error)}")
            return
        try:
            await self._shown(told, asked, exchange)
        except Fault as fault:
            told.refused = fault.sentence
            self._stage.over(asked, Ending(fault.status, _REFUSED, None, "", None, 0))
        else:
            self._asked[recorded.call] = asked

    async def _shown(self, told: Replayed, asked: Asked, exchange: Exchange) -> None:
        """The request through the stage, with what that changes."""
        conversation = await self._enforcer.conversations.of(asked.container.uuid, asked.session)
        came, again = document(exchange), document(exchange)
        if came is None or again is None:
            await self._stage.request(asked)
            return
        earlier = [firing for firing in conversation.put_in() if firing.place is not Place.NOWHERE]
        put_in(again, earlier, self._enforcer.rules, base(asked))
        await self._stage.request(asked)
        changed = asked.document
        if changed is not None and changed.changed:
            asked.settled(_read(told.recorded, changed.body()))
            changed = asked.document
        if changed is None:
            return
        before = readable(again)
        told.change = difference(before, readable(changed))
        if again.changed:
            sent, stands = "\n".join(readable(came)), "\n".join(before)
            # Words that the agent sends as well are counted, not looked for.
            found = {firing.rule: firing.content for firing in earlier}
            told.standing = tuple(rule for rule, words in found.items() if stands.count(words) > sent.count(words))

    async def _answer(self, told: Replayed) -> None:
        recorded = told.recorded
        asked = self._asked.pop(recorded.call, None)
        if asked is None:
            return
        ending = Ending(recorded.status, recorded.outcome, None, recorded.model, None, 0)
        if recorded.answers is not None:
            try:
                for answer in recorded.answers:
                    await self._said(told, asked, answer)
            except _UNREADABLE as error:
                if isinstance(error, Fault) and error.code.startswith("rule."):
                    told.refused = error.sentence
                    ending = Ending(error.status, _REFUSED, None, recorded.model, None, 0)
                else:
                    told.untold.append(f"its answer cannot be read any more: {_because(error)}")
        elif recorded.outcome == "ok" and asked.document is not None:
            told.untold.append("its answer is not in the log, or not whole")
        self._stage.over(asked, ending)

    async def _said(self, told: Replayed, asked: Asked, answer: bytes) -> None:
        """An answer by the view and the judge, in the order in which they see it: of a stream the message is whole when its
        calls have gone, unless all of it waits for a rule that may refuse it."""
        flows = asked.exchange.stream and not self._enforcer.refuses_answers
        if flows:
            await self._judged(told, asked, answer)
        view = self._stage.view(asked)
        if view is not None:
            given = await view.whole(answer)
            if given != answer:
                told.refused = answers(asked.exchange.wire).said(asked.exchange.endpoint, given).text
            answer = given
        if not flows:
            await self._judged(told, asked, answer)

    async def _judged(self, told: Replayed, asked: Asked, answer: bytes) -> None:
        exchange = asked.exchange
        if asked.document is None:
            return
        for call in wire(exchange.wire).read_answer(exchange.endpoint, answer).calls:
            decision = (await self._judge.judge(Proposed(asked, call))).decision
            if decision.effect is not Effect.ALLOW:
                asks, rule = decision.effect is not Effect.DENY, dict(decision.facts).get("rule", "")
                told.withheld.append(Withheld(call.name, rule, asks, decision.because))


class _Enough(Exception):
    """No more of this conversation is wanted."""


class _Known(Labels):
    """The tags that are known, of which a replay changes none; what it hears it keeps for itself. They are asked for with each
    message that a rule may be about, so here a call that takes too long is broken off."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._heard: frozenset[str] = frozenset()
        self.enough: Callable[[], bool] = lambda: False

    def of(self, container: Container, session: str, named: bytes = b"") -> frozenset[str]:
        if self.enough():
            raise _Enough
        return self._labels.of(container, session, named) | self._heard

    def of_container(self, container: Container) -> frozenset[str]:
        return self._labels.of_container(container)

    def heard(self, asked: Asked) -> None:
        self._heard |= tags_of(asked.header(HEADER))

    async def begun(self, container: str, session: str, parent: str) -> None:
        """Known already, or never."""


class _Then:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.time = datetime.fromtimestamp(0, UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


def _read(recorded: Recorded, body: bytes) -> Exchange:
    named = recorded.wire is WireName.GEMINI  # whose path says what the body of others says
    route = Route(recorded.endpoint, recorded.wire, *((recorded.model, recorded.stream) if named else ()))
    return wire(recorded.wire).read_request(route, body)


def _asked(recorded: Recorded, exchange: Exchange) -> Asked:
    headers = ((HEADER, ",".join(recorded.tags).encode()),) if recorded.tags else ()
    return Asked(recorded.call, recorded.container, exchange, headers, lambda _: recorded.session, document)


def _because(error: Exception) -> str:
    return error.sentence if isinstance(error, Fault) else type(error).__name__


def _fired(event: Event) -> Fired:
    detail = dict(event.detail)
    return Fired(detail["rule"], detail["on"], detail["effect"], event.cause)


async def _nothing(doing: Doing) -> None:
    """What is only tried has no effect."""
