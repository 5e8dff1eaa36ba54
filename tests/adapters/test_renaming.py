"""What was released is known again when Codex tells of it in other words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.adapters.renaming import as_told
from bawn.gateway.released import Released
from bawn.terms.toolcall import ToolCall

PATCH = "*** Begin Patch\n*** End Patch"


def call(name: str, arguments: Any, *, free: bool = False) -> ToolCall:
    return ToolCall("call_1", name, arguments if free else json.dumps(arguments), free=free)


@pytest.mark.parametrize(
    ("released", "told"),
    [
        (call("exec_command", {"cmd": "ls é", "workdir": "/x"}), call("Bash", {"command": "ls é"})),
        (call("shell_command", {"command": "ls"}), call("Bash", {"command": "ls"})),
        (call("apply_patch", PATCH, free=True), call("apply_patch", {"command": PATCH})),
        (call("apply_patch", {"input": PATCH}), call("apply_patch", {"command": PATCH})),
        (call("mcp__a__b", {"x": [1, 2]}), call("mcp__a__b", {"x": [1, 2]})),
        (call("bash", {"command": "ls", "description": "d"}), call("bash", {"description": "d", "command": "ls"})),
    ],
)
def test_a_released_call_is_known_as_it_is_told(released: ToolCall, told: ToolCall) -> None:
    known = Released()
    known.watch("box")
    for each in (told, released):
        known.add("box", "s", released)
        assert known.use("box", "s", each)
        assert not known.use("box", "s", each), "it was used up"


@pytest.mark.parametrize(
    "told",
    [call("Bash", {"command": "rm -r /"}), call("Bash", {"command": "ls", "more": 1}), call("Write", {"command": "ls"}),
     ToolCall("call_2", "Bash", '{"command":"ls"}')],
)  # fmt: skip
def test_another_command_under_the_same_id_is_another_call(told: ToolCall) -> None:
    known = Released()
    known.watch("box")
    known.add("box", "s", call("exec_command", {"cmd": "ls"}))
    assert not known.use("box", "s", told)


@given(st.sampled_from(["exec_command", "apply_patch", "shell_command", "x"]), st.text(), st.booleans())
def test_no_arguments_make_it_fail(name: str, arguments: str, free: bool) -> None:
    assert as_told(ToolCall("c", name, arguments, free=free)).id == "c"
