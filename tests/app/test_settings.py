"""What fits each key by itself and is refused as a whole."""

from __future__ import annotations

import pytest

from bawn.app.settings import configured
from bawn.errors import Fault

ORDERED = """
profile: starter
transforms: {cache: {}, dedupe: {}}
stages: [%s]
"""
REQUIRED = 'scripts: {required: {dev: ["1"]}}\n'


@pytest.mark.parametrize("order", ["cache, scripts, dedupe", "dedupe, cache, scripts"])
def test_no_step_answers_before_a_required_script(order: str) -> None:
    with pytest.raises(Fault, match="'cache' would answer before the scripts"):
        configured(ORDERED % order + REQUIRED, "bawn.yaml")
    configured(ORDERED % order, "bawn.yaml")


@pytest.mark.parametrize("order", ["dedupe, scripts, cache", "cache, dedupe"])
def test_steps_that_only_change_may_stand_before_a_required_script(order: str) -> None:
    configured(ORDERED % order + REQUIRED, "bawn.yaml")
