"""The verbs that the gateway may say, each checked here as if it came from a stranger.

`_VERBS` is the whole table. What a verb asks for goes to the room that does it; a Fault becomes the answer.
"""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bawn.errors import Fault, quoted
from bawn.sandbox.dialing import dial
from bawn.sandbox.images import Images, Progress
from bawn.sandbox.runtime import Runtime
from bawn.sandbox.spec import read_uuid
from bawn.supervisor.attachments import Attachments
from bawn.supervisor.commands import Commands
from bawn.supervisor.errands import Errands
from bawn.supervisor.executions import Executions, read_command
from bawn.supervisor.keeper import Keeper
from bawn.supervisor.line import Line
from bawn.supervisor.loop import Loop
from bawn.supervisor.scripts import Scripts
from bawn.supervisor.snapshots import VERBS, Snapshots

STOP_TIMEOUT_S = 5.0

Request = Mapping[str, object]
Reply = Callable[[dict[str, object] | Fault, Sequence[int]], None]


class Control:
    """Answers one gateway at a time; events that come while there is none wait for the next."""

    def __init__(
        self,
        loop: Loop,
        *,
        runtimes: Mapping[str, Runtime],
        images: Images,
        rootless: bool,
        pids: Callable[[], Mapping[str, int]],
        on_hello: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._runtimes = runtimes
        self._images = images
        self._rootless = rootless
        self._pids = pids
        self._on_hello = on_hello
        self._line: Line | None = None
        self._greeted = False
        self._unheard: list[Mapping[str, object]] = []
        self._building: set[str] = set()
        self.keeper: Keeper | None = None
        self.executions: Executions | None = None
        self.errands: Errands | None = None
        self.snapshots: Snapshots | None = None
        self.attachments: Attachments | None = None
        self.scripts: Scripts | None = None
        self.commands: Commands | None = None
        self._verbs: dict[str, Callable[[Request, Reply], None]] = {
            "hello": self._hello,
            "start": self._start,
            "stop": self._stop,
            "delete": self._delete,
            "exec": self._exec,
            "resize": self._resize,
            "files": self._files,
            "dial": self._dial,
            "attach": self._attach,
            "workspace.diff": self._diff,
            "workspace.apply": self._apply,
            **dict.fromkeys(VERBS, self._snapshot),
            "signal": self._signal,
            "script.start": self._script,
            "script.stop": self._script,
            "script.install": self._script,
            "rule.run": self._command,
            "rule.stop": self._command,
            "images.list": self._images_list,
            "images.build": self._images_build,
            "images.import": self._images_import,
            "images.remove": self._images_remove,
        }

    @property
    def greeted(self) -> bool:
        """Whether there is a gateway that takes events."""
        return self._line is not None and self._greeted

    def connect(self, line: Line | None) -> None:
        if self._line is not None:
            self._line.close()
        self._line, self._greeted = line, False

    def tell(self, event: Mapping[str, object], fds: Sequence[int] = ()) -> None:
        """An event for the gateway. Doors are not kept for later: the next hello hands over all of them."""
        if self._line is not None and self._greeted:
            self._line.send(event, fds)
        elif event["event"] == "container.exited":
            self._unheard.append(event)

    def request(self, request: Request) -> None:
        line, number = self._line, request.get("id")

        def reply(said: dict[str, object] | Fault, fds: Sequence[int] = ()) -> None:
            if line is not self._line or line is None:
                return  # it asked and is gone
            if isinstance(said, Fault):
                line.send(
                    {"id": number, "ok": False, "code": said.code, "sentence": said.sentence, "cause": said.cause}
                )
            else:
                line.send({"id": number, "ok": True, **said}, fds)

        verb = request.get("do")
        act = self._verbs.get(verb) if isinstance(verb, str) else None
        try:
            if act is None:
                raise Fault("sandbox.invalid", f"{quoted(str(verb))} is not a verb of the supervisor")
            act(request, reply)
        except Fault as fault:
            reply(fault)
        except Exception:  # noqa: BLE001 - the outermost frame of a request: told, and the supervisor goes on
            traceback.print_exc()
            reply(Fault("internal", "the supervisor could not do this"))

    def degraded(self) -> list[str]:
        sentences: list[str] = []
        for runtime in self._runtimes.values():
            missing = runtime.lacking()
            sentences += [missing] if missing else runtime.degraded()
        if self.keeper is not None:
            sentences += self.keeper.degraded()
        return list(dict.fromkeys(sentences))

    def _rooms(self) -> tuple[Keeper, Executions]:
        if self.keeper is None or self.executions is None:
            raise Fault("supervisor.unavailable", "the supervisor is not ready")
        return self.keeper, self.executions

    def _hello(self, _: Request, reply: Reply) -> None:
        keeper, _executions = self._rooms()
        reply(
            {
                "containers": [*keeper.containers(), *(self.attachments.told() if self.attachments else ())],
                "runtimes": {name: runtime.lacking() or "ready" for name, runtime in self._runtimes.items()},
                "rootless": self._rootless,
                "degraded": self.degraded(),
                "pids": dict(self._pids()),
                "host_user": self.commands.host_user if self.commands is not None else "",
            },
            (),
        )
        self._greeted = True
        keeper.announce_doors("gateway")
        if self.attachments is not None:
            self.attachments.announce()
        unheard, self._unheard = self._unheard, []
        for event in unheard:
            self.tell(event)
        self._on_hello()

    def _start(self, request: Request, reply: Reply) -> None:
        self._rooms()[0].start(request.get("spec"), lambda said: reply(said, ()))

    def _stop(self, request: Request, reply: Reply) -> None:
        timeout = request.get("timeout_s", STOP_TIMEOUT_S)
        if not isinstance(timeout, int | float) or isinstance(timeout, bool) or timeout < 0:
            raise Fault("sandbox.invalid", "timeout_s must be a number of seconds")
        self._detach(read_uuid(request.get("uuid")))
        self._rooms()[0].stop(read_uuid(request.get("uuid")), timeout, lambda said: reply(said, ()))

    def _delete(self, request: Request, reply: Reply) -> None:
        self._detach(read_uuid(request.get("uuid")))
        self._rooms()[0].stop(read_uuid(request.get("uuid")), 0, lambda said: reply(said, ()), delete=True)

    def _exec(self, request: Request, reply: Reply) -> None:
        self._rooms()[1].start(read_uuid(request.get("uuid")), read_command(request), reply)

    def _files(self, request: Request, reply: Reply) -> None:
        if self.errands is None:
            raise Fault("supervisor.unavailable", "the supervisor is not ready")
        self.errands.files(read_uuid(request.get("uuid")), request, reply)

    def _attach(self, request: Request, reply: Reply) -> None:
        if self.attachments is None:
            raise Fault("supervisor.unavailable", "the supervisor is not ready")
        uuid = read_uuid(request.get("uuid"))
        self.attachments.attach(uuid, request.get("target"), lambda said: reply(said, ()))

    def _detach(self, uuid: str) -> None:
        if self.attachments is not None:
            self.attachments.detach(uuid)

    def _dial(self, request: Request, reply: Reply) -> None:
        port = request.get("port")
        if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
            raise Fault("sandbox.invalid", "port must be an integer from 1 to 65535")
        keeper, _ = self._rooms()
        _spec, box = keeper.running(read_uuid(request.get("uuid")))

        def answer(said: Fault | socket.socket) -> None:
            if isinstance(said, Fault):
                reply(said, ())
                return
            with said:
                reply({}, [said.fileno()])

        def dial_slowly() -> None:
            said: Fault | socket.socket
            try:
                said = dial(box, port)
            except Fault as fault:
                said = fault
            except OSError as error:
                said = Fault("ports.closed", "the container cannot be reached", cause=str(error))
            self._loop.post(lambda: answer(said))

        keeper.slowly(dial_slowly)

    def _diff(self, request: Request, reply: Reply) -> None:
        self._compare(request, {"act": "diff"}, reply)

    def _apply(self, request: Request, reply: Reply) -> None:
        wanted = {name: request.get(name) for name in ("paths", "seen")}
        for name, value in wanted.items():
            if not (value is None and name == "seen") and not (
                isinstance(value, list) and all(isinstance(one, str) for one in value)
            ):
                raise Fault("sandbox.invalid", f"{name} must be a list of texts")
        self._compare(request, {"act": "apply", **wanted}, reply)

    def _compare(self, request: Request, asked: Mapping[str, object], reply: Reply) -> None:
        keeper, _ = self._rooms()
        workspaces = keeper.workspaces
        if self.errands is None or workspaces is None:
            raise Fault("supervisor.unavailable", "the supervisor is not ready")
        spec = keeper.held(read_uuid(request.get("uuid"))).spec
        self.errands.start(lambda: workspaces.compare(spec, asked), reply)

    def _snapshot(self, request: Request, reply: Reply) -> None:
        if self.snapshots is None:
            raise Fault("supervisor.unavailable", "the supervisor is not ready")
        verb = str(request["do"])
        self.snapshots.act(verb, read_uuid(request.get("uuid")), request, lambda said: reply(said, ()))

    def _script(self, request: Request, reply: Reply) -> None:
        if self.scripts is None:
            raise Fault("supervisor.unavailable", "the supervisor is not ready")
        acts = {
            "script.start": self.scripts.start,
            "script.stop": self.scripts.stop,
            "script.install": self.scripts.install,
        }
        acts[str(request["do"])](request, reply)

    def _command(self, request: Request, reply: Reply) -> None:
        if self.commands is None:
            raise Fault("supervisor.unavailable", "the supervisor is not ready")
        act = self.commands.run if request["do"] == "rule.run" else self.commands.stop
        act(request, reply)

    def _resize(self, request: Request, reply: Reply) -> None:
        self._rooms()[1].resize(request.get("exec"), request.get("rows"), request.get("cols"))
        reply({}, ())

    def _signal(self, request: Request, reply: Reply) -> None:
        self._rooms()[1].signal(request.get("exec"), request.get("signal"))
        reply({}, ())

    def _images_list(self, _: Request, reply: Reply) -> None:
        reply({"images": self._images.all()}, ())

    def _images_build(self, request: Request, reply: Reply) -> None:
        name = request.get("name", "agent")
        if not isinstance(name, str) or name not in self._images.buildable():
            raise Fault("sandbox.image_missing", f"there is no recipe {quoted(str(name))}")
        self._make_image(name, lambda progress: self._images.build(name, progress), reply)

    def _images_import(self, request: Request, reply: Reply) -> None:
        name, source, digest = request.get("name"), request.get("source"), request.get("digest")
        if not isinstance(name, str) or not isinstance(digest, str):
            raise Fault("sandbox.invalid", "name and digest must be texts")
        if not isinstance(source, str) or not source.startswith("/") or "\0" in source:
            raise Fault("sandbox.invalid", "source must be an absolute path")
        self._make_image(name, lambda progress: self._images.bring(name, Path(source), digest, progress), reply)

    def _make_image(self, name: str, make: Callable[[Progress], dict[str, object]], reply: Reply) -> None:
        """Makes an image in a thread, and tells how it goes."""
        if name in self._building:
            raise Fault("api.conflict", "this image is being made already")
        self._building.add(name)

        def progress(line: str) -> None:
            event = {"event": "image.progress", "name": name, "line": line[:2000]}
            self._loop.post(lambda: self.tell(event))

        def done(said: dict[str, object] | Fault) -> None:
            self._building.discard(name)
            reply(said, ())

        def make_slowly() -> None:
            said: dict[str, object] | Fault
            try:
                said = {"image": make(progress)}
            except Fault as fault:
                said = fault
            except OSError as error:
                said = Fault("sandbox.start_failed", "the image could not be made", cause=str(error))
            self._loop.post(lambda: done(said))

        self._rooms()[0].slowly(make_slowly)

    def _images_remove(self, request: Request, reply: Reply) -> None:
        name = request.get("name")
        if not isinstance(name, str):
            raise Fault("sandbox.invalid", "name must be the name of an image")
        self._images.remove(name)
        reply({}, ())
