"""Which rules fire on what happened, and what that does: the one place where a rule takes effect.

A rule fires once on each thing (a message, a call, a result), however often a client sends it again. What it puts in is
written down before the call goes on; what it refuses is refused each time. Effects beside the conversation are queued.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import structlog

from bawn.enforcement import keys
from bawn.enforcement.conversations import Conversation, Conversations, Firing, Place
from bawn.enforcement.effects import Doing, Effects
from bawn.enforcement.kept import KeptCalls
from bawn.enforcement.labels import Labels
from bawn.enforcement.standing import Standings
from bawn.enforcement.turn import ReportTurn, Turn
from bawn.errors import Fault
from bawn.rules.happening import Happening
from bawn.rules.matching import Candidate, RuleSet, unsure
from bawn.rules.model import (
    Approve,
    Block,
    EventName,
    Message,
    Notification,
    OnFailure,
    PromptInject,
    Rule,
    Shell,
    Webhook,
)
from bawn.stages.asked import Asked
from bawn.terms.clock import Clock
from bawn.terms.decision import Decision, Effect
from bawn.terms.event import Event
from bawn.terms.tags import HEADER

_log = structlog.get_logger("bawn.rules")
_LONG = 256 * 1024
"""From this many characters on, a text is looked through in a thread, so that nobody waits for it."""
_LONG_ASKED = 4096
"""From this many on, conditions are computed in a thread: a list of that many characters takes a millisecond to walk over."""
_MOST_CALLS = 100_000
Key = Callable[[], str]
"""Made when something may fire."""


class Enforcer:
    """One for a process; `hold` gives it other rules."""

    def __init__(
        self,
        conversations: Conversations,
        effects: Effects,
        labels: Labels,
        note: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        """`note` puts something on record without waiting; a Fault where it cannot."""
        self.conversations = conversations
        self.labels = labels
        self.counts: dict[str, int] = {}
        """How often each rule fired since the start."""
        self.place: Callable[[str], str] = lambda uuid: ""
        """Where a container sees its workspace; empty where it has none."""
        self.standings = Standings()
        self.kept = KeptCalls()
        self._effects = effects
        self._note = note
        self._clock = clock
        self._turns: dict[str, Turn] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.hold(RuleSet(()))

    def hold(self, rules: RuleSet) -> None:
        """From now on these rules; calls under way go on with these as well."""
        self.rules = rules
        self.refusing = RuleSet(rule for rule in rules.rules if isinstance(rule.action, Block) and not rule.dry_run)
        self.refuses_answers = any(
            rule.trigger.event is EventName.CHAT_MESSAGE and rule.trigger.role != "user" for rule in self.refusing.rules
        )

    def now(self) -> datetime:
        return self._clock.now()

    # the calls

    def begin(self, asked: Asked) -> Turn:
        """A call comes in."""
        standing = self.standings.of(asked.container.uuid, asked.session) if self.standings.any else None
        turn = Turn(asked, asked.document.messages if asked.document is not None else (), standing)
        if standing is not None:
            standing.at, standing.last, standing.last_user = turn.at, turn.last, turn.last_user
        self._know(turn)
        return turn

    def begin_report(self, asked: Asked) -> ReportTurn:
        """An agent reports something by itself; as `begin`."""
        turn = ReportTurn(asked, self.standings.report(asked.container.uuid, asked.session))
        self._know(turn)
        return turn

    def turn(self, asked: Asked) -> Turn:
        return self._turns.get(asked.call) or self.begin(asked)

    def end(self, asked: Asked) -> Turn:
        return self._turns.pop(asked.call, None) or Turn(asked, ())

    def _know(self, turn: Turn) -> None:
        self.labels.heard(turn.asked)
        if len(self._turns) < _MOST_CALLS:
            self._turns[turn.asked.call] = turn

    async def conversation(self, turn: Turn) -> Conversation:
        """What rules did in it so far. Fault `store.unavailable`."""
        if turn.conversation is None:
            asked = turn.asked
            # A conversation that is named after this very call begins with it.
            new = asked.session.partition(":")[2] == asked.call
            turn.conversation = await self.conversations.of(asked.container.uuid, asked.session, new=new)
        return turn.conversation

    # what happens in them

    def quiet(self, event: EventName, text: str, tool: str = "") -> bool:
        """Whether it need not be told, since surely nothing comes of it: mostly so, and found without waiting."""
        if self.refusing.listens(event) or len(text) >= _LONG:
            return False
        return not self.rules.candidates(event, text, tool)

    async def told(self, turn: Turn, event: EventName, key: Key, text: str = "", **said: Any) -> None:
        """What rules do to a request or a whole message. Fault `rule.blocked` when one refuses it."""
        refused: Rule | None = None
        rules = self.rules
        tool = said.get("tool", "")
        short = len(text) < _LONG  # nearly always, and then there is nothing to wait for
        if found := rules.candidates(event, text, tool) if short else await _found_aside(rules, event, text, tool):
            happened = self._happening(turn, event, key(), text, said)
            for rule in await self._fired(turn, rules, happened, found):
                if isinstance(rule.action, Block) and not rule.dry_run:
                    refused = refused or rule
                await self._act(turn, rule, happened)
        _refuse(refused)
        if self.refusing.listens(event):
            # It need not be asked about when it comes again.
            (await self.conversation(turn)).clear(self.refusing, self._what(turn, key(), text))

    async def again(self, turn: Turn, event: EventName, key: Key, text: str = "", **said: Any) -> None:
        """A message that came before: whether it may still be sent. Fault `rule.blocked`."""
        rules, conversation = self.refusing, await self.conversation(turn)
        what = self._what(turn, key(), text)
        if conversation.cleared(rules, what):
            return
        await self.refuse(turn, event, key, text, **said)
        conversation.clear(rules, what)

    async def refuse(self, turn: Turn, event: EventName, key: Key, text: str, **said: Any) -> None:
        """Whether something may be, and nothing else of what follows from it. Fault `rule.blocked`."""
        rules = self.refusing
        tool = said.get("tool", "")
        short = len(text) < _LONG  # nearly always, and then there is nothing to wait for
        if found := rules.candidates(event, text, tool) if short else await _found_aside(rules, event, text, tool):
            happened = self._happening(turn, event, key(), text, said)
            for rule in await self._fired(turn, rules, happened, found):
                await self._act(turn, rule, happened)
                _refuse(rule)

    async def call(self, turn: Turn, key: Key, text: str, **said: Any) -> list[Decision]:
        """What rules decide over a tool call before it is released."""
        decisions: list[Decision] = []
        tool = said.get("tool", "")
        if len(text) < _LONG:
            found = self.rules.candidates(EventName.TOOL_BEFORE, text, tool)
        else:
            found = await _found_aside(self.rules, EventName.TOOL_BEFORE, text, tool)
        if not found:
            return decisions
        happened = self._happening(turn, EventName.TOOL_BEFORE, key(), text, said)
        for rule in await self._fired(turn, self.rules, happened, found):
            await self._act(turn, rule, happened)
            if rule.dry_run:
                continue
            facts = (("rule", rule.id),)
            if isinstance(rule.action, Block):
                decisions.append(Decision(Effect.DENY, "rule.blocked", rule.action.reason, facts))
            elif isinstance(rule.action, Approve):
                decisions.append(Decision(Effect.ASK_PERSON, "rule.approve", rule.action.reason, facts))
        return decisions

    def after(self, turn: Turn, event: EventName, key: str, *, error: str = "") -> None:
        """Something that nobody waits for: it is over."""
        if self.rules.listens(event):
            self._background(self.told(turn, event, lambda: key, error, error=error))

    async def put_in(self, turn: Turn) -> list[Firing]:
        """What was put into the conversation so far, by whichever rules."""
        if turn.conversation is None and not self.conversations.placed:
            return []
        return (await self.conversation(turn)).put_in()

    async def settled(self) -> None:
        """Until nothing is told any more."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _happening(self, turn: Turn, event: EventName, key: str, text: str, said: dict[str, Any]) -> Happening:
        container, standing = turn.asked.container, turn.standing
        return Happening(
            event,
            turn.asked.session,
            container.name,
            container.project,
            self._tags(turn),
            key,
            text,
            title=standing.title if standing is not None else "",
            directory=(standing.directory if standing is not None else "") or self.place(container.uuid),
            operator_tags=self.labels.of_container(container),
            container_role=container.role,
            **said,
        )

    def _tags(self, turn: Turn) -> frozenset[str]:
        asked = turn.asked
        return self.labels.of(asked.container, asked.session, asked.header(HEADER))

    def _what(self, turn: Turn, key: str, text: str) -> int:
        """Of what it is known that nothing refuses it: other words, or the same under other tags, are something else."""
        return hash((key, text, self._tags(turn)))

    async def _fired(self, turn: Turn, rules: RuleSet, happened: Happening, found: list[Candidate]) -> list[Rule]:
        """Those that fire. Where a condition cannot be told, that is on record, and refuses the call if the rule must hold."""
        aside = rules.conditional and happened.size >= _LONG_ASKED
        fired, failed = await asyncio.to_thread(rules.held, happened, found) if aside else rules.held(happened, found)
        for rule, because in failed:
            self._record(await self.conversation(turn), rule, happened, 0.0, unsure(rule, because))
        for rule, because in failed:
            if rule.holds_back:
                raise unsure(rule, because)
        return fired

    async def _act(self, turn: Turn, rule: Rule, happened: Happening) -> None:
        """Let a rule take effect, unless it has on this already, or rests."""
        conversation, action = await self.conversation(turn), rule.action
        place = Place.NOWHERE if rule.dry_run else _place(rule)
        # System text is put in once and stays; everything else is about what happened.
        key = keys.SYSTEM if place is Place.SYSTEM else happened.key
        # What a rule would have done does not keep it from doing it later on.
        name = f"{rule.id}?" if rule.dry_run else rule.id
        again = conversation.has(name, key) or (keys.unplaced(key) and conversation.has_anywhere(name, key))
        began = self._clock.monotonic()
        deciding = isinstance(action, Block | Approve)
        if not deciding and (again or conversation.rests(name, rule.cooldown_ms / 1000, began)):
            return
        fault: Fault | None = None
        try:
            if place is not Place.NOWHERE:
                await self._put_in(turn, conversation, rule, key, place, happened)
            elif not again:
                self.conversations.note(conversation, name, key)
            if not rule.dry_run and isinstance(action, Shell | Webhook | Notification):
                self._effects.add(Doing(rule, action, happened, conversation.container))
        except Fault as error:
            fault = error
            if not isinstance(action, Message | PromptInject) or action.on_failure is OnFailure.CLOSED:
                raise Fault("rule.failed", "What a rule puts in cannot be put in.", cause=f"rule {rule.id}") from error
        finally:
            self.counts[rule.id] = self.counts.get(rule.id, 0) + 1
            self._record(conversation, rule, happened, self._clock.monotonic() - began, fault)

    async def _put_in(
        self, turn: Turn, conversation: Conversation, rule: Rule, key: str, place: Place, happened: Happening
    ) -> None:
        anchor = ""
        if place in (Place.USER_FIRST, Place.USER_LAST):
            anchor = key if key.startswith("user:") else turn.last_user
        elif place is Place.MESSAGE:
            anchor = _behind(turn, happened)
        if not anchor and place is not Place.SYSTEM:
            raise Fault("rule.failed", "There is no message that this could be put to.", cause=f"rule {rule.id}")
        content = rule.action.content if isinstance(rule.action, Message | PromptInject) else ""
        await self.conversations.fire(conversation, rule.id, key, place, anchor, content)

    def _record(
        self, conversation: Conversation, rule: Rule, happened: Happening, seconds: float, fault: Fault | None
    ) -> None:
        """A firing, on record: which rule, on what, how long it took, what it did or why it could not."""
        effect = f"{rule.action.type} (dry run)" if rule.dry_run else rule.action.type
        with contextlib.suppress(Fault):
            self._note(
                Event(
                    event="rule.fired",
                    principal="bawn",
                    container=conversation.container,
                    code=fault.code if fault is not None else "",
                    cause=(fault.cause or fault.sentence) if fault is not None else "",
                    detail=(
                        ("rule", rule.id),
                        ("on", happened.event.value),
                        ("session", happened.session),
                        ("effect", effect),
                        ("microseconds", str(round(seconds * 1_000_000))),
                    ),
                )
            )

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _found_aside(rules: RuleSet, event: EventName, text: str, tool: str) -> list[Candidate]:
    return await asyncio.to_thread(rules.candidates, event, text, tool)


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Fault as fault:
        _log.warning("rule.not_told", code=fault.code)


def _refuse(rule: Rule | None) -> None:
    if rule is not None and isinstance(rule.action, Block):
        raise Fault("rule.blocked", f"A rule refuses this: {rule.action.reason}", cause=f"rule {rule.id}")


def _place(rule: Rule) -> Place:
    """Where a rule puts something into the conversation."""
    match rule.action:
        case Message():
            return Place.MESSAGE
        case PromptInject(target="system"):
            return Place.SYSTEM
        case PromptInject(position=position):
            return Place.USER_FIRST if position == "prepend" else Place.USER_LAST
        case _:
            return Place.NOWHERE


def _behind(turn: Turn, happened: Happening) -> str:
    """The key of what a message about this stands behind."""
    match happened.event:
        case EventName.CHAT_MESSAGE | EventName.TOOL_AFTER:
            return happened.key
        case EventName.TOOL_BEFORE:
            # The model sees it when it sees what became of the call.
            return keys.result_of(happened.key)
        case _:
            return turn.last
