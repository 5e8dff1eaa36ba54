"""Keeps the boxes and their doors: starts, stops, adopts.

Everything here runs in the loop's thread but the methods named `…_slowly`, which run in worker threads, touch
only their arguments, and post what they found. Work on one container is done in order, one thing
after the other; closing its doors waits for nothing.
"""

from __future__ import annotations

import json
import os
import socket
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bawn.errors import Fault
from bawn.sandbox.attested import Attested
from bawn.sandbox.guarding import planned, tidy
from bawn.sandbox.netns import Opener, open_listeners
from bawn.sandbox.overlap import refuse_shared
from bawn.sandbox.runtime import Runtime, end_gently, kill_first_process
from bawn.sandbox.spec import Spec, read
from bawn.supervisor.held import Held, Records
from bawn.supervisor.loop import Act, Loop
from bawn.supervisor.workspaces import Workspaces
from bawn.terms.door import OPEN_NOW, PLACES

Tell = Callable[[Mapping[str, object], Sequence[int]], None]
TellOwner = Callable[[str, Mapping[str, object], Sequence[int]], None]
"""Tells the process of this name."""
Answer = Callable[[dict[str, object] | Fault], None]

THREADS = 8
STOP_LIMIT_S = 60.0


class Keeper:
    def __init__(
        self,
        loop: Loop,
        runtimes: Mapping[str, Runtime],
        records: Records,
        tell: Tell,
        tell_owner: TellOwner,
        closed: Sequence[Path],
    ) -> None:
        self._loop = loop
        self._runtimes = runtimes
        self._records = records
        self._tell = tell
        self._tell_owner = tell_owner
        self._closed = closed
        """Folders that no container may see."""
        self.workspaces: Workspaces | None = None
        """Private copies; None where there are none."""
        self.before_start: list[Callable[[str], None]] = []
        """Called in a worker thread before a box is made."""
        self.on_deleted: list[Callable[[str], None]] = []
        """Called in a worker thread when all of a container is removed."""
        self._held: dict[str, Held] = {}
        self._work = ThreadPoolExecutor(THREADS, thread_name_prefix="boxes")
        self._queues: dict[str, deque[Act]] = {}

    def containers(self) -> list[dict[str, object]]:
        return [held.told() for held in self._held.values()]

    def degraded(self) -> list[str]:
        """What is weaker in single boxes than their specs say."""
        return [f"{held.spec.name}: {why}" for held in self._held.values() if held.lives() for why in held.degraded]

    def live(self) -> set[str]:
        """The uuids of all boxes that are there, or about to be."""
        return {uuid for uuid, held in list(self._held.items()) if held.lives()}

    def running(self, uuid: str) -> tuple[Spec, Attested]:
        held = self._held.get(uuid)
        if held is None or held.state != "running" or held.box is None:
            raise Fault("sandbox.not_running", "the container does not run")
        return held.spec, held.box

    def held(self, uuid: str) -> Held:
        """One that was started some time, running or not."""
        held = self._held.get(uuid)
        if held is None:
            raise Fault("sandbox.not_running", "the container was never started")
        return held

    def stand_ins(self, uuid: str) -> list[str]:
        """What was made in the workspace for this box alone, and goes with it."""
        try:
            return [str(path) for path in json.loads(self._records.notes(uuid).read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return []

    def slowly(self, work: Act) -> None:
        """Runs `work` in a thread, beside everything else."""
        self._work.submit(work)

    def announce_doors(self, owner: str) -> None:
        """Hands every open door of this process to it, as after its restart."""
        for held in self._held.values():
            self._announce(held, owner)

    def start(self, raw: object, answer: Answer) -> None:
        spec = self._read(raw)
        runtime = self._runtimes[spec.runtime]
        if runtime.lacking():
            raise Fault("sandbox.runtime_missing", runtime.lacking())
        before = self._held.get(spec.uuid)
        if before is not None and before.state in ("created", "running", "stopping"):
            raise Fault("api.conflict", "the container is started already")
        if any(other.spec.number == spec.number and other is not before for other in self._held.values()):
            # The number is the agent's uid: two boxes of one number would be one user.
            raise Fault("api.conflict", "another container has this number")
        soft = runtime.unenforced(spec)
        if soft & spec.limits.asked and not spec.allow_soft_limits:
            raise Fault(
                "sandbox.limit_unenforceable",
                f"{spec.runtime} cannot hold {', '.join(sorted(soft & spec.limits.asked))} on this machine",
            )
        refuse_shared(spec, ((other.spec, other.box) for other in self._held.values() if other.lives()))
        held = self._held[spec.uuid] = Held(spec, degraded=_soft(soft))
        self.in_order(spec.uuid, lambda: self._start_slowly(held, runtime, answer))

    def _start_slowly(self, held: Held, runtime: Runtime, answer: Answer) -> None:
        spec = held.spec
        box: Attested | None = None
        opened: list[socket.socket] = []
        opener = Opener()
        try:
            self._records.write(spec, "created", None)
            for settle in self.before_start:
                settle(spec.uuid)
            if self.workspaces is not None:
                self.workspaces.prepare_slowly(spec)
            # Of a private copy nothing reaches the host unseen, so nothing in it has to be covered.
            plan = planned(None if spec.origin else spec.workspace, self._records.notes(spec.uuid))
            held.masked = _few(plan.masked)
            prepared = runtime.prepare(spec, plan)
            box = prepared.box
            self._records.write(spec, "running", box, held.masked)
            addresses = [(PLACES[kind].address, PLACES[kind].port) for kind in OPEN_NOW]
            opened = opener.open(box, addresses, prepared.noexec)
            runtime.start(prepared)
            if self.workspaces is not None:
                self.workspaces.fill_slowly(spec, box)
        except (Fault, OSError) as error:
            fault = (
                error
                if isinstance(error, Fault)
                else Fault("sandbox.start_failed", "the container could not be made", cause=str(error))
            )
            for listener in opened:
                listener.close()
            if box is not None:
                _remove(runtime, spec.uuid, box)
            else:
                runtime.delete(spec.uuid)  # what there was before it failed, a control group for one
            tidy(spec.workspace, self._records.notes(spec.uuid))
            self._records.write(spec, "failed", None)
            self._loop.post(lambda: self._failed(held, fault, answer))
            return
        finally:
            opener.close()
        made = box
        self._loop.post(lambda: self._started(held, made, opened, answer))

    def _failed(self, held: Held, fault: Fault, answer: Answer) -> None:
        held.state = "failed"
        answer(fault)

    def _started(self, held: Held, box: Attested, opened: list[socket.socket], answer: Answer) -> None:
        held.box = box
        held.doors = dict(zip(OPEN_NOW, opened, strict=True))
        if held.revoked:
            self._shut(held)
            answer(Fault("sandbox.not_running", "the container was stopped while it started"))
            return
        held.state = "running"
        self._announce(held)
        self._watch(held)
        answer(
            {
                "pid": box.pid,
                "netns_inode": box.netns_inode,
                "start_time": box.start_time,
                "degraded": list(held.degraded),
                "masked": list(held.masked),
            }
        )

    def _announce(self, held: Held, only: str | None = None) -> None:
        for kind, door in held.doors.items():
            place = PLACES[kind]
            if only not in (None, place.owner):
                continue
            packet = {
                "event": "door",
                "uuid": held.spec.uuid,
                "kind": kind.value,
                "address": place.address,
                "port": place.port,
            }
            self._tell_owner(place.owner, packet, [door.fileno()])

    def _shut(self, held: Held) -> None:
        """Closes its doors for everybody, and what came in by them ends with them."""
        kinds = tuple(held.doors)
        held.shut()
        for owner in {PLACES[kind].owner for kind in kinds} - {"gateway"}:  # which is told by itself what ends
            self._tell_owner(owner, {"event": "doors.closed", "uuid": held.spec.uuid}, ())

    def _watch(self, held: Held) -> None:
        if held.box is None:
            return
        try:
            held.pidfd = held.box.pidfd()
        except Fault:
            self._ended(held)
            return
        self._loop.watch(held.pidfd, lambda: self._ended(held))

    def _unwatch(self, held: Held) -> None:
        if held.pidfd is not None:
            self._loop.unwatch(held.pidfd)
            os.close(held.pidfd)
            held.pidfd = None

    def _ended(self, held: Held) -> None:
        """The first process is gone though nobody asked for it."""
        self._unwatch(held)
        self._shut(held)
        held.state, box, held.box = "stopping", held.box, None
        runtime = self._runtimes[held.spec.runtime]

        def clear_slowly() -> None:
            if box is not None:
                _remove(runtime, held.spec.uuid, box)
            tidy(held.spec.workspace, self._records.notes(held.spec.uuid))
            self._records.write(held.spec, "stopped", None)
            self._loop.post(lambda: self._gone(held, "its first process ended"))

        self.in_order(held.spec.uuid, clear_slowly)

    def _gone(self, held: Held, reason: str) -> None:
        held.state = "stopped"
        self._tell({"event": "container.exited", "uuid": held.spec.uuid, "reason": reason}, ())

    def stop(self, uuid: str, timeout_s: float, answer: Answer, *, delete: bool = False) -> None:
        held = self._held.get(uuid)
        if held is None:
            answer({})
            return
        held.revoked = True
        self._shut(held)
        self._unwatch(held)
        if held.state == "running":
            held.state = "stopping"
        self.in_order(uuid, lambda: self._stop_slowly(held, min(timeout_s, STOP_LIMIT_S), delete, answer))

    def _stop_slowly(self, held: Held, timeout_s: float, delete: bool, answer: Answer) -> None:
        # In order behind the start, whose posted end may come after this; the record on disk is what it made.
        runtime, spec = self._runtimes[held.spec.runtime], held.spec
        box = held.box or next((box for uuid, _, _, box in self._records.all() if uuid == spec.uuid), None)
        try:
            if box is not None:
                if timeout_s > 0:
                    end_gently(box, timeout_s)
                _remove(runtime, spec.uuid, box)
            runtime.delete(spec.uuid)
            tidy(spec.workspace, self._records.notes(spec.uuid))
            if delete:
                self._records.remove(spec.uuid)
                for forget in self.on_deleted:
                    forget(spec.uuid)
            else:
                self._records.write(spec, "stopped", None)
        except (Fault, OSError) as error:
            fault = (
                error
                if isinstance(error, Fault)
                else Fault("internal", "the container could not be stopped", cause=str(error))
            )
            self._loop.post(lambda: answer(fault))
            return
        self._loop.post(lambda: self._stopped(held, delete, answer))

    def _stopped(self, held: Held, delete: bool, answer: Answer) -> None:
        self._shut(held)
        held.state, held.box = "stopped", None
        if delete and self._held.get(held.spec.uuid) is held:
            del self._held[held.spec.uuid]
        answer({})

    def adopt(self) -> list[dict[str, object]]:
        """Takes up the boxes of an earlier supervisor; tells which had to be stopped and why."""
        lost: list[dict[str, object]] = []
        for uuid, raw, state, box in self._records.all():
            reason = "the machine or the container's first process ended while Bawn was away"
            try:
                held = Held(self._read(raw))
                held.degraded = _soft(self._runtimes[held.spec.runtime].unenforced(held.spec))
            except Fault as fault:
                if box is not None and box.lives():
                    kill_first_process(box)
                lost.append(
                    {
                        "event": "container.exited",
                        "uuid": uuid,
                        "reason": f"its record is no longer valid: {fault.sentence}",
                    }
                )
                continue
            self._held[uuid] = held
            if state == "running" and box is not None and box.lives():
                try:
                    opened = open_listeners(box, [(PLACES[kind].address, PLACES[kind].port) for kind in OPEN_NOW])
                    held.box, held.state, held.doors = box, "running", dict(zip(OPEN_NOW, opened, strict=True))
                    held.masked = self._records.masked(uuid)
                    self._watch(held)
                    continue
                except Fault as fault:
                    reason = fault.sentence
                    _remove(self._runtimes[held.spec.runtime], uuid, box)
            held.state = "failed" if state == "failed" else "stopped"
            if state in ("running", "created"):
                self._runtimes[held.spec.runtime].delete(uuid)
                tidy(held.spec.workspace, self._records.notes(uuid))
                self._records.write(held.spec, "stopped", None)
                lost.append({"event": "container.exited", "uuid": uuid, "reason": reason})
        return lost

    def leave(self) -> None:
        """Lets go of all boxes without touching them: the next supervisor adopts them."""
        self._work.shutdown(wait=True, cancel_futures=True)
        for held in self._held.values():
            if held.pidfd is not None:
                self._loop.unwatch(held.pidfd)
            held.let_go()

    def stop_all(self, answer: Act) -> None:
        """Stops every box; `answer` comes when all are gone."""
        live = [uuid for uuid, held in self._held.items() if held.state in ("created", "running", "stopping")]
        left = set(live)

        def one(uuid: str) -> Answer:
            def done(_: dict[str, object] | Fault) -> None:
                left.discard(uuid)
                if not left:
                    answer()

            return done

        for uuid in live:
            self.stop(uuid, 0, one(uuid))
        if not live:
            answer()

    def _read(self, raw: object) -> Spec:
        spec = read(raw, closed=self._closed)
        return spec if self.workspaces is None else self.workspaces.placed(spec)

    def in_order(self, uuid: str, work: Act) -> None:
        """Runs `work` in a thread, after all earlier work on the same container."""
        waiting = self._queues.setdefault(uuid, deque())
        waiting.append(work)
        if len(waiting) == 1:
            self._work.submit(self._work_off, uuid, work)

    def _work_off(self, uuid: str, work: Act) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - the outermost frame of a thread: told, and the next work goes on
            traceback.print_exc()
        finally:
            self._loop.post(lambda: self._next(uuid))

    def _next(self, uuid: str) -> None:
        waiting = self._queues[uuid]
        waiting.popleft()
        if waiting:
            self._work.submit(self._work_off, uuid, waiting[0])
        else:
            del self._queues[uuid]


def _few(paths: tuple[str, ...]) -> tuple[str, ...]:
    """As many as fit into an answer beside those of all other containers, and how many more there are."""
    more = len(paths) - _TOLD
    return paths if more <= 0 else (*paths[:_TOLD], f"(and {more} more)")


_TOLD = 20


def _soft(limits: frozenset[str]) -> tuple[str, ...]:
    return tuple(f"its limit {name} is not enforced on this machine" for name in sorted(limits))


def _remove(runtime: Runtime, uuid: str, box: Attested) -> None:
    runtime.kill(uuid, box)
    runtime.delete(uuid)
