"""What stands behind the management API, as it needs it.

Each is a small protocol that the composition root fulfils. What changes something takes the operator who
wants it, so that the record can name the person.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from msgspec import UNSET, Struct, UnsetType

from bawn.approvals.desk import Desk
from bawn.identity.operators import Operators
from bawn.identity.record import NewContainer, Record
from bawn.identity.shares import Shares
from bawn.notify.notices import Notices
from bawn.sdk import shapes
from bawn.sdk.frames import Command, Data
from bawn.tasks.asked import Wanted
from bawn.tasks.task import Task
from bawn.terms.event import Event
from bawn.terms.principal import Operator


class Change(Struct, frozen=True):
    """What shall change of a container; what is not given stays."""

    ai: bool | UnsetType = UNSET
    expires: datetime | UnsetType | None = UNSET


class Running(Protocol):
    """A command that runs in a container."""

    async def read(self) -> Data | None:
        """The next output; None when all of it was read."""

    async def write(self, data: bytes) -> None:
        """To its stdin; waits while the command does not read."""

    async def close_stdin(self) -> None:
        """Nothing more comes; on a terminal this is what Ctrl-D does."""

    async def resize(self, rows: int, cols: int) -> None:
        """The window of its terminal changed."""

    async def signal(self, name: str) -> None:
        """Sends it a signal by its name without SIG."""

    async def wait(self) -> int:
        """Its exit code, as a shell tells it."""

    async def close(self) -> None:
        """Whoever asked for it has gone: ends it if it still runs, frees what it holds."""


class Found(Struct, frozen=True):
    """What only the start of a container could tell."""

    degraded: tuple[str, ...] = ()
    """What is weaker in it than was asked for, in sentences."""
    masked: tuple[str, ...] = ()
    """Files of its workspace that look like secrets, which it does not see."""


class Lifecycle(Protocol):
    """The ordered acts on a container. A `ref` is its uuid, number or name."""

    def list(self) -> Sequence[Record]:
        """The living containers by number."""

    def get(self, ref: str) -> Record:
        """One of them; Fault `api.not_found`."""

    def found(self, uuid: str) -> Found:
        """What its start found out about it, while it runs."""

    async def create(self, new: NewContainer, by: Operator) -> Record:
        """Registers it, not started. Empty image, runtime and server mean the configured default."""

    async def update(self, ref: str, change: Change, by: Operator) -> Record:
        """Effective for the very next call when it returns; running streams are cut."""

    async def start(self, ref: str, by: Operator) -> Record:
        """Box and doors; returns when commands can run in it."""

    async def stop(self, ref: str, by: Operator, timeout_s: float) -> Record:
        """Doors first, then the box."""

    async def delete(self, ref: str, by: Operator) -> None:
        """Revoke, cut, remove, record."""

    async def exec(self, ref: str, command: Command, by: Operator) -> Running:
        """Starts a command in a running container."""

    def logs(self, ref: str, follow: bool) -> AsyncIterator[bytes]:
        """What its first process and its box wrote."""

    async def why(self, ref: str, limit: int) -> Sequence[shapes.Refusal]:
        """Its last refusals, newest first."""


class Files(Protocol):
    """The files of a running container, beneath /workspace and /home/agent."""

    async def list(self, ref: str, path: str) -> tuple[Sequence[shapes.File], bool]:
        """What is in a folder, and whether there is more than was told."""

    async def stat(self, ref: str, path: str) -> shapes.File:
        """One of them; a link itself, never what it leads to."""

    def read(
        self, ref: str, path: str, by: Operator
    ) -> AbstractAsyncContextManager[tuple[shapes.File, AsyncIterator[bytes]]]:
        """A plain file and its bytes."""

    async def write(
        self, ref: str, path: str, data: AsyncIterator[bytes], mode: int | None, by: Operator
    ) -> shapes.File:
        """Puts a file there, whole or not at all."""

    async def mkdir(self, ref: str, path: str, parents: bool, by: Operator) -> shapes.File:
        """Makes a folder."""

    async def remove(self, ref: str, path: str, recursive: bool, by: Operator) -> None:
        """Removes a file, a link, or a folder."""


class Workspaces(Protocol):
    """Private copies of folders, and snapshots of containers."""

    async def diff(self, ref: str) -> Sequence[shapes.Change]:
        """What the agent changed in its copy."""

    async def apply(
        self, ref: str, paths: Sequence[str], seen: Sequence[str] | None, by: Operator
    ) -> Sequence[shapes.Applied]:
        """Brings changes over to the host's folder: all that are not guarded, or those named."""

    async def snapshots(self, ref: str) -> Sequence[shapes.Snapshot]:
        """Oldest first."""

    async def snapshot(self, ref: str, alias: str, by: Operator) -> shapes.Snapshot:
        """Takes one."""

    async def restore(self, ref: str, name: str, by: Operator) -> shapes.Snapshot:
        """Brings workspace and home back; what the container may do stays what it is now."""

    async def forget(self, ref: str, name: str, by: Operator) -> None:
        """Deletes one."""


class Ports(Protocol):
    """Ports inside containers, on their own loopback."""

    async def connect(self, ref: str, port: int, by: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One connection, on record before it is made. `by`: who asks, as records write it."""

    async def dial(self, ref: str, port: int, by: str) -> socket.socket:
        """The same as a socket."""

    def shares(self, ref: str) -> Sequence[shapes.Share]:
        """The links to a container that still open something."""

    async def share(self, ref: str, port: int, expires: datetime | None, by: Operator) -> shapes.IssuedShare:
        """A new link with a token of its own."""

    async def revoke(self, ref: str, share_id: str, by: Operator) -> None:
        """The link opens nothing any more, and what came by it is cut."""


class Keys(Protocol):
    async def list(self) -> Sequence[shapes.Key]:
        """All, without secrets."""

    async def add(self, provider: str, secret: str, name: str, weight: int, by: Operator) -> shapes.Key:
        """Encrypts and keeps one."""

    async def rotate(self, key_id: str, secret: str, by: Operator) -> shapes.Key:
        """Another secret under the same id, used from the next call on."""

    async def remove(self, key_id: str, by: Operator) -> None:
        """Forgets one."""

    async def reset(self, by: Operator) -> None:
        """Forgets all and makes a new master key."""


class Egress(Protocol):
    async def rules(self, ref: str) -> Sequence[shapes.EgressRule]:
        """The rules that hold for a container, from the configuration and from grants."""

    async def allow(self, ref: str, rule: str, by: Operator) -> shapes.EgressRule:
        """Grants one rule, on record before it holds."""

    async def disallow(self, ref: str, id_: int, by: Operator) -> None:
        """Takes a grant back; what stands by it is cut."""

    async def log(self, ref: str | None, denied: bool, limit: int) -> Sequence[shapes.Passage]:
        """What lately happened at one door or at all, newest first."""

    async def suggest(self, ref: str) -> Sequence[shapes.EgressRule]:
        """Rules that would have let through what was refused; nothing is applied."""


class Credentials(Protocol):
    def list(self) -> Sequence[shapes.Credential]:
        """The configured ones, without their values."""

    async def put(self, name: str, secret: str, by: Operator) -> shapes.Credential:
        """Keeps the value of a configured one, in place of an older one."""

    async def remove(self, name: str, by: Operator) -> None:
        """Forgets the value."""


class Scripts(Protocol):
    def list(self, project: str | None) -> Sequence[shapes.Script]: ...

    def workers_told(self) -> Sequence[shapes.ScriptWorker]: ...

    async def read(self, path: str) -> str: ...

    async def write(self, path: str, text: str, by: Operator) -> shapes.Script:
        """Fault `script.invalid` with file and line; then what was there before stays."""

    async def remove(self, path: str, by: Operator) -> None: ...

    async def check(self, project: str, name: str) -> Sequence[shapes.ScriptCheck]:
        """Has the worker load all files of an exec."""

    def install(self, project: str, by: Operator) -> AsyncIterator[shapes.ScriptModule]:
        """The modules of the project's lock file, once they are there. Fault `script.modules`."""

    async def test(
        self, name: str, container: str, method: str, path: str, body: str, by: Operator
    ) -> shapes.ScriptAnswer:
        """What the script of an exec answers, as if the container had asked."""

    def logs(self, project: str, name: str, follow: bool) -> AsyncIterator[bytes]: ...

    async def kv(self, project: str, name: str, operation: str, body: dict[str, Any]) -> Any:
        """An operation on the values that the scripts of an exec keep."""

    def secrets(self) -> Sequence[shapes.ScriptSecret]: ...

    async def put_secret(self, name: str, secret: str, by: Operator) -> shapes.ScriptSecret: ...

    async def remove_secret(self, name: str, by: Operator) -> None: ...


class Usage(Protocol):
    async def summary(self, by: Literal["container", "model"], since: datetime | None) -> Sequence[shapes.UsageRow]:
        """Calls summed up."""


class Status(Protocol):
    async def status(self) -> shapes.Status:
        """What runs, where it listens, what is degraded."""


class Models(Protocol):
    async def list(self, container: str | None) -> Sequence[shapes.Model]:
        """Every model that a container could name, or those that this one may use. Fault `api.not_found`."""


class Providers(Protocol):
    async def check(self, name: str | None) -> Sequence[shapes.ProviderCheck]:
        """What small calls to one provider, or to all, came to. Fault `api.not_found`."""


class Images(Protocol):
    async def list(self) -> Sequence[shapes.Image]:
        """Built ones and known recipes."""

    def build(self, name: str, by: Operator) -> AsyncIterator[shapes.Progress]:
        """Builds one, telling what happens."""

    def bring(self, name: str, source: str, digest: str, by: Operator) -> AsyncIterator[shapes.Progress]:
        """Imports one of that digest from an OCI archive or layout of the host, telling what happens."""

    async def remove(self, name: str, by: Operator) -> None:
        """Removes a built one."""


class Configuration(Protocol):
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the configuration file."""

    def effective(self) -> dict[str, Any]:
        """What holds now, secrets redacted."""

    async def check(self, text: str) -> shapes.ConfigVerdict:
        """Whether this text would load as the configuration file. Fault `api.too_long`."""

    async def reload(self, by: Operator) -> shapes.ConfigVerdict:
        """Reads the file again; a bad one changes nothing."""


class Adapters(Protocol):
    def list(self) -> Sequence[shapes.Adapter]:
        """All that there are, by the agent's name."""

    async def install(self, agent: str, by: Operator) -> shapes.Adapter:
        """Boxes that start from now on have it, on record. Fault `api.not_found`, `store.unavailable`."""

    async def remove(self, agent: str, by: Operator) -> None:
        """Boxes that start from now on do not have it, on record. Fault `api.not_found`, `store.unavailable`."""


class Transforms(Protocol):
    def list(self) -> Sequence[shapes.Transform]:
        """Those that are configured, with what they have done since the start."""

    async def forget(
        self, container: str | None, project: str | None, model: str | None, by: Operator
    ) -> shapes.Forgotten:
        """Forget kept answers, on record. Fault `api.not_found` for a container that there is not."""


class Knowledge(Protocol):
    async def bases(self) -> Sequence[shapes.KnowledgeBase]:
        """By name."""

    async def add_folder(self, base: str, folder: str, by: Operator) -> shapes.KnowledgeAdded:
        """Take the texts of a folder of the host into a base. Fault `api.invalid` where there is no such folder."""

    async def remove_base(self, base: str, by: Operator) -> None:
        """Take a base away. Fault `api.not_found`."""


class Rules(Protocol):
    def list(self) -> Sequence[shapes.Rule]: ...

    def get(self, id_: str) -> shapes.Rule:
        """Fault `rule.unknown`."""

    async def add(self, written: Mapping[str, Any], by: Operator) -> shapes.Rule:
        """Faults `config.invalid` with every mistake, `api.conflict` where there is one of its id."""

    async def edit(self, id_: str, written: Mapping[str, Any], by: Operator) -> shapes.Rule:
        """Fault `api.conflict` for one that stands in a file of the operator's; so for the next three."""

    async def enable(self, id_: str, enabled: bool, by: Operator) -> shapes.Rule: ...

    async def delete(self, id_: str, by: Operator) -> None: ...

    def packs(self) -> Sequence[shapes.RulePack]: ...

    async def add_pack(self, name: str, by: Operator) -> shapes.RulePack:
        """Also again, for this version's words. Faults `rule.unknown`, `config.invalid` where a file has one of its ids."""

    async def remove_pack(self, name: str, by: Operator) -> None:
        """Fault `rule.unknown`, also where none of it was added."""

    async def check_text(self, text: str, name: str) -> shapes.ConfigVerdict:
        """Fault `api.too_long`."""

    async def test(self, event: Mapping[str, Any], text: str | None, name: str) -> Sequence[shapes.RuleTrial]:
        """Which rules would fire, and what they would change. Nothing is done. Fault `api.too_long`."""

    def log(self, limit: int, rule: str | None) -> Sequence[shapes.RuleFiring]:
        """The newest first."""

    async def tag(self, container: str, session: str, tags: Sequence[str], by: Operator) -> None:
        """Tags that an operator gives a conversation, in place of those before. Fault `api.not_found`."""


class Replays(Protocol):
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
        """Rules tried on the request log. Faults `rule.not_recorded`, `rule.unknown`, `config.invalid`, `api.conflict`."""


class Tasks(Protocol):
    """Prompts for agents in fresh containers."""

    async def begin(self, wanted: Wanted, by: Operator) -> Task:
        """It runs, or waits to be executed."""

    async def execute(self, id_: str, by: Operator) -> Task:
        """Runs one that waits."""

    async def cancel(self, id_: str, by: Operator) -> Task:
        """Returns when its container is gone."""

    async def get(self, id_: str) -> Task:
        """Fault `api.not_found`."""

    async def list(self, state: str | None, parent_uuid: str | None, limit: int) -> Sequence[Task]:
        """The newest first."""


class AuditLog(Protocol):
    def tail(self, lines: int, follow: bool) -> AsyncIterator[dict[str, Any]]:
        """The last records, oldest first, then new ones when `follow`."""


class Recorder(Protocol):
    async def record(self, event: Event) -> str:
        """Returns when the event is in the record; Fault `audit.unavailable` when it cannot be."""


@dataclass(frozen=True, slots=True)
class Services:
    lifecycle: Lifecycle
    files: Files
    workspaces: Workspaces
    ports: Ports
    links: Shares
    public_hosts: frozenset[str]
    """Names under which an operator's tunnel brings requests for links."""
    keys: Keys
    egress: Egress
    credentials: Credentials
    scripts: Scripts
    operators: Operators
    usage: Usage
    status: Status
    models: Models
    providers: Providers
    images: Images
    config: Configuration
    audit: AuditLog
    recorder: Recorder
    approvals: Desk
    adapters: Adapters
    transforms: Transforms
    knowledge: Knowledge
    rules: Rules
    replays: Replays
    notices: Notices
    tasks: Tasks
    public_url: Callable[[], str | None]
    """The address of the operator's own tunnel to the loopback port, for links of notices."""
