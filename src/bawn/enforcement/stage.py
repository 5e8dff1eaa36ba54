"""Rules on requests and answers: a stage, with its view of the answer.

Of a request only what is new since the model's last turn is told to the rules, since agents send their whole history each
time; what was put in before is put in again, at the same place. Rules that refuse are asked about what came before as well,
once, so that nothing gets by as history. An assistant's message is told when it is whole: where a rule could refuse it, it
waits for that, and flows on at once otherwise.

Calls that Bawn makes itself are no part of the conversation, and no rule sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bawn.enforcement import keys
from bawn.enforcement.conversations import Firing, Place
from bawn.enforcement.enforcer import Enforcer
from bawn.enforcement.kept import KeptCalls
from bawn.enforcement.turn import Turn
from bawn.errors import Fault
from bawn.rules.matching import RuleSet
from bawn.rules.model import EventName, PromptInject
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, View
from bawn.terms.frames import Broken, End, Frame
from bawn.terms.value import Value
from bawn.wire import wire
from bawn.wire.answers import answers
from bawn.wire.document import Message, RequestDocument, Said, Spot
from bawn.wire.editing import Said as Words

_HELD_BYTES = 8 * 2**20
_HISTORY = (EventName.CHAT_MESSAGE, EventName.TOOL_AFTER)


class RulesStage:
    name = "rules"

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer

    @property
    def rests(self) -> bool:
        """Whether there is no rule at all."""
        return not self._enforcer.rules.rules

    async def request(self, asked: Asked) -> None:
        enforcer = self._enforcer
        if asked.depth or not enforcer.rules.rules:
            return
        document = asked.document
        if document is None:
            return
        messages = document.messages
        turn = enforcer.begin(asked)
        new = _new(messages)
        if new == 0:
            enforcer.after(turn, EventName.SESSION_CREATED, keys.SESSION)
        if new and any(enforcer.refusing.listens(event) for event in _HISTORY):
            for told in _things(turn, messages, range(new), enforcer.refusing, enforcer.kept):
                await enforcer.again(turn, told.event, told.key, told.text, **told.said)
        for told in _things(turn, messages, range(new, len(messages)), enforcer.rules, enforcer.kept):
            if enforcer.quiet(told.event, told.text, told.said.get("tool", "")):
                continue
            await enforcer.told(turn, told.event, told.key, told.text, **told.said)
        if enforcer.rules.listens(EventName.SYSTEM):
            last = messages[-1].text if messages else ""
            place = keys.place(len(messages) - 1, turn.base)
            await enforcer.told(turn, EventName.SYSTEM, lambda: keys.system(place, last), document.system)
        put_in(document, await enforcer.put_in(turn), enforcer.rules, turn.base)

    def view(self, asked: Asked) -> View | None:
        enforcer = self._enforcer
        listens = enforcer.rules.listens
        if asked.depth or not (listens(EventName.CHAT_MESSAGE) or listens(EventName.SESSION_IDLE)):
            return None
        return _Answer(enforcer, asked) if asked.document is not None else None

    def over(self, asked: Asked, ending: Ending) -> None:
        turn = self._enforcer.end(asked)
        failed = not asked.depth and ending.outcome not in ("ok", "client_left")
        if turn.standing is not None:
            turn.standing.failed = keys.error(asked.call) if failed else ""
        if failed:
            words = f"{ending.outcome} ({ending.status})"
            self._enforcer.after(turn, EventName.SESSION_ERROR, keys.error(asked.call), error=words)


class _Thing(Value, frozen=True):
    """Something in a request that may be told."""

    event: EventName
    key: Callable[[], str]
    text: str
    said: dict[str, str]


def _things(
    turn: Turn, messages: Sequence[Message], places: range, rules: RuleSet, kept: KeptCalls
) -> Iterator[_Thing]:
    """What these messages tell, as far as the rules listen to it."""
    users, tools = rules.listens(EventName.CHAT_MESSAGE), rules.listens(EventName.TOOL_AFTER)
    asked, base = turn.asked, turn.base
    proposed = keys.Proposals(base, lambda id_: kept.get(asked.container.uuid, asked.session, id_))
    if tools and places:
        for message in messages[: places.start]:
            proposed.pass_by(message)
    for at in places:
        message = messages[at]
        if tools:
            proposed.pass_by(message)
        if users and (text := keys.said_by_user(message)):
            yield _Thing(EventName.CHAT_MESSAGE, partial(keys.user, keys.place(at, base), text), text, {"role": "user"})
        if not tools:
            continue
        for id_, text in keys.results(message).items():
            call, key = proposed.call(id_), proposed.key(id_, at)
            said = {"tool": call.name, "tool_input": call.arguments_raw, "tool_output": text}
            yield _Thing(EventName.TOOL_AFTER, partial(str, key), text, said)


class _Answer:
    """One answer as the rules see it."""

    def __init__(self, enforcer: Enforcer, asked: Asked) -> None:
        self._enforcer = enforcer
        self._asked = asked
        self._forms = answers(asked.exchange.wire)
        self._parts: list[Frame] = []
        self._size = 0
        self._holds = enforcer.refuses_answers

    async def frame(self, frame: Frame) -> Sequence[Frame]:
        if isinstance(frame, Broken):
            # What was held was not looked at as a whole, and never will be.
            self._parts = []
            return (frame,)
        if self._size > _HELD_BYTES:
            return (frame,)
        self._size += len(frame.data)
        if self._size > _HELD_BYTES:
            self._parts = []
            if self._holds:
                raise Fault("rule.failed", "An answer is too long to be held for the rules that may refuse it.")
            return (frame,)
        self._parts.append(frame)
        if not isinstance(frame, End):
            return () if self._holds else (frame,)
        held, self._parts, self._size = self._parts, [], 0
        stream = b"".join(each.data for each in held)
        try:
            await self._whole(self._forms.said(self._asked.exchange.endpoint, self._forms.folded(stream)))
        except Fault as fault:
            if fault.code != "rule.blocked" or not self._holds:
                raise
            return self._streamed(self._instead(fault))
        return held if self._holds else (frame,)

    async def whole(self, body: bytes) -> bytes:
        try:
            await self._whole(self._forms.said(self._asked.exchange.endpoint, body))
        except Fault as fault:
            if fault.code != "rule.blocked":
                raise
            return self._instead(fault)
        return body

    def _instead(self, fault: Fault) -> bytes:
        """What the assistant says in place of what was refused."""
        now = int(self._enforcer.now().timestamp())
        return self._forms.answer_of(fault.sentence, self._asked.exchange.model, self._asked.call, now)

    def _streamed(self, body: bytes) -> Sequence[Frame]:
        reader = wire(self._asked.exchange.wire).stream_reader(hide_usage=False)
        return (*reader.feed(self._forms.streamed(body)), *reader.close())

    async def _whole(self, words: Words) -> None:
        enforcer = self._enforcer
        turn = enforcer.turn(self._asked)
        if words.text and not enforcer.quiet(EventName.CHAT_MESSAGE, words.text):
            key = partial(keys.answer, turn.at, words.text)
            await enforcer.told(turn, EventName.CHAT_MESSAGE, key, words.text, role="assistant")
        if words.finished == "stop" and not words.calls:
            enforcer.after(turn, EventName.SESSION_IDLE, keys.idle(turn.at))


def put_in(document: RequestDocument, fired: Sequence[Firing], rules: RuleSet, base: str) -> None:
    """Everything that rules have put into this conversation, at the places where they did; `base` of the request's places."""
    if not fired:
        return
    messages = document.messages
    behind: list[tuple[int, str]] = []
    spots = {at: spot for at, message in enumerate(messages) for spot in _ends(message, first=False)}
    firsts = {at: spot for at, message in enumerate(messages) for spot in _ends(message, first=True)}
    for firing in fired:
        at = keys.behind(messages, firing.anchor, base)
        if at is None:
            continue
        if firing.place is Place.MESSAGE:
            behind.append((at, firing.content))
            continue
        first = firing.place is Place.USER_FIRST
        spot = (firsts if first else spots).get(at - 1)
        if spot is None:
            continue
        text = "\n\n".join((firing.content, spot.text) if first else (spot.text, firing.content))
        document.set_text(spot, text)
        changed = Spot(spot.number, spot.message, spot.said, text, spot.call, spot.attached)
        for held in (spots, firsts):
            if (other := held.get(at - 1)) is not None and other.number == spot.number:
                held[at - 1] = changed
    # From the last to the first, so that those before keep their places; of the same place the one that came first stays so.
    for _, (at, content) in sorted(enumerate(behind), key=lambda each: (-each[1][0], -each[0])):
        document.add_message(Said.USER, content, at)
    _system(document, [firing.rule for firing in fired if firing.place is Place.SYSTEM], rules)


def _system(document: RequestDocument, fired: Sequence[str], rules: RuleSet) -> None:
    """System text is no history: what the rules say now is put in, and nothing of rules that are gone."""
    for name in sorted(fired, key=rules.order):
        rule = rules.by_id.get(name)
        if rule is not None and isinstance(rule.action, PromptInject) and not rule.dry_run:
            document.add_system(rule.action.content, first=rule.action.position == "prepend")


def _ends(message: Message, *, first: bool) -> Sequence[Spot]:
    """The text of the user that stands first or last in a message."""
    said = [spot for spot in message.spots if spot.said is Said.USER and not spot.attached]
    return said[:1] if first else said[-1:]


def _new(messages: Sequence[Message]) -> int:
    """Where what came since the assistant's last turn begins. What it is made to say at the very end is no turn: its answer
    goes on with that, and what stands before it has not been answered."""
    at = len(messages)
    while at and messages[at - 1].said is Said.ASSISTANT:
        at -= 1
    while at and messages[at - 1].said is not Said.ASSISTANT:
        at -= 1
    return at
