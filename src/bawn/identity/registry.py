"""Which containers exist and what holds for each: the one place that is asked, and the only writer of the table.

A change goes to the store first, then to memory, then to the watchers, one change after another. What takes a
right away goes the other way round: it holds in memory at once, whatever becomes of the store, since a full
disk must never keep a right alive; if it could not be written, the asker is told and may ask again. Reading is
a dictionary lookup in memory that never waits and is never older than the last change;
whoever calls models for a container asks anew each time, so no cache can make a withdrawal late. Once a
change is written it also reaches memory and watchers, even if whoever asked for it has gone meanwhile.

Deleted containers keep their row: that is why a number never comes back.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Struct, UnsetType, structs

from bawn.errors import Fault, quoted
from bawn.identity.record import Limits, NewContainer, Record, State, ahead, checked
from bawn.identity.tables import containers
from bawn.identity.turn import Turn
from bawn.terms.clock import Clock
from bawn.terms.principal import Container

T = TypeVar("T")


class Keeper(Protocol):
    """The store, as far as this room needs it."""

    async def run(self, act: Callable[[sa.Connection], T]) -> T:
        """Runs `act` in one transaction on the writer's connection."""


class Standing(Struct, frozen=True):
    """What holds for a container now."""

    container: Container
    ai: bool
    """Whether it may call models; false as well once it expired."""
    state: State
    expires: datetime | None
    generation: int
    """Greater after every change."""


class Registry:
    def __init__(self, store: Keeper, clock: Clock, server: str = "local") -> None:
        self._store = store
        self._clock = clock
        self._server = server
        self._records: dict[str, Record] = {}
        self._standings: dict[str, Standing] = {}
        """Also of containers deleted since the start, so that a refusal can say so."""
        self._unwritten: set[str] = set()
        """Containers of which a withdrawal holds in memory and is not in the store yet."""
        self._generation = 0
        self._watchers: list[Callable[[str], None]] = []
        self._turn = Turn()

    async def load(self) -> None:
        """Reads the living containers; called once before anything is answered."""
        rows = await self._store.run(
            lambda connection: (
                connection.execute(
                    sa.select(containers).where(containers.c.state != "deleted").order_by(containers.c.number)
                )
                .mappings()
                .all()
            )
        )
        for row in rows:
            self._hold(record_of(row))

    def watch(self, callback: Callable[[str], None]) -> None:
        """`callback` is called with the uuid after any change of a container, before the change returns."""
        self._watchers.append(callback)

    def standing(self, uuid: str) -> Standing | None:
        return self._standings.get(uuid)

    def list(self) -> Sequence[Record]:
        """The living containers by number."""
        return tuple(self._records.values())

    def get(self, ref: str) -> Record:
        """The living container that a uuid, a number or a name means; Fault `api.not_found` if none."""
        if ref in self._records:
            return self._records[ref]
        for record in self._records.values():
            if ref in (record.name, str(record.number)):
                return record
        raise Fault("api.not_found", f"There is no container {quoted(ref)}.", remedy="Look at `bawn containers list`.")

    async def create(self, new: NewContainer) -> Record:
        """A new container in state `created`, with a number that no other ever had."""
        wanted = structs.replace(checked(new), expires=self._ahead(new.expires))
        return await self._turn.take(lambda: self._create(wanted))

    async def update(
        self,
        ref: str,
        *,
        ai: bool | UnsetType = UNSET,
        expires: datetime | UnsetType | None = UNSET,
        state: State | UnsetType = UNSET,
    ) -> Record:
        """Changes what is given and nothing else."""
        if state == "deleted":
            raise Fault("api.invalid", "A container is deleted by delete, not by a change of its state.")
        until = expires if expires is UNSET else self._ahead(expires)
        return await self._turn.take(lambda: self._update(ref, ai, until, state))

    async def delete(self, ref: str) -> Record:
        """Withdraws everything of it; its name is free again, its uuid and number never."""
        return await self._turn.take(lambda: self._delete(ref))

    async def expire(self, ref: str) -> Record:
        """Withdraws the right to call models from a container whose time is over. Only `identity.expiry` calls it."""
        return await self._turn.take(lambda: self._update(ref, False, UNSET, UNSET))

    async def _create(self, new: NewContainer) -> Record:
        if new.name and any(record.name == new.name for record in self._records.values()):
            raise Fault("api.conflict", f"There is already a container {new.name!r}.")
        made = Record(
            uuid=str(uuid.uuid4()),
            number=0,
            name=new.name,
            project=new.project or "default",
            server=new.server or self._server,
            image=new.image,
            runtime=new.runtime,
            ai=new.ai,
            state="created",
            task=new.task,
            mount=new.mount,
            created=self._clock.now(),
            expires=new.expires,
            workspace=new.workspace if new.mount else "live",
            ephemeral=new.ephemeral,
            limits=new.limits,
            allow_soft_limits=new.allow_soft_limits,
            role=new.role,
            tags=new.tags,
        )
        taken = {record.name for record in self._records.values()}

        def write(connection: sa.Connection) -> Record:
            # The database gives the number; until then the uuid holds the place of a name that contains it.
            values = structs.asdict(made) | {
                "name": made.name or made.uuid,
                "limits": msgspec.json.encode(made.limits).decode("ascii"),
                "tags": msgspec.json.encode(made.tags).decode("ascii"),
            }
            del values["number"]
            insert = sa.insert(containers).values(**values).returning(containers.c.number)
            number = connection.execute(insert).scalar_one()
            record = structs.replace(made, number=number, name=made.name or free_name(number, taken))
            if not made.name:
                named = sa.update(containers).where(containers.c.uuid == made.uuid).values(name=record.name)
                connection.execute(named)
            return record

        return self._changed(await self._store.run(write))

    async def _update(
        self, ref: str, ai: bool | UnsetType, expires: datetime | UnsetType | None, state: State | UnsetType
    ) -> Record:
        before = self.get(ref)
        given = {"ai": ai, "expires": expires, "state": state}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not UNSET}
        after = structs.replace(before, **changes)
        if ai is True and self._over(after):
            raise Fault(
                "api.conflict", f"The container {after.name!r} has expired.", remedy="Give it a later `expires` first."
            )
        if after == before and after.uuid not in self._unwritten:
            return before
        if ai is False or state in ("stopped", "failed"):
            self._changed(after)
            self._unwritten.add(after.uuid)
            await self._write(after.uuid, {"ai": after.ai, "state": after.state, **changes})
            self._unwritten.discard(after.uuid)
            return after
        await self._write(after.uuid, changes)
        return self._changed(after)

    async def _delete(self, ref: str) -> Record:
        before = self.get(ref)
        after = structs.replace(before, ai=False, state="deleted")
        self._changed(structs.replace(before, ai=False, state="stopped"))
        await self._write(after.uuid, {"ai": False, "state": "deleted"})
        return self._changed(after)

    async def _write(self, uuid: str, changes: dict[str, Any]) -> None:
        await self._store.run(
            lambda connection: connection.execute(
                sa.update(containers).where(containers.c.uuid == uuid).values(**changes)
            ).close()
        )

    def _changed(self, record: Record) -> Record:
        self._hold(record)
        for callback in self._watchers:
            callback(record.uuid)
        return record

    def _hold(self, record: Record) -> None:
        self._generation += 1
        if record.state == "deleted":
            self._records.pop(record.uuid, None)
        else:
            self._records[record.uuid] = record
        self._standings[record.uuid] = Standing(
            record.container, record.ai and not self._over(record), record.state, record.expires, self._generation
        )

    def _over(self, record: Record) -> bool:
        return record.expires is not None and record.expires <= self._clock.now()

    def _ahead(self, expires: datetime | None) -> datetime | None:
        return None if expires is None else ahead(expires, self._clock.now())


def record_of(row: sa.RowMapping) -> Record:
    said = {field: row[field] for field in Record.__struct_fields__}
    limits = msgspec.json.decode(row["limits"], type=Limits)
    return Record(**said | {"limits": limits, "tags": msgspec.json.decode(row["tags"], type=tuple[str, ...])})


def free_name(number: int, taken: set[str]) -> str:
    """`box-<number>`, or the like when somebody chose that already."""
    name = f"box-{number}"
    while name in taken:
        name += "-x"
    return name
