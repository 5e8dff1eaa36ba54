"""The one exit to the terminal: what is hostile becomes visible."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bawn.cli import output
from bawn.cli.output import Format
from bawn.errors import Fault
from bawn.sdk.shapes import UsageRow


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\rb", r"a\rb"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("\u2066x\u2069", r"\u2066x\u2069"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\x9b31m", r"\x9b31m"),
        ("\ud800", r"\ud800"),
        ("caf\u00e9 \u4e2d", "caf\u00e9 \u4e2d"),
    ],
)
def test_what_is_hidden_is_written_out(hostile: str, shown: str) -> None:
    assert output.clean(hostile) == shown


@given(st.text())
def test_nothing_hidden_passes(text: str) -> None:
    assert not [c for c in output.clean(text) if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]


@given(st.dictionaries(st.text(), st.text()))
def test_json_is_ascii_and_the_same(values: dict[str, str]) -> None:
    text = json.dumps(values, default=str)
    assert text.isascii()
    assert json.loads(text) == values


def test_a_table_shows_unknown_as_a_dash_and_never_as_zero(capsys: pytest.CaptureFixture[str]) -> None:
    row = UsageRow("evil\x1b[31m", "", 1, 0, 10, 5, 0, None)
    output.show([row], ("container", "calls", "refused", "cost_usd"), Format.TABLE)
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["container", "calls", "refused", "cost", "usd"]
    assert line.split() == [r"evil\x1b[31m", "1", "0", "-"]


def test_markup_in_a_name_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.show([{"name": "[red]x[/red] :boom:"}], ("name",), Format.TABLE)
    assert "[red]x[/red] :boom:" in capsys.readouterr().out


def test_a_list_as_json_is_a_plain_array_of_whole_objects(capsys: pytest.CaptureFixture[str]) -> None:
    output.show([{"name": "\x1b", "at": datetime(2030, 1, 1, tzinfo=UTC)}], ("name",), Format.JSON)
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text) == [{"name": "\x1b", "at": "2030-01-01T00:00:00Z"}]


def test_a_fault_tells_sentence_remedy_and_code(capsys: pytest.CaptureFixture[str]) -> None:
    output.tell(Fault("api.not_found", "There is no container '\x1b'."))
    assert capsys.readouterr().err == (
        "bawn: There is no container '\\x1b'.\n      Look at the list for the right name or number. [api.not_found]\n"
    )
