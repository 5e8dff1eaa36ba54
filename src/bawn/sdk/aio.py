"""The asynchronous client: `await AsyncClient().containers.update("dev", ai=False)`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx

from bawn.sdk import endpoints, place, shapes
from bawn.sdk.call import AsyncIterated, AsyncNoun, Awaited, Call, Download, Stream, Upload, read_json
from bawn.sdk.client import TIMEOUT, unreachable
from bawn.sdk.frames import Command
from bawn.sdk.session import AsyncSession
from bawn.sdk.tunnel import AsyncTunnel

T = TypeVar("T")


class AsyncContainers(AsyncNoun):
    list = Awaited(endpoints.list_containers)
    get = Awaited(endpoints.get_container)
    create = Awaited(endpoints.create_container)
    update = Awaited(endpoints.update_container)
    delete = Awaited(endpoints.delete_container)
    start = Awaited(endpoints.start_container)
    stop = Awaited(endpoints.stop_container)
    logs = AsyncIterated(endpoints.container_logs)
    why = Awaited(endpoints.why)
    diff = Awaited(endpoints.diff_container)
    apply = Awaited(endpoints.apply_changes)

    def __init__(self, sender: AsyncClient) -> None:
        super().__init__(sender)
        self._place = sender.place

    async def exec(
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
    ) -> AsyncSession:
        """Starts a command. Iterate the session for its output; `session.code` is its exit code afterwards."""
        command = Command(
            argv=[*argv], tty=tty, rows=rows, cols=cols, env=dict(env or {}), cwd=cwd, timeout_s=timeout_s
        )
        return await AsyncSession.open(self._place, endpoints.exec_path(ref), command)


class AsyncFiles(AsyncNoun):
    """The files of one container."""

    list = Awaited(endpoints.list_files)
    stat = Awaited(endpoints.stat_file)
    mkdir = Awaited(endpoints.make_folder)
    remove = Awaited(endpoints.remove_file)

    def __init__(self, sender: AsyncClient) -> None:
        super().__init__(sender)
        self._client = sender

    def read(self, ref: str, path: str) -> AsyncIterator[bytes]:
        """The bytes of a file, as they come."""
        return self._client.download(endpoints.read_file(ref, path))

    async def write(
        self, ref: str, path: str, data: bytes | AsyncIterable[bytes], *, mode: int | None = None
    ) -> shapes.File:
        """Puts a file there, whole or not at all."""
        return await self._client.upload(endpoints.write_file(ref, path, mode=mode), data)


class AsyncSnapshots(AsyncNoun):
    list = Awaited(endpoints.list_snapshots)
    create = Awaited(endpoints.create_snapshot)
    restore = Awaited(endpoints.restore_snapshot)
    delete = Awaited(endpoints.delete_snapshot)


class AsyncPorts(AsyncNoun):
    shares = Awaited(endpoints.list_shares)
    share = Awaited(endpoints.create_share)
    revoke = Awaited(endpoints.revoke_share)

    def __init__(self, sender: AsyncClient) -> None:
        super().__init__(sender)
        self._place = sender.place

    async def connect(self, ref: str, port: int) -> AsyncTunnel:
        """One connection to a port inside; write bytes, iterate for what comes back."""
        return await AsyncTunnel.open(self._place, endpoints.port_path(ref, port))


class AsyncKeys(AsyncNoun):
    list = Awaited(endpoints.list_keys)
    add = Awaited(endpoints.add_key)
    rotate = Awaited(endpoints.rotate_key)
    remove = Awaited(endpoints.remove_key)
    reset = Awaited(endpoints.reset_keys)


class AsyncEgress(AsyncNoun):
    rules = Awaited(endpoints.egress_rules)
    allow = Awaited(endpoints.allow_egress)
    disallow = Awaited(endpoints.disallow_egress)
    suggest = Awaited(endpoints.suggest_egress)
    log = Awaited(endpoints.egress_log)


class AsyncCredentials(AsyncNoun):
    list = Awaited(endpoints.list_credentials)
    put = Awaited(endpoints.put_credential)
    remove = Awaited(endpoints.remove_credential)


class AsyncScripts(AsyncNoun):
    list = Awaited(endpoints.list_scripts)
    workers = Awaited(endpoints.script_workers)
    write = Awaited(endpoints.write_script)
    remove = Awaited(endpoints.remove_script)
    check = Awaited(endpoints.check_scripts)
    install = AsyncIterated(endpoints.install_modules)
    test = Awaited(endpoints.try_script)
    logs = AsyncIterated(endpoints.script_logs)
    secrets = Awaited(endpoints.list_script_secrets)
    put_secret = Awaited(endpoints.put_script_secret)
    remove_secret = Awaited(endpoints.remove_script_secret)


class AsyncOperators(AsyncNoun):
    list = Awaited(endpoints.list_operators)
    add = Awaited(endpoints.add_operator)
    remove = Awaited(endpoints.remove_operator)
    tokens = Awaited(endpoints.list_tokens)
    issue_token = Awaited(endpoints.issue_token)
    revoke_token = Awaited(endpoints.revoke_token)


class AsyncImages(AsyncNoun):
    list = Awaited(endpoints.list_images)
    build = AsyncIterated(endpoints.build_image)
    import_ = AsyncIterated(endpoints.import_image)
    remove = Awaited(endpoints.remove_image)


class AsyncModels(AsyncNoun):
    list = Awaited(endpoints.list_models)


class AsyncProviders(AsyncNoun):
    check = Awaited(endpoints.check_providers)


class AsyncConfiguration(AsyncNoun):
    schema = Awaited(endpoints.config_schema)
    effective = Awaited(endpoints.config_effective)
    check = Awaited(endpoints.check_config)
    reload = Awaited(endpoints.reload_config)


class AsyncTransforms(AsyncNoun):
    list = Awaited(endpoints.list_transforms)
    forget = Awaited(endpoints.forget_answers)


class AsyncRules(AsyncNoun):
    list = Awaited(endpoints.list_rules)
    get = Awaited(endpoints.get_rule)
    add = Awaited(endpoints.add_rule)
    edit = Awaited(endpoints.edit_rule)
    enable = Awaited(endpoints.enable_rule)
    disable = Awaited(endpoints.disable_rule)
    delete = Awaited(endpoints.delete_rule)
    packs = Awaited(endpoints.rule_packs)
    add_pack = Awaited(endpoints.add_rule_pack)
    remove_pack = Awaited(endpoints.remove_rule_pack)
    check = Awaited(endpoints.check_rules)
    test = Awaited(endpoints.try_rules)
    replay = Awaited(endpoints.replay_rules)
    log = Awaited(endpoints.rules_log)


class AsyncSessions(AsyncNoun):
    tag = Awaited(endpoints.tag_session)


class AsyncKnowledge(AsyncNoun):
    list = Awaited(endpoints.list_knowledge)
    add = Awaited(endpoints.add_knowledge)
    remove = Awaited(endpoints.remove_knowledge)


class AsyncTasks(AsyncNoun):
    run = Awaited(endpoints.run_task)
    list = Awaited(endpoints.list_tasks)
    get = Awaited(endpoints.get_task)
    execute = Awaited(endpoints.execute_task)
    cancel = Awaited(endpoints.cancel_task)


class AsyncApprovals(AsyncNoun):
    list = Awaited(endpoints.list_approvals)
    get = Awaited(endpoints.get_approval)
    approve = Awaited(endpoints.approve)
    reject = Awaited(endpoints.reject)
    watch = AsyncIterated(endpoints.watch_approvals)


class AsyncAudit(AsyncNoun):
    tail = AsyncIterated(endpoints.audit_tail)


class AsyncClient:
    """Speaks to the unix socket of this machine, or to `base_url` with a personal `token`."""

    def __init__(self, socket: str | None = None, *, base_url: str | None = None, token: str | None = None) -> None:
        self.place = place.found(socket, base_url, token)
        transport = httpx.AsyncHTTPTransport(uds=self.place.socket) if self.place.socket else None
        # No proxy of the environment may stand between an operator and the management API.
        self._http = httpx.AsyncClient(
            base_url=self.place.base_url,
            headers=self.place.headers,
            transport=transport,
            timeout=TIMEOUT,
            trust_env=False,
        )
        self.containers = AsyncContainers(self)
        self.files = AsyncFiles(self)
        self.snapshots = AsyncSnapshots(self)
        self.ports = AsyncPorts(self)
        self.keys = AsyncKeys(self)
        self.egress = AsyncEgress(self)
        self.credentials = AsyncCredentials(self)
        self.scripts = AsyncScripts(self)
        self.operators = AsyncOperators(self)
        self.images = AsyncImages(self)
        self.models = AsyncModels(self)
        self.providers = AsyncProviders(self)
        self.config = AsyncConfiguration(self)
        self.audit = AsyncAudit(self)
        self.approvals = AsyncApprovals(self)
        self.tasks = AsyncTasks(self)
        self.transforms = AsyncTransforms(self)
        self.knowledge = AsyncKnowledge(self)
        self.rules = AsyncRules(self)
        self.sessions = AsyncSessions(self)
        noun = _Single(self)
        self.usage = noun.usage
        self.status = noun.status
        self.notify = noun.notify

    async def send(self, call: Call[T]) -> T:
        try:
            answer = await self._http.request(call.method, call.path, params=call.params, json=call.body)
        except httpx.TransportError as error:
            raise unreachable(self.place, error) from None
        return call.read(read_json(answer.status_code, answer.content))

    async def stream(self, stream: Stream[T]) -> AsyncIterator[T]:
        timeout = httpx.Timeout(None, connect=TIMEOUT.connect)
        try:
            async with self._http.stream(
                stream.method, stream.path, params=stream.params, json=stream.body, timeout=timeout
            ) as answer:
                if answer.status_code >= 400:
                    read_json(answer.status_code, await answer.aread())
                async for piece in answer.aiter_lines() if stream.lines else answer.aiter_text():
                    if piece:
                        yield stream.read(piece)
        except httpx.TransportError as error:
            raise unreachable(self.place, error) from None

    async def download(self, download: Download) -> AsyncIterator[bytes]:
        timeout = httpx.Timeout(None, connect=TIMEOUT.connect)
        try:
            async with self._http.stream("GET", download.path, params=download.params, timeout=timeout) as answer:
                if answer.status_code >= 400:
                    read_json(answer.status_code, await answer.aread())
                async for piece in answer.aiter_bytes():
                    yield piece
        except httpx.TransportError as error:
            raise unreachable(self.place, error) from None

    async def upload(self, upload: Upload[T], data: bytes | AsyncIterable[bytes]) -> T:
        timeout = httpx.Timeout(None, connect=TIMEOUT.connect)
        try:
            answer = await self._http.put(upload.path, params=upload.params, content=data, timeout=timeout)
        except httpx.TransportError as error:
            raise unreachable(self.place, error) from None
        return upload.read(read_json(answer.status_code, answer.content))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Single(AsyncNoun):
    """Nouns with one verb, which therefore are the verb."""

    usage = Awaited(endpoints.usage)
    status = Awaited(endpoints.status)
    notify = Awaited(endpoints.notify)
