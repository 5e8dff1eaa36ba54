"""Which agents' adapters the boxes have that start from now on: all, but for those that an operator took away.

Those that were taken away are kept in one small file of the state folder. A file that cannot be read takes nothing away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bawn.adapters import installed
from bawn.api.services import Recorder
from bawn.errors import Fault, quoted
from bawn.sdk import shapes
from bawn.terms.event import Event
from bawn.terms.principal import Operator, label


class Adapters:
    """Fulfils `api.services.Adapters`."""

    def __init__(self, place: Path, recorder: Recorder) -> None:
        """`place`: the file."""
        self._place = place
        self._recorder = recorder
        self._removed = _read(place)

    def chosen(self) -> list[str]:
        """The agents whose adapters a box has that starts now."""
        return [agent for agent in installed.AGENTS if agent not in self._removed]

    def list(self) -> Sequence[shapes.Adapter]:
        return [self._shown(agent) for agent in installed.AGENTS]

    async def install(self, agent: str, by: Operator) -> shapes.Adapter:
        await self._change(agent, self._removed - {_known(agent)}, "adapter.installed", by)
        return self._shown(agent)

    async def remove(self, agent: str, by: Operator) -> None:
        await self._change(agent, self._removed | {_known(agent)}, "adapter.removed", by)

    async def _change(self, agent: str, removed: frozenset[str], event: str, by: Operator) -> None:
        if removed == self._removed:
            return
        await self._recorder.record(Event(event, principal=label(by), detail=(("agent", agent),)))
        fresh = self._place.with_suffix(".new")
        try:
            fresh.write_text(json.dumps({"removed": sorted(removed)}), encoding="utf-8")
            fresh.replace(self._place)
        except OSError as error:
            raise Fault("store.unavailable", "The choice of adapters cannot be kept.", cause=str(error)) from error
        self._removed = removed

    def _shown(self, agent: str) -> shapes.Adapter:
        return shapes.Adapter(agent, agent not in self._removed, sorted(installed.files([agent])))


def _known(agent: str) -> str:
    if agent not in installed.AGENTS:
        raise Fault(
            "api.not_found",
            f"There is no adapter for {quoted(agent)}.",
            remedy=f"There are those for {', '.join(installed.AGENTS)}.",
        )
    return agent


def _read(place: Path) -> frozenset[str]:
    try:
        said = json.loads(place.read_text(encoding="utf-8"))
        return frozenset(each for each in said["removed"] if each in installed.AGENTS)
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()
