"""After everything else: nothing that Bawn wrote while all these tests ran holds a planted key, in any form.

The provider's own record is not among it: keys are meant for the provider.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tests.e2e.conftest import Planted
from tests.e2e.installation import Installation


def forms(secret: str) -> Iterator[bytes]:
    """As it is, in both alphabets of base64 at each of the three offsets, as hex, and as a URL would hold it."""
    raw = secret.encode()
    yield raw
    yield raw.hex().encode()
    yield quote(secret).encode()
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw)
        # The first and last group depend on what stands beside it.
        inner = whole[4 if shift else 0 : -4]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def written(place: Path) -> Iterator[Path]:
    for path in sorted(place.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def test_the_search_finds_a_key_in_every_form(tmp_path: Path) -> None:
    secret = "sk-test-0123456789abcdef"
    for n, text in enumerate((secret, base64.b64encode(b"user:" + secret.encode()).decode(), secret.encode().hex())):
        (tmp_path / str(n)).write_text(f"x {text} y")
    for path in written(tmp_path):
        assert any(form in path.read_bytes() for form in forms(secret)), path


def test_no_planted_key_is_in_anything_that_was_written(yard: Installation, planted: Planted) -> None:
    assert len(planted.secrets) > 3
    here = [path for place in planted.places for path in written(place)]
    # While it runs (with the database's WAL), and after it wrote its last.
    found = _found(here, planted)
    if yard.runs():
        for record in yard.json("containers", "list"):
            yard.done("containers", "delete", record["id"])
        yard.done("down")
    here = [path for place in planted.places for path in written(place)]
    names = {path.name for path in here}
    assert {"bawn.db", "bawn.log", "transcript", "master.key", "bawn.yaml"} <= names, names
    assert any(path.parent.name == "audit" for path in here)
    assert found | _found(here, planted) == set()


def _found(paths: list[Path], planted: Planted) -> set[str]:
    wanted = [form for secret in planted.secrets for form in forms(secret)]
    found = set()
    for path in paths:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # the database takes its WAL away when it is closed
        found |= {f"{path.name} holds a planted key" for form in wanted if form in content}
    return found
