"""Telling of a task's end where it was asked for: to a script of the project, or to an address that the operator allowed.

By the webhook sink of notices: no redirect is followed, nothing is read of an answer but its status, known secrets are
taken out. An attempt that was cut off by a restart is made again, so the same end can be told twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bawn.errors import Fault
from bawn.notify.pauses import pause
from bawn.notify.sinks import Post, Undelivered, WebhookSink
from bawn.tasks.asked import script_callback
from bawn.tasks.settings import Tasks
from bawn.tasks.task import Task
from bawn.terms.principal import Container

ToScript = Callable[[Container, str, str, bytes, float], Awaitable[int]]
"""Posts JSON to a script in the name of a container: exec, path with query, body, seconds; the status of its answer."""
PAUSE_S = 1.0


class Answers:
    def __init__(
        self,
        settings: Callable[[], Tasks],
        post: Post,
        container: Callable[[str], Container | None],
    ) -> None:
        self._settings = settings
        self._post = post
        self._container = container
        self.to_script: ToScript | None = None
        """Put in by the composition root; without it scripts cannot be told."""
        self.pause_s = PAUSE_S

    async def tell(self, task: Task) -> None:
        """Raises Undelivered, when all attempts are used up."""
        settings = self._settings()
        script = script_callback(task.callback)
        post = self._post if script is None else self._script_post(task, script.exec, script.path)
        sink = WebhookSink(lambda: task.callback, post, settings.callback_timeout_seconds)
        told = told_of(task)
        for attempt in range(1, settings.callback_attempts + 1):
            try:
                await sink.deliver(told)
            except Undelivered as error:
                if not error.again or attempt == settings.callback_attempts:
                    raise
                await asyncio.sleep(pause(attempt, self.pause_s))
            else:
                return

    def _script_post(self, task: Task, exec_: str, path: str) -> Post:
        async def post(_url: str, body: bytes, timeout_s: float) -> int:
            container = self._container(task.parent_uuid)
            if self.to_script is None or container is None:
                raise Undelivered("the container that asked is gone, or may not call any more", again=False)
            try:
                return await self.to_script(container, exec_, path, body, timeout_s)
            except Fault as fault:
                raise Undelivered(fault.code, again=fault.kind.retry) from fault

        return post


def told_of(task: Task) -> dict[str, Any]:
    """What a callback gets."""
    return {
        "taskId": task.id,
        "status": task.state.value,
        "exitCode": task.exit_code,
        "output": task.output,
        "error": task.because,
        "mode": task.mode,
        "model": task.model or "default",
        "usage": {
            "input_tokens": task.input_tokens,
            "output_tokens": task.output_tokens,
            "cost_usd": None if task.cost_usd is None else float(task.cost_usd),
        },
        "container": task.container,
    }
