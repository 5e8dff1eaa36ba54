"""What a value is made of, in modules that may be translated (`app/compiled.py`).

The translator drops the keywords of a class: `class Target(Struct, frozen=True)` would come out of it as
something that can be changed. What its base class is, a value is as well; so it has that from here, and says
it again for the type checker and the reader.
"""

from __future__ import annotations

from msgspec import Struct


class Value(Struct, frozen=True):
    """Compared by what it holds, never changed."""
