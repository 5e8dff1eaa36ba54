"""What agents report by hooks of their own, as rules see it.

The same things come by the wire as well, mostly, and what the wire says counts: whoever reports runs inside, and may say
anything. So of messages, system text and the results of calls that the wire knows, a report is only looked at for a reason
to refuse it early, and the rules fire when it comes by the wire; a call that a model proposed fired when it was proposed.
What the wire never shows (calls that no model proposed, and their results) is told here. Beginnings, ends and errors of a
session have one key, whichever way they came, so a rule fires on them once. Title, folder and parent of a session are known
from reports alone.
"""

from __future__ import annotations

from bawn.adapters.report import Report
from bawn.enforcement import keys
from bawn.enforcement.enforcer import Enforcer
from bawn.enforcement.turn import ReportTurn
from bawn.rules.model import EventName
from bawn.stages.asked import Asked

_LONGEST_TITLE = 500


class Reports:
    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer

    def begin(self, asked: Asked, report: Report) -> ReportTurn:
        """Before it is told or judged."""
        turn = self._enforcer.begin_report(asked)
        standing = turn.known
        standing.title = report.title[:_LONGEST_TITLE] or standing.title
        standing.directory = self._folder(asked, report.directory) or standing.directory
        return turn

    def end(self, asked: Asked) -> None:
        self._enforcer.end(asked)

    async def told(self, turn: ReportTurn, report: Report) -> None:
        """Anything but a tool call that is about to be made, which the judges decide on. Fault `rule.blocked`."""
        enforcer, asked, standing = self._enforcer, turn.asked, turn.known
        match report.event:
            case EventName.SESSION_CREATED:
                if report.parent:
                    await enforcer.labels.begun(asked.container.uuid, asked.session, report.parent)
                enforcer.after(turn, report.event, keys.SESSION)
            case EventName.SESSION_IDLE:
                enforcer.after(turn, report.event, keys.idle(turn.at))
            case EventName.SESSION_ERROR:
                # The agent tells of an error once, however many calls it tried; the last one was told by the wire.
                key, standing.failed = standing.failed or keys.error(asked.call), ""
                enforcer.after(turn, report.event, key, error=report.error)
            case EventName.TOOL_AFTER:
                await self._result(turn, standing.place(report.call), report)
            case EventName.CHAT_MESSAGE:
                key = keys.user(turn.at, report.text)
                await enforcer.refuse(turn, report.event, lambda: key, report.text, role="user")
            case EventName.SYSTEM:
                key = keys.system(turn.at, report.text)
                await enforcer.refuse(turn, report.event, lambda: key, report.text)
            case _:
                pass

    async def _result(self, turn: ReportTurn, place: str, report: Report) -> None:
        key = keys.result(place, report.call or turn.asked.call)
        said = {"tool": report.tool, "tool_input": report.tool_input, "tool_output": report.tool_output}
        tell = self._enforcer.told if place == keys.UNKNOWN else self._enforcer.refuse
        await tell(turn, report.event, lambda: key, report.tool_output, **said)

    def _folder(self, asked: Asked, told: str) -> str:
        """A folder in the container's workspace; empty for anything else."""
        place = self._enforcer.place(asked.container.uuid)
        parts = told.split("/")
        sound = place and len(told) <= 4096 and told.isprintable() and ".." not in parts
        return told if sound and (told == place or told.startswith(place + "/")) else ""
