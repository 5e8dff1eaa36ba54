"""What a person is asked, and the digest that stands for it.

The digest covers everything that the answer rests on: who asks, in which conversation, of which tool, with which
arguments, and under which policy. Two questions with one digest are one question, so a retry joins the ticket that is
open; a question that differs in anything is another one. What is only said about it (`because`) is not part of it.

A conversation that nobody names is known by its history, and its first request has none; so a client that makes the very
same request again would be in another conversation. `request` tells: an equal request is in the conversation of the first.
"""

from __future__ import annotations

from enum import StrEnum

from bawn.terms.canonical import digest
from bawn.terms.value import Value


class Kind(StrEnum):
    TOOL = "tool"
    """A tool call that a model proposes."""
    QUESTION = "question"
    """Something that a script of the operator wants to know."""


class Question(Value, frozen=True):
    kind: Kind
    container_uuid: str
    container: str
    """Its name; for people only, since another container may have it later."""
    session: str
    title: str = ""
    """Of a script's question."""
    because: str = ""
    """Why a person is asked."""
    server: str = ""
    """The tool server that offers the tool; empty for a tool of the container's own."""
    schema: str = ""
    """Hash of the tool as it was offered to the model; empty where it was not offered."""
    tool: str = ""
    arguments: str = ""
    """Exactly as the model wrote them; of a script's question its message."""
    text: bool = False
    """Whether the tool takes a text instead of a JSON object."""
    payload: str = ""
    """Digest of what a script's question is about."""
    script: str = ""
    """Hash of the file that the call would run, where whoever asks knows it."""
    policy: str = ""
    """Which version of the policy made it a question."""
    request: str = ""
    """Hash of the request whose answer proposes the call. Not in the digest: it says which conversation it is."""


def digest_of(question: Question) -> str:
    """SHA-256 in hexadecimal. ValueError when a text of it is no Unicode."""
    return digest(
        {
            "container": question.container_uuid,
            "kind": question.kind.value,
            "session": question.session,
            "title": question.title,
            "server": question.server,
            "schema": question.schema,
            "tool": question.tool,
            "arguments": question.arguments,
            "text": question.text,
            "payload": question.payload,
            "script": question.script,
            "policy": question.policy,
        }
    )
