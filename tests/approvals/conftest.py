"""A desk on a real store; the record is a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.api.yard import FailingStore, Log, TestClock

from bawn.approvals.book import Book
from bawn.approvals.desk import Desk
from bawn.approvals.question import Kind, Question
from bawn.approvals.settings import Approvals
from bawn.approvals.ticket import Ticket
from bawn.notify.notice import Notice
from bawn.stages.judging import Denied, Granted
from bawn.terms.principal import Container, Operator, Role

DEV = Container("uuid-dev", 7, "dev", "default")
OTHER = Container("uuid-other", 8, "other", "default")
ADA = Operator("ada", frozenset({Role.APPROVER}))
EVE = Operator("eve", frozenset({Role.ADMIN}))
VIEWER = Operator("vic", frozenset({Role.VIEWER}))


class Pinboard:
    def __init__(self) -> None:
        self.notices: list[Notice] = []

    async def send(self, notice: Notice, container: Container | None = None, by: str = "") -> str:
        self.notices.append(notice)
        return "ntc_1"


class Office:
    """The desk with everything around it."""

    def __init__(self, directory: Path) -> None:
        self.clock = TestClock()
        self.store = FailingStore(directory / "bawn.db")
        self.log = Log()
        self.pinboard = Pinboard()
        self.gone: set[str] = set()
        self.settings = Approvals()
        self.desk = self.opened()

    def opened(self) -> Desk:
        """Another desk on the same store, as after a restart; it still has to load."""
        may: Callable[[str], bool] = lambda uuid: uuid not in self.gone  # noqa: E731
        self.desk = Desk(self.settings, Book(self.store), self.log, self.pinboard, self.clock, may)
        return self.desk

    def question(self, arguments: str = '{"command":"ls"}', container: Container = DEV) -> Question:
        return Question(Kind.TOOL, container.uuid, container.name, "s1", tool="bash", arguments=arguments)

    def asks(
        self, arguments: str = '{"command":"ls"}', wait_s: float | None = None, container: Container = DEV
    ) -> asyncio.Task[Granted | Denied]:
        return asyncio.create_task(self.desk.ask(self.question(arguments, container), container, wait_s=wait_s))

    async def open_ticket(self, count: int = 1) -> Ticket:
        """The oldest open one, once there are so many."""
        async with asyncio.timeout(5):
            while len(self.desk.open()) < count:
                await asyncio.sleep(0.002)
        return self.desk.open()[0]

    @property
    def events(self) -> list[str]:
        return [event.event for event in self.log.events]


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    office = Office(tmp_path)
    await office.desk.load()
    yield office
    office.log.broken = office.store.broken = False
    await office.desk.close()
    office.store.close()
