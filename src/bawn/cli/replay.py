"""A recorded session and what rules would have made of it, for people: a block for each call."""

from __future__ import annotations

from collections import Counter

from bawn.cli import output
from bawn.cli.output import Format
from bawn.sdk import shapes


def show_replay(replay: shapes.RuleReplay, form: Format) -> None:
    if form is Format.JSON:
        output.show_one(replay, form)
        return
    quiet = 0
    for number, call in enumerate(replay.calls, 1):
        if call.fired or call.refused or call.withheld or call.standing or call.change or call.untold:
            _show(number, call)
        else:
            quiet += 1
    _sum_up(replay, quiet)


def _show(number: int, call: shapes.ReplayedCall) -> None:
    ended = f"{call.status} {call.outcome}"
    output.say(f"{number}. {call.call}  {output.cell(call.at)}  {call.model or '-'}  {ended}")
    for fired in call.fired:
        error = f": {fired.error}" if fired.error else ""
        output.say(f"   {fired.event}  {fired.rule}  {fired.effect}{error}")
    if call.refused:
        output.say(f"   refused: {call.refused}")
    for tool in call.withheld:
        kind = "a person is asked about" if tool.asks else "withheld:"
        output.say(f"   {kind} {tool.tool} ({tool.rule}): {tool.because}")
    if call.change:
        output.difference(call.change)
    if call.standing:
        output.say(f"   stands in it from before: {', '.join(call.standing)}")
    for what in call.untold:
        output.say(f"   not replayed: {what}")
    output.say("")


def _sum_up(replay: shapes.RuleReplay, quiet: int) -> None:
    fired = Counter(each.rule for call in replay.calls for each in call.fired)
    times = ", ".join(f"{rule} {count}" for rule, count in sorted(fired.items()))
    said = f"{len(replay.calls)} calls of {replay.session} in {replay.container}, {replay.rules} rules: "
    output.say(said + (f"fired {times}." if times else "no rule fires."))
    if quiet:
        output.say(f"In {quiet} of them nothing would have happened.")
    if any(call.refused or call.withheld for call in replay.calls):
        output.note("After a refusal an agent would have gone on otherwise; what follows is as it was recorded.")
    if replay.more:
        output.note("There are more calls than these; see --limit, and --since for those behind.")
    if replay.broken:
        output.note(f"{replay.broken} lines of the request log cannot be read.")
