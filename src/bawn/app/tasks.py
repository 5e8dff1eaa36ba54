"""Tasks: somebody asks for an agent, and is told what became of it.

Operators ask by the management API, scripts in the name of the container whose call they were given. A task of a container
is of its project, its models are looked up by that container's name, it nests one deeper than the task of that container,
and it is cancelled in the moment in which the container may not call models any more. What is running is counted before
anything is waited for, so no burst gets past a limit. Each end is kept before it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import structlog
from msgspec import structs

from bawn.api.services import Recorder
from bawn.app.task_answer import Answers
from bawn.app.task_run import AgentRun, Boxes, whole
from bawn.errors import Fault, quoted
from bawn.guardrails.usage import UsageRow
from bawn.identity.record import Record
from bawn.identity.registry import Registry
from bawn.notify.sinks import Undelivered
from bawn.tasks.asked import Wanted, judged, wanted_of
from bawn.tasks.book import Book
from bawn.tasks.settings import Tasks as Settings
from bawn.tasks.task import Answer, State, Task, moved
from bawn.terms.clock import Clock
from bawn.terms.event import Event
from bawn.terms.principal import Container, Internal, Operator, label

T = TypeVar("T")

WAITING = 100
"""Tasks that may wait to be executed, of all who ask together."""
WAITING_OF_ONE = 20
"""Of these, those of one container: what waits has no end of its own, and must not take the place of others."""
RESTARTED = "Bawn was restarted while it ran."

_log = structlog.get_logger("bawn.tasks")

_By = Operator | Internal


class Allowed(Protocol):
    def __call__(self, model: str, stands_for: str) -> None:
        """Fault `request.unknown_model` for a model that may not be used by what stands under that name."""


class Tasks:
    """Fulfils `api.services.Tasks`. `environment`: of an agent, from its container, model and base URL."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        book: Book,
        registry: Registry,
        recorder: Recorder,
        clock: Clock,
        redact: Callable[[str], str],
        environment: Callable[[Record, str, str], dict[str, str]],
        allowed: Allowed,
        usage: Callable[[str], Awaitable[UsageRow | None]],
        answers: Answers,
    ) -> None:
        self._settings = settings
        self._book = book
        self._boxes: Boxes | None = None
        self._registry = registry
        self._recorder = recorder
        self._clock = clock
        self._redact = redact
        self._environment = environment
        self._allowed = allowed
        self._usage = usage
        self.answers = answers
        self.has_exec: Callable[[str, str], bool] = lambda project, name: False
        """Whether a project has an exec; put in by the composition root, none without it."""
        self.tags_of: Callable[[Container], Iterable[str]] = lambda container: ()
        """What an operator gave a container; the containers that are made in its name have the same."""
        self._live: dict[str, Task] = {}
        """Those that are not over."""
        self._runs: dict[str, asyncio.Task[None]] = {}
        """Each sees its task to the end."""
        self._works: dict[str, asyncio.Task[int]] = {}
        """The agents of these; what is broken off is an agent, never the telling of its end."""
        self._cancelled_by: dict[str, str] = {}
        self._inside: dict[str, Task] = {}
        """The task of a container that was made for one."""
        self._untold: list[Task] = []
        self._background: set[asyncio.Task[None]] = set()
        self._closing = False
        registry.watch(self._changed)

    def connect(self, boxes: Boxes) -> None:
        self._boxes = boxes

    @property
    def boxes(self) -> Boxes:
        if self._boxes is None:
            raise Fault("supervisor.unavailable", "There is no supervisor.")
        return self._boxes

    async def load(self) -> None:
        """What was kept. What ran then does not any more, and its container is swept as every ephemeral one."""
        now = self._clock.now()
        for task in await self._book.unsettled():
            if task.state is State.RUNNING:
                ended = moved(task, State.FAILED, now, RESTARTED)
                await self._book.put(ended)
                await self._record_end(ended)
                self._untold.append(ended)
            elif task.over:
                self._untold.append(task)
            else:
                self._live[task.id] = task
        await self._purge()

    def start(self) -> None:
        """Tells what a restart kept from being told, and cancels what waits for nobody any more."""
        for task in self._untold:
            if task.callback:
                self._start(self._tell(task))
        self._untold.clear()
        for uuid in {task.parent_uuid for task in self._live.values()} - {""}:
            self._changed(uuid)

    # asking

    async def begin(self, wanted: Wanted, by: _By) -> Task:
        """The task, which runs or waits. Faults: `api.invalid`, `task.address_refused`, `task.too_many`, `limit.depth`,
        `request.unknown_model`, `auth.refused`, `store.unavailable`, `audit.unavailable`."""
        settings = self._settings()
        parent = by.on_behalf_of if isinstance(by, Internal) else None
        asked = judged(wanted, settings, scripts=parent is not None)
        above = self._inside.get(parent.uuid) if parent is not None else None
        depth = 1 + (above.depth if above is not None else 0)
        if depth > settings.max_depth:
            raise Fault("limit.depth", f"Tasks that ask for tasks nest at most {settings.max_depth} deep.")
        project = self._project(parent, asked.project)
        if asked.exec and not self.has_exec(project, asked.exec):
            raise Fault("task.address_refused", f"There is no exec {quoted(asked.exec)} in this project.")
        stands_for = ""
        if parent is not None:
            if asked.role:
                raise Fault("api.invalid", "The role of a container is named by an operator alone.")
            self._standing(parent.uuid)
            stands_for = above.stands_for or parent.name if above is not None else parent.name
        self._allowed(asked.model, stands_for)
        task = Task(
            id=f"tsk_{secrets.token_hex(16)}",
            prompt=asked.prompt,
            mode=asked.mode,
            model=asked.model,
            exec=asked.exec,
            callback=asked.callback,
            by=label(by),
            parent_uuid=parent.uuid if parent is not None else "",
            stands_for=stands_for,
            project=project,
            depth=depth,
            created=self._clock.now(),
            role=asked.role if parent is None else parent.role,
            tags=tuple(sorted(self.tags_of(parent))) if parent is not None else (),
        )
        self._permit_one_more(task, running=asked.execute)
        self._live[task.id] = task
        if asked.execute:
            return await self._to_run(task, by, new=True)
        try:
            await self._book.put(task)
        except Fault:
            del self._live[task.id]
            raise
        return task

    async def serve(self, by: Internal, body: dict[str, Any]) -> dict[str, Any]:
        """The service `tasks` of scripts."""
        task = await self.begin(wanted_of(body), by)
        return {"taskId": task.id, "status": task.state.value}

    async def execute(self, id_: str, by: Operator) -> Task:
        """Runs one that waits. Faults: `api.not_found`, `api.conflict`, `task.too_many`."""
        task = await self.get(id_)
        if task.state is not State.WAITING:
            raise Fault("api.conflict", f"The task is {task.state.value}; only one that waits is executed.")
        if task.mode not in self._settings().commands:
            raise Fault("api.conflict", f"There is no mode {quoted(task.mode)} any more.")
        self._allowed(task.model, task.stands_for)
        self._permit_one_more(task, running=True)
        return await self._to_run(task, by, new=False)

    async def cancel(self, id_: str, by: Operator) -> Task:
        """Returns when its container is gone. Faults: `api.not_found`, `api.conflict`."""
        task = await self.get(id_)
        if task.over:
            raise Fault("api.conflict", f"The task is {task.state.value} already.")
        await self._cancel(task, f"Cancelled by {label(by)}.")
        return await self.get(id_)

    # looking

    async def get(self, id_: str) -> Task:
        """Fault `api.not_found`."""
        found = self._live.get(id_) or await self._book.get(id_)
        if found is None:
            raise Fault("api.not_found", f"There is no task {quoted(id_)}.", remedy="Look at `bawn tasks list`.")
        return found

    async def list(self, state: str | None, parent_uuid: str | None, limit: int) -> Sequence[Task]:
        """The newest first."""
        return await self._book.last(state, parent_uuid, limit)

    def stands_for(self, container: Container) -> str:
        """The name by which the rights of a container are looked up: that of the one that had it made, else its own."""
        task = self._inside.get(container.uuid)
        return task.stands_for or container.name if task is not None else container.name

    def works_for(self, container: Container) -> Container:
        """The container at whose wish this one works, through all tasks that asked for tasks; else itself."""
        uuid = container.uuid
        while (task := self._inside.get(uuid)) is not None and task.parent_uuid:
            uuid = task.parent_uuid
        standing = self._registry.standing(uuid)
        return container if standing is None else standing.container

    async def close(self) -> None:
        """The process ends. What runs is told as failed at the next start, which sweeps its container."""
        self._closing = True
        going = [*self._works.values(), *self._runs.values(), *self._background]
        for each in going:
            each.cancel()
        await asyncio.gather(*going, return_exceptions=True)

    # running

    def _to_run(self, task: Task, by: _By, *, new: bool) -> Awaitable[Task]:
        """Counted as running from this moment on; also when whoever asked goes away, it begins whole or not at all."""
        running = self._live[task.id] = moved(task, State.RUNNING, self._clock.now())
        return whole(self._execute(task, running, by, new=new))

    async def _execute(self, task: Task, running: Task, by: _By, *, new: bool) -> Task:
        facts = (
            ("depth", str(task.depth)),
            ("mode", task.mode),
            ("prompt_characters", str(len(task.prompt))),
            ("task", task.id),
        )
        try:
            await self._recorder.record(
                Event("task.began", principal=label(by), container=task.parent_uuid, model=task.model, detail=facts)
            )
            await self._book.put(running)
        except Fault:
            if new:
                del self._live[task.id]
            else:
                self._live[task.id] = task
            self._cancelled_by.pop(task.id, None)
            raise
        settings, id_ = self._settings(), task.id
        if because := self._cancelled_by.pop(id_, ""):
            # It came while this was written down, before there was anything to break off.
            cancelled = moved(running, State.CANCELLED, self._clock.now(), because)
            await self._over(cancelled)
            return cancelled

        async def entered(record: Record) -> None:
            now = structs.replace(running, container_uuid=record.uuid, container=record.name)
            self._live[id_] = self._inside[record.uuid] = now
            await self._book.put(now)

        agent = AgentRun(running, by, settings, self.boxes, self._clock, self._environment, entered)
        self._works[id_] = work = asyncio.create_task(agent.run(), name=f"agent of {id_}")
        self._runs[id_] = asyncio.create_task(self._run(running, agent, work, settings.timeout_seconds), name=id_)
        return running

    async def _run(self, task: Task, agent: AgentRun, work: asyncio.Task[int], timeout_s: float) -> None:
        code: int | None = None
        try:
            async with asyncio.timeout(timeout_s):
                code = await work
            state, because = (State.COMPLETED, "") if code == 0 else (State.FAILED, f"The agent ended with {code}.")
        except TimeoutError:
            state, because = State.TIMED_OUT, f"It took more than {timeout_s:g} s."
        except asyncio.CancelledError:
            if self._closing:
                raise
            state, because = State.CANCELLED, self._cancelled_by.get(task.id, "")
        except Fault as fault:
            state, because = State.FAILED, f"{fault.sentence} [{fault.code}]"
        except Exception:  # noqa: BLE001 - the outermost loop of a task, whose end must be told
            _log.exception("task.failed", task=task.id)
            state, because = State.FAILED, f"Something failed inside Bawn; its log has the details under {task.id}."
        await self._attempted(agent.clear(), task)
        ended = moved(self._live[task.id], state, self._clock.now(), self._redact(because))
        ended = structs.replace(ended, exit_code=code, output=self._redact(agent.output(code)))
        used = await self._attempted(self._usage(ended.container_uuid), task) if ended.container_uuid else None
        if used is not None:
            ended = structs.replace(
                ended, input_tokens=used.tokens_in, output_tokens=used.tokens_out, cost_usd=used.cost_usd
            )
        self._inside.pop(ended.container_uuid, None)
        await self._over(ended)
        for each in (self._runs, self._works, self._cancelled_by):
            each.pop(task.id, None)

    async def _over(self, ended: Task) -> None:
        """Kept, on record, told; in this order."""
        self._live[ended.id] = ended
        try:
            await self._book.put(ended)
        except Fault as fault:
            # It stays in memory; after a restart it is told as failed.
            _log.error("task.not_kept", task=ended.id, error=fault.sentence)
        else:
            del self._live[ended.id]
        await self._record_end(ended)
        if ended.callback:
            self._start(self._tell(ended))
        self._start(self._purge())

    async def _cancel(self, task: Task, because: str) -> None:
        now = self._live.get(task.id)
        if now is None or now.over:
            return
        if now.state is State.WAITING:
            await self._over(moved(now, State.CANCELLED, self._clock.now(), because))
            return
        first = task.id not in self._cancelled_by
        self._cancelled_by.setdefault(task.id, because)
        run = self._runs.get(task.id)
        if run is not None:
            if first:
                self._works[task.id].cancel()
            await asyncio.wait((run,))

    async def _tell(self, task: Task) -> None:
        try:
            await self.answers.tell(task)
            after = structs.replace(task, answer=Answer.SENT)
        except Undelivered as error:
            because = str(error)
            after = structs.replace(task, answer=Answer.FAILED, answer_because=because)
            _log.warning("task.callback_failed", task=task.id, because=because)
            facts = (("task", task.id),)
            with contextlib.suppress(Fault):
                await self._recorder.record(
                    Event(
                        "task.callback_failed",
                        principal="bawn",
                        container=task.parent_uuid,
                        cause=because,
                        detail=facts,
                    )
                )
        with contextlib.suppress(Fault):
            await self._book.put(after)
        if task.id in self._live:
            self._live[task.id] = after

    async def _attempted(self, work: Awaitable[T], task: Task) -> T | None:
        """What belongs to the end of a task and must not keep it from ending."""
        try:
            return await work
        except Exception:  # noqa: BLE001 - as in `_run`
            _log.exception("task.end_not_whole", task=task.id)
            return None

    async def _record_end(self, task: Task) -> None:
        facts = [("status", task.state.value), ("task", task.id)]
        if task.exit_code is not None:
            facts.insert(0, ("exit", str(task.exit_code)))
        event = Event(
            "task.ended",
            principal=task.by,
            container=task.container_uuid or task.parent_uuid,
            model=task.model,
            tokens_in=task.input_tokens,
            tokens_out=task.output_tokens,
            cause=task.because,
            detail=tuple(facts),
        )
        try:
            await self._recorder.record(event)
        except Fault as fault:
            _log.error("task.end_not_recorded", task=task.id, error=fault.sentence)

    # who may

    def _project(self, parent: Container | None, said: str) -> str:
        if parent is None:
            return said or "default"
        if said and said != parent.project:
            raise Fault("api.invalid", "A task of a container is of the same project.")
        return parent.project

    def _standing(self, uuid: str) -> None:
        standing = self._registry.standing(uuid)
        if standing is None or not standing.ai or standing.state == "deleted":
            raise Fault("auth.refused", "This call is not authorised.", cause="the container may not call models")

    def _permit_one_more(self, task: Task, *, running: bool) -> None:
        settings = self._settings()
        if not running:
            if sum(each.state is State.WAITING for each in self._live.values()) >= WAITING:
                raise Fault("task.too_many", f"{WAITING} tasks wait to be executed already.")
            same = [each for each in self._live.values() if each.parent_uuid == task.parent_uuid]
            if task.parent_uuid and sum(each.state is State.WAITING for each in same) >= WAITING_OF_ONE:
                raise Fault("task.too_many", f"{WAITING_OF_ONE} tasks of this container wait to be executed already.")
            return
        active = [each for each in self._live.values() if each.state is State.RUNNING]
        if len(active) >= settings.at_once:
            raise Fault("task.too_many", f"{settings.at_once} tasks run already.")
        own = sum(each.parent_uuid == task.parent_uuid for each in active)
        if task.parent_uuid and own >= settings.at_once_per_container:
            raise Fault("task.too_many", f"{settings.at_once_per_container} tasks of this container run already.")

    def _changed(self, uuid: str) -> None:
        """A container changed; where its right is gone, what was asked for in its name ends."""
        standing = self._registry.standing(uuid)
        if self._closing or (standing is not None and standing.ai and standing.state != "deleted"):
            return
        for task in list(self._live.values()):
            if task.parent_uuid == uuid and not task.over:
                self._start(self._cancel(task, "The container that asked may not call models any more."))

    # the rest

    async def _purge(self) -> None:
        with contextlib.suppress(Fault):
            await self._book.purge(self._clock.now() - timedelta(days=self._settings().keep_days))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        doing = asyncio.ensure_future(work)
        self._background.add(doing)
        doing.add_done_callback(self._background.discard)
