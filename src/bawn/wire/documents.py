"""temporary"""

from __future__ import annotations

from bawn.terms.exchange import Exchange
from bawn.wire.document import RequestDocument


def document(exchange: Exchange) -> RequestDocument | None:
    return None
