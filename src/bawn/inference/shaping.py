"""An utterance in the form of the wire that it was asked for by."""

from __future__ import annotations

from collections.abc import Iterator

from bawn.inference import anthropic_shape, converse_shape, gemini_shape, openai_shape, responses_shape
from bawn.inference.answer import EVENTS, JSON, Answer
from bawn.inference.conversation import Conversation, Wire
from bawn.inference.forms import heads
from bawn.inference.utterance import Utterance

_BINARY_EVENTS = (("content-type", "application/vnd.amazon.eventstream"),)


def shaped(utterance: Utterance, conversation: Conversation, now: int, *, events: bool = True) -> Answer:
    """The right answer; without `events`, a stream in the other form that its wire has."""
    headers: tuple[tuple[str, str], ...] = JSON
    if conversation.stream and events:
        headers = _BINARY_EVENTS if conversation.wire is Wire.CONVERSE else EVENTS
    return Answer(
        status=200,
        headers=headers,
        body=b"" if conversation.stream else _plain(utterance, conversation, now),
        frames=_frames(utterance, conversation, now, events=events) if conversation.stream else None,
        first_byte_s=utterance.first_byte_s,
        first_token_s=utterance.first_token_s,
        per_token_s=utterance.per_token_s,
        extra=heads(conversation.wire, conversation.seed),
    )


def _plain(utterance: Utterance, conversation: Conversation, now: int) -> bytes:
    match conversation.wire:
        case Wire.OPENAI:
            return openai_shape.plain(utterance, now)
        case Wire.RESPONSES:
            whole = responses_shape.whole(utterance, conversation, now)
            return responses_shape.as_json(
                responses_shape.queued(whole) if conversation.asked.get("background") else whole
            )
        case Wire.ANTHROPIC:
            return anthropic_shape.plain(utterance)
        case Wire.GEMINI:
            return gemini_shape.plain(utterance)
        case Wire.CONVERSE:
            return converse_shape.plain(utterance)


def _frames(utterance: Utterance, conversation: Conversation, now: int, *, events: bool) -> Iterator[bytes]:
    match conversation.wire:
        case Wire.OPENAI:
            return openai_shape.frames(utterance, now, conversation.include_usage)
        case Wire.RESPONSES:
            return responses_shape.frames(utterance, conversation, now)
        case Wire.ANTHROPIC:
            return anthropic_shape.frames(utterance)
        case Wire.GEMINI:
            return gemini_shape.frames(utterance) if events else gemini_shape.listed(utterance)
        case Wire.CONVERSE:
            return converse_shape.frames(utterance)
