"""What a person may put in place of what a model wrote: as plain as that had to be, and not longer."""

from __future__ import annotations

from bawn.approvals.question import Kind, Question
from bawn.errors import Fault
from bawn.wire.json_text import NotPlain, read_plain

MAX_CHARACTERS = 256 * 1024
"""Of what is asked about: more than anybody reads is not approved unread."""


def sound(question: Question, arguments: str) -> None:
    """Fault `api.invalid` for arguments that could not be released."""
    if len(arguments) > MAX_CHARACTERS:
        raise Fault("api.invalid", f"The arguments have more than {MAX_CHARACTERS} characters.")
    try:
        data = arguments.encode("utf-8")
        plain = question.text or question.kind is Kind.QUESTION or isinstance(read_plain(data), dict)
    except UnicodeEncodeError:
        raise Fault("api.invalid", "The arguments hold half a surrogate pair.") from None
    except NotPlain as error:
        raise Fault("api.invalid", f"The arguments are not plain JSON: {error}.") from None
    if not plain:
        raise Fault("api.invalid", "The arguments are not a JSON object.")
