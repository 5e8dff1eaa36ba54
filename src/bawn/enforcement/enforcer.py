"""Which rules fire on what happened, and what that does: the one place where a rule takes effect.

A rule fires once on each thing (a message, a call, a result), however often a client sends it again. What it puts in is
written down before the call goes on; what it refuses is refused each time. Effects beside the conversation are queued.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bawn.enforcement.conversations import Conversation, Conversations, Place
from bawn.enforcement.effects import Doing, Effects
from bawn.enforcement.labels import Labels
from bawn.errors import Fault
from bawn.rules.happening import Happening
from bawn.rules.matching import RuleSet
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


class Enforcer:
    def __init__(
        self,
        rules: RuleSet,
        conversations: Conversations,
        effects: Effects,
        labels: Labels,
        note: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        self.rules = rules
        self.conversations = conversations
        self._effects = effects
        self._labels = labels
        self._note = note
        self._clock = clock
        self.refuses_answers = any(
            isinstance(rule.action, Block)
            and rule.trigger.event is EventName.CHAT_MESSAGE
            and rule.trigger.role != "user"
            for rule in rules.rules
        )

    def happening(self, asked: Asked, event: EventName, **said: Any) -> Happening:
        container = asked.container
        return Happening(
            event,
            asked.session,
            container.name,
            container.project,
            self._labels.of(container.uuid, asked.session, asked.header(b"x-bawn-tags")),
            **said,
        )

    async def request(self, conversation: Conversation, happened: Happening) -> None:
        """What rules do to a request or a whole message. Fault `rule.blocked` when one refuses it."""
        refused: Rule | None = None
        for rule in self._fired(conversation, happened):
            if isinstance(rule.action, Block) and not rule.dry_run:
                refused = refused or rule
            await self._act(conversation, rule, happened)
        if refused is not None and isinstance(refused.action, Block):
            raise Fault("rule.blocked", f"A rule refuses this: {refused.action.reason}", cause=f"rule {refused.id}")

    async def call(self, conversation: Conversation, happened: Happening) -> list[Decision]:
        """What rules decide over a tool call before it is released."""
        decisions: list[Decision] = []
        for rule in self._fired(conversation, happened):
            await self._act(conversation, rule, happened)
            if rule.dry_run:
                continue
            facts = (("rule", rule.id),)
            if isinstance(rule.action, Block):
                decisions.append(Decision(Effect.DENY, "rule.blocked", rule.action.reason, facts))
            elif isinstance(rule.action, Approve):
                decisions.append(Decision(Effect.ASK_PERSON, "rule.approve", rule.action.reason, facts))
        return decisions

    async def tell(self, asked: Asked, conversation: Conversation, event: EventName, key: str) -> None:
        """Something that happens once in a conversation."""
        if self.rules.listens(event):
            await self.request(conversation, self.happening(asked, event, key=key))

    def after(self, asked: Asked, event: EventName, *, error: str = "") -> None:
        """Something that nobody waits for: it is over."""
        if self.rules.listens(event):
            happened = self.happening(asked, event, key=f"{event.value}:{asked.call}", text=error, error=error)
            self._labels.background(self._later(asked, happened))

    async def _later(self, asked: Asked, happened: Happening) -> None:
        conversation = await self.conversations.of(asked.container.uuid, asked.session)
        await self.request(conversation, happened)

    def _fired(self, conversation: Conversation, happened: Happening) -> list[Rule]:
        now = self._clock.monotonic()
        deciding = (Block, Approve)
        return [
            rule
            for rule in self.rules.fired(happened)
            if isinstance(rule.action, deciding)
            or not (
                conversation.has(rule.id, happened.key) or conversation.rests(rule.id, rule.cooldown_ms / 1000, now)
            )
        ]

    async def _act(self, conversation: Conversation, rule: Rule, happened: Happening) -> None:
        began = self._clock.monotonic()
        fault: Fault | None = None
        again = conversation.has(rule.id, happened.key)
        place, content = (Place.NOWHERE, "") if rule.dry_run else _put(rule)
        try:
            if not again:
                await self.conversations.fire(conversation, rule.id, happened.key, place, content)
            if not rule.dry_run and isinstance(rule.action, Shell | Webhook | Notification):
                self._effects.add(Doing(rule, rule.action, happened))
        except Fault as error:
            fault = error
            if place is not Place.NOWHERE and getattr(rule.action, "on_failure", None) is not OnFailure.OPEN:
                raise Fault("rule.failed", "What a rule puts in cannot be kept.", cause=f"rule {rule.id}") from error
        finally:
            self.record(conversation, rule, happened, self._clock.monotonic() - began, fault)

    def record(
        self, conversation: Conversation, rule: Rule, happened: Happening, seconds: float, fault: Fault | None
    ) -> None:
        """A firing, on record: which rule, on what, how long it took, what it did or why it could not."""
        effect = f"{rule.action.type} (dry run)" if rule.dry_run else rule.action.type
        self._note(
            Event(
                event="rule.fired",
                api_key_name=f"container-{happened.container}",
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


def _put(rule: Rule) -> tuple[Place, str]:
    """What a rule puts into the conversation, and where."""
    match rule.action:
        case Message(content=content):
            return Place.MESSAGE, content
        case PromptInject(content=content, position=position, target="system"):
            return (Place.SYSTEM_FIRST if position == "prepend" else Place.SYSTEM_LAST), content
        case PromptInject(content=content, position=position):
            return (Place.USER_FIRST if position == "prepend" else Place.USER_LAST), content
        case _:
            return Place.NOWHERE, ""
