"""Tags as an agent names them: what is no tag, or too much, is never kept."""

from __future__ import annotations

import gc
import tracemalloc

from bawn.terms.tags import MOST_NAMED, header, named

MIB = 2**20


def test_a_header_of_any_length_is_not_kept_in_memory() -> None:
    gc.collect()
    tracemalloc.start()
    for at in range(8):
        assert named(b"t%d," % at + b"x" * MIB) == {f"t{at}"}
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < MIB


def test_tags_that_are_named_otherwise_make_a_short_header_that_says_the_same() -> None:
    tags = [f"t{at}" for at in range(MOST_NAMED - 4)]
    written = header(("x" * MIB, *tags, "a,b", "é", "-x", "late"))
    assert named(written) == {*tags}
    assert len(written) < 4096
    assert named(header(("x" * 64,) * MOST_NAMED)) == {"x" * 64}
