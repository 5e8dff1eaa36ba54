"""Rules from all files of the configuration folder are one set, in a known order, and each id is there once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.rules.examples import EXAMPLES

from bawn.app.rule_files import Part, beside, merged
from bawn.app.settings import configured
from bawn.errors import Fault
from bawn.rules.model import Mitm


def rule(id_: str, **trigger: Any) -> dict[str, Any]:
    return {"id": id_, "trigger": {"event": "chat.message", **trigger}, "action": {"type": "block", "reason": "no"}}


def written(*rules: dict[str, Any], **more: Any) -> str:
    return json.dumps({"mitm": {"rules": rules}, **more})


def test_all_files_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "hoody.json").write_text(written(rule("a"), theme="dark"))
    (tmp_path / "hoody.jsonc").write_text("// rules\n" + written(rule("b"))[:-1] + ", /* no more */ }")
    (tmp_path / ".hoody.json").write_text(written(rule("c")))
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shop.json").write_text(written(rule("d")))
    (tmp_path / "rules" / "README.md").write_text("nothing")
    yaml = Part("bawn.yaml", Mitm.model_validate({"rules": [rule("z")]}))
    together = merged([yaml, *beside(tmp_path)])
    assert [each.id for each in together.rules] == ["z", "a", "b", "c", "d"]
    assert [each.trigger.projects for each in together.rules] == [(), (), (), (), ("shop",)]


def test_the_examples_load_from_a_file_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "hoody.json").write_text('{"mitm": {"rules": ' + EXAMPLES + "}}")
    assert len(merged(beside(tmp_path)).rules) == 7


def test_no_files_are_no_rules(tmp_path: Path) -> None:
    assert merged(beside(tmp_path)).rules == ()


def test_an_id_of_two_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hoody.json").write_text(written(rule("a")))
    (tmp_path / ".hoody.json").write_text(written(rule("a")))
    with pytest.raises(Fault, match=r"^\.hoody\.json: mitm\.rules: 'a' is a rule of hoody\.json already"):
        merged(beside(tmp_path))


def test_a_mistake_names_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "hoody.jsonc").write_text('{\n"mitm": {"rules": [{"id": "a"}]}}')
    with pytest.raises(Fault, match=r"hoody\.jsonc:2: mitm\.rules\[0\]\.trigger: is missing"):
        beside(tmp_path)


def test_a_file_of_a_project_is_about_no_other(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shop.json").write_text(written(rule("a", projects=["other"])))
    with pytest.raises(Fault, match="names other projects"):
        beside(tmp_path)


HOSTED = {"id": "h", "trigger": {"event": "session.idle"}, "action": {"type": "shell", "command": "id", "host": True}}


@pytest.mark.parametrize("name", ["hoody.json", "hoody.jsonc", ".hoody.json", "rules/shop.json"])
def test_commands_on_the_host_are_refused_with_their_line_where_nobody_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / name).write_text('{"mitm": {"rules": [\n' + json.dumps(HOSTED) + "]}}")
    with pytest.raises(
        Fault, match=rf"^{name}:2: mitm\.rules\[0\]\.action\.host: got true.*`rules\.host_user`.*restart Bawn"
    ):
        beside(tmp_path)
    assert len(merged(beside(tmp_path, "runner")).rules) == 1


def test_commands_on_the_host_in_the_configuration_itself_are_as_well() -> None:
    text = f"mitm:\n  rules:\n  - {json.dumps(HOSTED)}\n"
    with pytest.raises(Fault, match=r"^bawn\.yaml:3: mitm\.rules\[0\]\.action\.host: got true"):
        configured(text, "bawn.yaml")
    assert configured(text + "rules: {host_user: runner}\n", "bawn.yaml").mitm.rules[0].id == "h"
    for wrong in ("-x", "a b", "../x", "a/b"):
        with pytest.raises(Fault, match=r"rules\.host_user"):
            configured(f'rules: {{host_user: "{wrong}"}}\n', "bawn.yaml")
