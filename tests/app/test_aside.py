"""What is computed aside holds up nobody, and what takes too long is given up without another one beside it."""

from __future__ import annotations

import contextlib
import threading

import pytest

from bawn.app.aside import Aside
from bawn.errors import Fault


async def test_what_takes_too_long_is_given_up_and_nothing_runs_beside_it() -> None:
    aside, go_on, begun = Aside(0.1), threading.Event(), []

    def slow() -> str:
        begun.append("slow")
        go_on.wait(10)
        raise ValueError("told to nobody")

    def quick() -> str:
        begun.append("quick")
        return "done"

    for work in (slow, quick):
        with pytest.raises(Fault) as caught:
            await aside.do(work)
        assert caught.value.code == "api.too_long"
    assert begun == ["slow"]
    go_on.set()
    while len(begun) < 2:
        with contextlib.suppress(Fault):
            assert await aside.do(quick) == "done"


async def test_what_goes_wrong_is_told_to_who_asked() -> None:
    aside = Aside()
    with pytest.raises(ZeroDivisionError):
        await aside.do(lambda: 1 // 0)
    assert await aside.do(lambda: 7) == 7
