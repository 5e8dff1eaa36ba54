"""The page about wires shows the table as it is."""

from __future__ import annotations

from tests.architecture.source import ROOT

from bawn.terms.exchange import WireName
from bawn.translation.features import FATES, SAYABLE, Fate, Feature

WORDS = {Fate.CARRIED: "yes", Fate.DROPPED: "dropped", Fate.REFUSED: "refused"}
NAMES = {
    WireName.OPENAI: "chat",
    WireName.RESPONSES: "responses",
    WireName.ANTHROPIC: "messages",
    WireName.GEMINI: "Gemini",
    WireName.CONVERSE: "Converse",
}


def test_the_page_shows_each_row_of_the_table() -> None:
    lines = (ROOT / "docs" / "wires.md").read_text("utf-8").splitlines()
    shown = {line.split("|")[1].strip().strip("`"): line for line in lines if line.startswith("| `")}
    assert set(shown) == {feature.value for feature in Feature}
    for feature in Feature:
        cells = [cell.strip() for cell in shown[feature.value].split("|")[3:-1]]
        said = ", ".join(NAMES[wire] for wire in NAMES if wire in SAYABLE and feature in SAYABLE[wire])
        assert cells == [*(WORDS[FATES[feature][wire]] for wire in NAMES), said]
