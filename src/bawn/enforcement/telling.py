"""What happened, as commands and webhooks are told of it. What is not known is empty, never left out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bawn.rules.happening import Happening
from bawn.rules.model import EventName

LONGEST = 96 * 1024
"""Bytes of one variable: the kernel takes no more than 128 KiB; on standard input everything stands whole."""


def body(happened: Happening, now: datetime) -> dict[str, Any]:
    """The JSON object of a webhook."""
    told: dict[str, Any] = {
        "event": happened.event.value,
        "sessionID": happened.session,
        "sessionTitle": happened.title,
        "tags": sorted(happened.tags),
        "directory": happened.directory,
        "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "toolName": happened.tool,
        "messageRole": happened.role,
    }
    if happened.event is EventName.SESSION_ERROR:
        told["error"] = happened.error
    return told


def whole(happened: Happening, now: datetime) -> dict[str, Any]:
    """What a command reads on its standard input: the object of a webhook and everything else."""
    return {
        **body(happened, now),
        "container": happened.container,
        "containerRole": happened.container_role,
        "operatorTags": sorted(happened.operator_tags),
        "projectID": happened.project,
        "toolInput": happened.tool_input,
        "toolOutput": happened.tool_output,
        "messageContent": _message(happened),
        "error": happened.error,
    }


def environment(happened: Happening) -> dict[str, str]:
    """The variables of a command."""
    values = {
        "MITM_EVENT": happened.event.value,
        "MITM_SESSION_ID": happened.session,
        "MITM_SESSION_TITLE": happened.title,
        "MITM_TAGS": ",".join(sorted(happened.tags)),
        "MITM_DIRECTORY": happened.directory,
        "MITM_PROJECT_ID": happened.project,
        "MITM_TOOL_NAME": happened.tool,
        "MITM_TOOL_INPUT": happened.tool_input,
        "MITM_TOOL_OUTPUT": happened.tool_output,
        "MITM_MESSAGE_ROLE": happened.role,
        "MITM_MESSAGE_CONTENT": _message(happened),
        "MITM_ERROR_MESSAGE": happened.error,
    }
    return {name: _variable(value) for name, value in values.items()}


def _message(happened: Happening) -> str:
    return happened.text if happened.event in (EventName.CHAT_MESSAGE, EventName.SYSTEM) else ""


def _variable(value: str) -> str:
    data = value.replace("\0", "").encode("utf-8", "replace")
    return data[:LONGEST].decode("utf-8", "ignore")
