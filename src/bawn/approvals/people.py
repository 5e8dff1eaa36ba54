"""Asking people about tool calls, and about whatever a script of the operator wants to know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from bawn.approvals.desk import Desk
from bawn.approvals.question import Kind, Question
from bawn.approvals.settings import Mode
from bawn.stages.asked import Asked
from bawn.stages.judging import Denied, Granted, Proposed
from bawn.terms.principal import Container


class People:
    """Fulfils `stages.judging.Approvers`. `policy`: the version of what holds now."""

    def __init__(self, desk: Desk, policy: Callable[[], str]) -> None:
        self.desk = desk
        self._policy = policy

    async def ask(self, proposed: Proposed, because: str, *, script: str = "") -> Granted | Denied:
        """About a whole tool call. `script`: hash of the file that it would run, where that is known.

        A stream waits until the question expires; a plain call as long as `approvals.wait_seconds` says.
        """
        asked, call = proposed.asked, proposed.call
        question = Question(
            kind=Kind.TOOL,
            container_uuid=asked.container.uuid,
            container=asked.container.name,
            session=asked.session,
            because=because,
            server=call.hosted,
            schema=_schema(asked, call.name),
            tool=call.name,
            arguments=call.arguments_raw,
            text=proposed.text,
            script=script,
            policy=self._policy(),
            request=hashlib.sha256(asked.exchange.body).hexdigest(),
        )
        return await self.desk.ask(question, asked.container, wait_s=self._patience(stream=asked.exchange.stream))

    async def question(
        self,
        container: Container,
        session: str,
        title: str,
        message: str,
        payload_digest: str,
        *,
        because: str = "",
        mode: Mode | None = None,
        wait_seconds: float | None = None,
        script: str = "",
    ) -> Granted | Denied:
        """About something else. `payload_digest`: of what the answer is for, so that no other thing passes by it.

        `mode` and `wait_seconds` instead of the configured ones.
        """
        question = Question(
            kind=Kind.QUESTION,
            container_uuid=container.uuid,
            container=container.name,
            session=session,
            title=title,
            because=because or "A script asks.",
            arguments=message,
            text=True,
            payload=payload_digest,
            script=script,
            policy=self._policy(),
        )
        patience = self._patience(stream=False, mode=mode)
        if patience and wait_seconds is not None:
            patience = wait_seconds
        return await self.desk.ask(question, container, wait_s=patience)

    def _patience(self, *, stream: bool, mode: Mode | None = None) -> float | None:
        """Seconds; None: until the question expires."""
        settings = self.desk.settings
        if (mode or settings.mode) is Mode.PENDING:
            return 0.0
        return None if stream else settings.wait_seconds


def _schema(asked: Asked, tool: str) -> str:
    """Hash of the tool as the request offers it; empty where it does not."""
    document = asked.document
    offered = [each for each in document.tools if each.name == tool] if document is not None else []
    if not offered:
        return ""
    written = json.dumps([[each.name, each.description, each.schema] for each in offered], sort_keys=True)
    return hashlib.sha256(written.encode("ascii")).hexdigest()
