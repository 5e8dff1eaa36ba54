"""The hot path of the gateway as machine code, when it was built from exactly the sources that stand here.

`python -m bawn.app.compile` has mypyc translate `MODULES`, unchanged, into a folder that is named by the digest of all
sources of their rooms and of the interpreter. `use` lets the import of these modules find them there. Where
the folder is missing, because nothing was built, there is no compiler, or a line was changed since, the same
modules are read as Python and do the same, at half the speed; so what was built can be absent, never stale.

What the translator does otherwise than Python, found by running all tests over both: keywords of a class are
lost (`terms/value.py`), a name bound by two `except` has one type, the types of fields are simplified, and a
slice of bytes must not end before it begins. `BAWN_TEST_COMPILED=1 pytest …` is that run.

Standard library only, and imported before anything that it is about.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

MODULES = (
    "bawn.app.clock",
    "bawn.audit.recorder",
    "bawn.audit.records",
    "bawn.audit.redact",
    "bawn.config.patterns",
    "bawn.enforcement.enforcer",
    "bawn.enforcement.judge",
    "bawn.enforcement.keys",
    "bawn.enforcement.stage",
    "bawn.enforcement.standing",
    "bawn.enforcement.turn",
    "bawn.gateway.admission",
    "bawn.gateway.answer",
    "bawn.gateway.call",
    "bawn.gateway.carrying",
    "bawn.gateway.catalogue",
    "bawn.gateway.closing",
    "bawn.gateway.connection",
    "bawn.gateway.credentials",
    "bawn.gateway.doors",
    "bawn.gateway.http1",
    "bawn.gateway.interception",
    "bawn.gateway.opening",
    "bawn.gateway.passage",
    "bawn.gateway.permissions",
    "bawn.gateway.pipeline",
    "bawn.gateway.pool",
    "bawn.gateway.relay",
    "bawn.gateway.reply",
    "bawn.gateway.running",
    "bawn.gateway.server",
    "bawn.gateway.sessions",
    "bawn.gateway.stage_times",
    "bawn.gateway.toolgate",
    "bawn.gateway.upstream",
    "bawn.gateway.works",
    "bawn.guardrails.batches",
    "bawn.guardrails.books",
    "bawn.guardrails.ledger",
    "bawn.guardrails.prices",
    "bawn.guardrails.usage",
    "bawn.rules.matching",
    "bawn.stages.asked",
    "bawn.terms.stamp",
    "bawn.wire.answers",
    "bawn.wire.anthropic",
    "bawn.wire.anthropic_calls",
    "bawn.wire.anthropic_document",
    "bawn.wire.anthropic_stream",
    "bawn.wire.documents",
    "bawn.wire.editable",
    "bawn.wire.editing_faults",
    "bawn.wire.endpoints",
    "bawn.wire.fields",
    "bawn.wire.gemini",
    "bawn.wire.gemini_calls",
    "bawn.wire.gemini_document",
    "bawn.wire.gemini_request",
    "bawn.wire.gemini_stream",
    "bawn.wire.holding",
    "bawn.wire.json_text",
    "bawn.wire.just_read",
    "bawn.wire.openai",
    "bawn.wire.openai_answers",
    "bawn.wire.openai_calls",
    "bawn.wire.openai_choices",
    "bawn.wire.openai_document",
    "bawn.wire.openai_stream",
    "bawn.wire.plain_object",
    "bawn.wire.responses",
    "bawn.wire.responses_calls",
    "bawn.wire.responses_document",
    "bawn.wire.responses_stream",
    "bawn.wire.sse",
    "bawn.wire.stream_reading",
    "bawn.wire.usage",
    "bawn.wire.ways_out",
)
"""What a call runs through. Not among them: modules whose values are read from JSON, since of the types of their
fields only those that the translator knows would be left."""

GROUP = "bawn_hot"
"""The name of the library that holds all of them; each module is a shell that takes its part out of it."""

OFF = "BAWN_INTERPRETED"
"""An environment variable by which what was built is left aside."""

_PACKAGE = Path(__file__).parent.parent
_ROOMS = (
    "audit", "config", "enforcement", "gateway", "guardrails", "identity", "rules", "stages", "store", "terms", "vault", "wire",
)  # fmt: skip
_FILES = ("app/clock.py", "errors.py")
_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


def source(module: str) -> Path:
    return _PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")


def folder() -> Path:
    """Where what is built from these sources stands, or would."""
    digest = hashlib.sha256(f"{sys.version} {_SUFFIX} {MODULES}".encode())
    paths = [path for room in _ROOMS for path in sorted((_PACKAGE / room).rglob("*.py"))]
    for path in (*(_PACKAGE / name for name in _FILES), *paths):
        text = path.read_bytes()
        digest.update(f"\n{path.relative_to(_PACKAGE)} {len(text)}\n".encode() + text)
    return _PACKAGE / "_compiled" / digest.hexdigest()[:24]


def use() -> bool:
    """From now on these modules are imported as machine code, if that was built; answers whether it was."""
    if os.environ.get(OFF) or any(module in sys.modules for module in MODULES):
        return False
    built = folder()
    places = {module: built / f"{module}{_SUFFIX}" for module in (*MODULES, f"{GROUP}__mypyc")}
    if not all(place.is_file() for place in places.values()):
        return False
    sys.meta_path.insert(0, _Built(places))
    return True


class _Built:
    """Finds what was built."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        self._places = places

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = self._places.get(fullname)
        if place is None:
            return None
        return spec_from_file_location(fullname, place, loader=ExtensionFileLoader(fullname, str(place)))
