"""What can be done with the answers of each wire beside reading them: found by the wire's name."""

from __future__ import annotations

from bawn.terms.exchange import WireName
from bawn.wire.anthropic_answers import AnthropicAnswers
from bawn.wire.editing import Answers
from bawn.wire.gemini_answers import ContentAnswers
from bawn.wire.openai_answers import ChatAnswers
from bawn.wire.responses_answers import ResponsesAnswers

_ANSWERS: dict[WireName, Answers] = {
    WireName.OPENAI: ChatAnswers(),
    WireName.RESPONSES: ResponsesAnswers(),
    WireName.ANTHROPIC: AnthropicAnswers(),
    WireName.GEMINI: ContentAnswers(),
}


def answers(wire: WireName) -> Answers:
    """Those of that wire; they have no state, their editors have."""
    return _ANSWERS[wire]
