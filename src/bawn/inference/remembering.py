"""What a response brings along of earlier ones, and what is kept of it: the server side of OpenAI's responses."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from bawn.inference import responses_shape
from bawn.inference.conversation import Conversation
from bawn.inference.kept import Kept, Refused, Thing
from bawn.inference.openai_objects import as_item
from bawn.inference.utterance import Utterance


def recalled(kept: Kept, body: dict[str, Any]) -> dict[str, Any]:
    """The request with the items before it that it only names. Raises `Refused` when they are not kept."""
    previous, conversation = body.get("previous_response_id"), _conversation(body)
    if previous is not None and conversation is not None:
        raise Refused(400, "Mutually exclusive parameters: 'conversation' and 'previous_response_id'.")
    items = responses_shape.items_of(body)
    if conversation is not None:
        return body | {"input": kept.found("conversation", conversation).inner + items}
    if previous is None:
        return body
    before = kept.get("response", previous)
    if before is None:
        raise Refused(400, f"Previous response with id '{previous}' not found.", "previous_response_not_found")
    return body | {"input": before.inner + before.value["output"] + items}


def numbered(kept: Kept, conversation: Conversation) -> Conversation:
    """With ids of its own, when an equal request was answered and kept before."""
    if kept.get("response", f"resp_{conversation.seed[:24]}") is None:
        return conversation
    return replace(conversation, seed=kept.new_id("", conversation.seed[:18]).ljust(24, "0") + conversation.seed[24:])


def remember(kept: Kept, conversation: Conversation, utterance: Utterance, now: int, asked: dict[str, Any]) -> None:
    """Keeps the response, unless it was asked not to; `asked` is the request as it came."""
    response = responses_shape.whole(utterance, conversation, now)
    name = _conversation(asked)
    if name is not None and (thing := kept.get("conversation", name)) is not None:
        new = [as_item(item, kept.new_id("msg_", conversation.seed)) for item in responses_shape.items_of(asked)]
        thing.inner = thing.inner + new + response["output"]
    if asked.get("store") is False:
        return
    given = responses_shape.items_of(conversation.asked)
    items = [as_item(item, f"msg_{index}{conversation.seed[:20]}") for index, item in enumerate(given)]
    size = 4 * len(conversation.whole) + 4000
    kept.put(Thing("response", response["id"], response, inner=items), size)


def _conversation(body: dict[str, Any]) -> str | None:
    given = body.get("conversation")
    return given["id"] if isinstance(given, dict) else given
