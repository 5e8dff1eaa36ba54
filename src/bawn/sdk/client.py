"""The blocking client: `Client().containers.update("dev", ai=False)`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx

from bawn.errors import Fault
from bawn.sdk import endpoints, place, shapes
from bawn.sdk.call import Blocking, Call, Download, Iterated, Stream, SyncNoun, Upload, read_json
from bawn.sdk.frames import Command
from bawn.sdk.session import Session
from bawn.sdk.tunnel import Tunnel

T = TypeVar("T")

TIMEOUT = httpx.Timeout(120.0, connect=5.0)
"""Starting a box may take long; connecting on this machine never does."""


class Containers(SyncNoun):
    list = Blocking(endpoints.list_containers)
    get = Blocking(endpoints.get_container)
    create = Blocking(endpoints.create_container)
    update = Blocking(endpoints.update_container)
    delete = Blocking(endpoints.delete_container)
    start = Blocking(endpoints.start_container)
    stop = Blocking(endpoints.stop_container)
    logs = Iterated(endpoints.container_logs)
    why = Blocking(endpoints.why)
    diff = Blocking(endpoints.diff_container)
    apply = Blocking(endpoints.apply_changes)

    def __init__(self, sender: Client) -> None:
        super().__init__(sender)
        self._place = sender.place

    def exec(
        self,
        ref: str,
        argv: Sequence[str],
        *,
        tty: bool = False,
        rows: int = 24,
        cols: int = 80,
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        timeout_s: float | None = None,
    ) -> Session:
        """Starts a command. Iterate the session for its output; `session.code` is its exit code afterwards."""
        command = Command(
            argv=[*argv], tty=tty, rows=rows, cols=cols, env=dict(env or {}), cwd=cwd, timeout_s=timeout_s
        )
        return Session(self._place, endpoints.exec_path(ref), command)


class Files(SyncNoun):
    """The files of one container: `client.files.read("dev", "/workspace/log")`."""

    def __init__(self, sender: Client) -> None:
        super().__init__(sender)
        self._client = sender

    list = Blocking(endpoints.list_files)
    stat = Blocking(endpoints.stat_file)
    mkdir = Blocking(endpoints.make_folder)
    remove = Blocking(endpoints.remove_file)

    def read(self, ref: str, path: str) -> Iterator[bytes]:
        """The bytes of a file, as they come."""
        return self._client.download(endpoints.read_file(ref, path))

    def write(self, ref: str, path: str, data: bytes | Iterable[bytes], *, mode: int | None = None) -> shapes.File:
        """Puts a file there, whole or not at all."""
        return self._client.upload(endpoints.write_file(ref, path, mode=mode), data)


class Snapshots(SyncNoun):
    list = Blocking(endpoints.list_snapshots)
    create = Blocking(endpoints.create_snapshot)
    restore = Blocking(endpoints.restore_snapshot)
    delete = Blocking(endpoints.delete_snapshot)


class Ports(SyncNoun):
    shares = Blocking(endpoints.list_shares)
    share = Blocking(endpoints.create_share)
    revoke = Blocking(endpoints.revoke_share)

    def __init__(self, sender: Client) -> None:
        super().__init__(sender)
        self._place = sender.place

    def connect(self, ref: str, port: int) -> Tunnel:
        """One connection to a port inside; write bytes, iterate for what comes back."""
        return Tunnel(self._place, endpoints.port_path(ref, port))


class Keys(SyncNoun):
    list = Blocking(endpoints.list_keys)
    add = Blocking(endpoints.add_key)
    rotate = Blocking(endpoints.rotate_key)
    remove = Blocking(endpoints.remove_key)
    reset = Blocking(endpoints.reset_keys)


class Egress(SyncNoun):
    rules = Blocking(endpoints.egress_rules)
    allow = Blocking(endpoints.allow_egress)
    disallow = Blocking(endpoints.disallow_egress)
    suggest = Blocking(endpoints.suggest_egress)
    log = Blocking(endpoints.egress_log)


class Credentials(SyncNoun):
    list = Blocking(endpoints.list_credentials)
    put = Blocking(endpoints.put_credential)
    remove = Blocking(endpoints.remove_credential)


class Scripts(SyncNoun):
    list = Blocking(endpoints.list_scripts)
    workers = Blocking(endpoints.script_workers)
    write = Blocking(endpoints.write_script)
    remove = Blocking(endpoints.remove_script)
    check = Blocking(endpoints.check_scripts)
    install = Iterated(endpoints.install_modules)
    test = Blocking(endpoints.try_script)
    logs = Iterated(endpoints.script_logs)
    secrets = Blocking(endpoints.list_script_secrets)
    put_secret = Blocking(endpoints.put_script_secret)
    remove_secret = Blocking(endpoints.remove_script_secret)


class Operators(SyncNoun):
    list = Blocking(endpoints.list_operators)
    add = Blocking(endpoints.add_operator)
    remove = Blocking(endpoints.remove_operator)
    tokens = Blocking(endpoints.list_tokens)
    issue_token = Blocking(endpoints.issue_token)
    revoke_token = Blocking(endpoints.revoke_token)


class Images(SyncNoun):
    list = Blocking(endpoints.list_images)
    build = Iterated(endpoints.build_image)
    import_ = Iterated(endpoints.import_image)
    remove = Blocking(endpoints.remove_image)


class Models(SyncNoun):
    list = Blocking(endpoints.list_models)


class Providers(SyncNoun):
    check = Blocking(endpoints.check_providers)


class Configuration(SyncNoun):
    schema = Blocking(endpoints.config_schema)
    effective = Blocking(endpoints.config_effective)
    check = Blocking(endpoints.check_config)
    reload = Blocking(endpoints.reload_config)


class Transforms(SyncNoun):
    list = Blocking(endpoints.list_transforms)
    forget = Blocking(endpoints.forget_answers)


class Rules(SyncNoun):
    list = Blocking(endpoints.list_rules)
    get = Blocking(endpoints.get_rule)
    add = Blocking(endpoints.add_rule)
    edit = Blocking(endpoints.edit_rule)
    enable = Blocking(endpoints.enable_rule)
    disable = Blocking(endpoints.disable_rule)
    delete = Blocking(endpoints.delete_rule)
    packs = Blocking(endpoints.rule_packs)
    add_pack = Blocking(endpoints.add_rule_pack)
    remove_pack = Blocking(endpoints.remove_rule_pack)
    check = Blocking(endpoints.check_rules)
    test = Blocking(endpoints.try_rules)
    replay = Blocking(endpoints.replay_rules)
    log = Blocking(endpoints.rules_log)


class Sessions(SyncNoun):
    tag = Blocking(endpoints.tag_session)


class Knowledge(SyncNoun):
    list = Blocking(endpoints.list_knowledge)
    add = Blocking(endpoints.add_knowledge)
    remove = Blocking(endpoints.remove_knowledge)


class Tasks(SyncNoun):
    run = Blocking(endpoints.run_task)
    list = Blocking(endpoints.list_tasks)
    get = Blocking(endpoints.get_task)
    execute = Blocking(endpoints.execute_task)
    cancel = Blocking(endpoints.cancel_task)


class Approvals(SyncNoun):
    list = Blocking(endpoints.list_approvals)
    get = Blocking(endpoints.get_approval)
    approve = Blocking(endpoints.approve)
    reject = Blocking(endpoints.reject)
    watch = Iterated(endpoints.watch_approvals)


class Audit(SyncNoun):
    tail = Iterated(endpoints.audit_tail)


class Client:
    """Speaks to the unix socket of this machine, or to `base_url` with a personal `token`."""

    def __init__(self, socket: str | None = None, *, base_url: str | None = None, token: str | None = None) -> None:
        self.place = place.found(socket, base_url, token)
        transport = httpx.HTTPTransport(uds=self.place.socket) if self.place.socket else None
        # No proxy of the environment may stand between an operator and the management API.
        self._http = httpx.Client(
            base_url=self.place.base_url,
            headers=self.place.headers,
            transport=transport,
            timeout=TIMEOUT,
            trust_env=False,
        )
        self.containers = Containers(self)
        self.files = Files(self)
        self.snapshots = Snapshots(self)
        self.ports = Ports(self)
        self.keys = Keys(self)
        self.egress = Egress(self)
        self.credentials = Credentials(self)
        self.scripts = Scripts(self)
        self.operators = Operators(self)
        self.images = Images(self)
        self.models = Models(self)
        self.providers = Providers(self)
        self.config = Configuration(self)
        self.audit = Audit(self)
        self.approvals = Approvals(self)
        self.tasks = Tasks(self)
        self.transforms = Transforms(self)
        self.knowledge = Knowledge(self)
        self.rules = Rules(self)
        self.sessions = Sessions(self)
        noun = _Single(self)
        self.usage = noun.usage
        self.status = noun.status
        self.notify = noun.notify

    def send(self, call: Call[T]) -> T:
        try:
            answer = self._http.request(call.method, call.path, params=call.params, json=call.body)
        except httpx.TransportError as error:
            raise unreachable(self.place, error) from None
        return call.read(read_json(answer.status_code, answer.content))

    def stream(self, stream: Stream[T]) -> Iterator[T]:
        timeout = httpx.Timeout(None, connect=TIMEOUT.connect)
        try:
            with self._http.stream(
                stream.method, stream.path, params=stream.params, json=stream.body, timeout=timeout
            ) as answer:
                if answer.status_code >= 400:
                    read_json(answer.status_code, answer.read())
                for piece in answer.iter_lines() if stream.lines else answer.iter_text():
                    if piece:
                        yield stream.read(piece)
        except httpx.TransportError as error:
            raise unreachable(self.place, error) from None

    def download(self, download: Download) -> Iterator[bytes]:
        timeout = httpx.Timeout(None, connect=TIMEOUT.connect)
        try:
            with self._http.stream("GET", download.path, params=download.params, timeout=timeout) as answer:
                if answer.status_code >= 400:
                    read_json(answer.status_code, answer.read())
                yield from answer.iter_bytes()
        except httpx.TransportError as error:
            raise unreachable(self.place, error) from None

    def upload(self, upload: Upload[T], data: bytes | Iterable[bytes]) -> T:
        timeout = httpx.Timeout(None, connect=TIMEOUT.connect)
        try:
            answer = self._http.put(upload.path, params=upload.params, content=data, timeout=timeout)
        except httpx.TransportError as error:
            raise unreachable(self.place, error) from None
        return upload.read(read_json(answer.status_code, answer.content))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Single(SyncNoun):
    """Nouns with one verb, which therefore are the verb."""

    usage = Blocking(endpoints.usage)
    status = Blocking(endpoints.status)
    notify = Blocking(endpoints.notify)


def unreachable(where: place.Place, error: Exception) -> Fault:
    return Fault(
        "daemon.unreachable",
        f"Bawn does not answer at {where.shown}.",
        cause=f"{type(error).__name__}: {error}",
    )
