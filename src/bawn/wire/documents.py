"""From a call to its document, by what is asked for: a table."""

from __future__ import annotations

from collections.abc import Callable

from bawn.terms.exchange import Endpoint, Exchange, WireName
from bawn.wire.anthropic_document import MessagesDocument
from bawn.wire.document import RequestDocument
from bawn.wire.gemini_document import GeminiDocument
from bawn.wire.openai_document import ChatDocument
from bawn.wire.responses_document import ResponsesDocument

_DOCUMENTS: dict[tuple[WireName, Endpoint], Callable[[Exchange], RequestDocument]] = {
    (WireName.OPENAI, Endpoint.CHAT_COMPLETIONS): ChatDocument,
    (WireName.RESPONSES, Endpoint.RESPONSES): ResponsesDocument,
    (WireName.ANTHROPIC, Endpoint.MESSAGES): MessagesDocument,
    (WireName.GEMINI, Endpoint.GENERATE): GeminiDocument,
}


def document(exchange: Exchange) -> RequestDocument | None:
    """The request as it may be read and changed; None for what is no conversation. The exchange was read by its wire."""
    kind = _DOCUMENTS.get((exchange.wire, exchange.endpoint))
    return None if kind is None else kind(exchange)
