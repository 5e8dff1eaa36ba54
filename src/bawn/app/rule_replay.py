"""Rules tried on what agents said before, as the request log has it. Who looks is on record, since it shows prompts.

Reading and deciding go on in a thread with a loop of its own, one trial at a time, and end where they would take too long:
what was not reached is told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bawn.app.rules import Recorder, RuleDesk
from bawn.audit.redact import Redactor
from bawn.enforcement.replay import Recorded, Replay, Replayed
from bawn.errors import Fault, quoted
from bawn.identity.past import past
from bawn.rules.matching import RuleSet
from bawn.rules.model import Rule
from bawn.sdk import shapes
from bawn.terms.event import Event
from bawn.terms.exchange import Endpoint, WireName
from bawn.terms.principal import Container, Operator, label
from bawn.transforms.log_files import LogFiles
from bawn.transforms.log_reading import Logged, Reading, read

MOST_BYTES = 64 * 2**20
"""Of the lines of one trial."""
_SECONDS = 60.0
_WRITE_SECONDS = 5.0
"""How long is waited for lines that are not written yet."""
_SHOWN = 8 * 2**20
"""Characters of all changes of one trial; what comes behind is left out."""


class Replays:
    """Fulfils `api.services.Replays`."""

    def __init__(
        self,
        rules: RuleDesk,
        folder: Path,
        files: LogFiles,
        logs: Callable[[], bool],
        redactor: Redactor,
        recorder: Recorder,
    ) -> None:
        """`folder` holds the request log; `logs`: whether it is switched on."""
        self._rules = rules
        self._folder = folder
        self._files = files
        self._logs = logs
        self._redactor = redactor
        self._recorder = recorder
        self._lock = asyncio.Lock()

    async def replay(
        self,
        session: str,
        by: Operator,
        *,
        container: str | None = None,
        text: str | None = None,
        name: str = "rules.json",
        rule: str | None = None,
        since: datetime | None = None,
        limit: int = 200,
    ) -> shapes.RuleReplay:
        """What the rules of a file, or those that hold, would have done. Faults `rule.not_recorded`, `rule.unknown`,
        `config.invalid`, `api.conflict` where there are several conversations of this name."""
        rules = RuleSet(_only(self._rules.rules_of(text, name), rule))
        async with self._lock:
            found = await asyncio.to_thread(self._found, session, container, limit, since)
            if not found.calls:
                raise self._nothing(session, container, found, since)
            if len({each.uuid for each in found.calls}) > 1:
                raise Fault(
                    "api.conflict",
                    f"There are sessions {quoted(session)} in {len(found.containers)} containers.",
                    remedy=f"Name one of them: {', '.join(sorted(set(found.containers.values()))[:20])}.",
                )
            facts = (("session", session), ("rules", name if text is not None else ""), ("rule", rule or ""))
            uuid = found.calls[0].uuid
            await self._recorder.record(Event("rule.replayed", principal=label(by), container=uuid, detail=facts))
            replay = Replay(rules, self._rules.labels, self._rules.place)
            living = self._rules.container(uuid)
            calls = [made for each in found.calls if (made := recorded(each, living)) is not None]
            until = time.monotonic() + _SECONDS
            told = await asyncio.to_thread(lambda: asyncio.run(replay.walk(calls, lambda: time.monotonic() > until)))
        return shapes.RuleReplay(
            session=session,
            container=found.calls[0].container,
            rules=len(rules.rules),
            calls=_bounded([_shape(each) for each in told]),
            broken=found.broken + len(found.calls) - len(calls),
            more=found.more or len(told) < len(calls),
        )

    def _found(self, session: str, container: str | None, limit: int, since: datetime | None) -> Reading:
        self._files.written(_WRITE_SECONDS)
        # As it stands in the log: a name that looks like a key was taken out of it.
        return read(self._folder, self._redactor.text(session), container, limit, MOST_BYTES, since)

    def _nothing(self, session: str, container: str | None, found: Reading, since: datetime | None) -> Fault:
        names = {*found.containers, *found.containers.values()}
        if since is not None and (container in names if container is not None else names):
            began = f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            sentence = f"The request log has no call of the session {quoted(session)} from {began} on."
            return Fault("rule.not_recorded", sentence, remedy="Name an earlier moment.")
        if found.containers:
            named = ", ".join(sorted(set(found.containers.values()))[:20])
            sentence = f"The request log has no session {quoted(session)} of {quoted(container or '')}."
            return Fault("rule.not_recorded", sentence, remedy=f"It has one of {named}.")
        if self._logs():
            return Fault(
                "rule.not_recorded",
                f"The request log has no session {quoted(session)}.",
                remedy="Look at `bawn rules log` for the names of sessions; what was said before the log was switched on, or"
                " in containers that it leaves out, is not in it.",
            )
        return Fault(
            "rule.not_recorded", f"Nothing is kept of the session {quoted(session)}: the request log is switched off."
        )


def _only(rules: Sequence[Rule], wanted: str | None) -> Sequence[Rule]:
    """All of them, or the one that is wanted: also one that is not enabled, which is what trials are for."""
    if wanted is None:
        return rules
    found = next((rule for rule in rules if rule.id == wanted), None)
    if found is None:
        raise Fault("rule.unknown", f"There is no rule {quoted(wanted)} among these.")
    return (found.model_copy(update={"enabled": True}),)


def recorded(logged: Logged, container: Container | None = None) -> Recorded | None:
    """None for what this version knows nothing of. `container`: as it is now, if it still is."""
    try:
        wire, endpoint = WireName(logged.wire), Endpoint(logged.endpoint)
    except ValueError:
        return None
    return Recorded(
        call=logged.call,
        container=container or past(logged.uuid, logged.number, logged.container, logged.project),
        session=logged.session,
        wire=wire,
        endpoint=endpoint,
        model=logged.model,
        stream=logged.stream,
        tags=logged.tags,
        began=logged.began,
        ended=logged.time,
        status=logged.status,
        outcome=logged.outcome,
        request=logged.body,
        answers=logged.said,
    )


def _shape(told: Replayed) -> shapes.ReplayedCall:
    recorded = told.recorded
    return shapes.ReplayedCall(
        call=recorded.call,
        at=recorded.began,
        model=recorded.model,
        status=recorded.status,
        outcome=recorded.outcome,
        fired=tuple(shapes.ReplayedFiring(each.rule, each.event, each.effect, each.error) for each in told.fired),
        refused=told.refused,
        withheld=tuple(shapes.ReplayedTool(each.tool, each.rule, each.asks, each.because) for each in told.withheld),
        change=told.change,
        standing=told.standing,
        untold=tuple(told.untold),
    )


def _bounded(calls: Sequence[shapes.ReplayedCall]) -> tuple[shapes.ReplayedCall, ...]:
    room = _SHOWN
    told: list[shapes.ReplayedCall] = []
    for call in calls:
        room -= len(call.change)
        if room < 0 and call.change:
            why = "what is put in is left out: the answer would be too long"
            told.append(replace(call, change="", untold=(*call.untold, why)))
        else:
            told.append(call)
    return tuple(told)
