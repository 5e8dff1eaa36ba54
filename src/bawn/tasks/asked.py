"""What may be asked for, and what it means: pure, with the settings as an argument.

An address of a model is never taken as it is. It chooses one of the doors that every container has, the models' own or the
scripts of its project; any other is refused, since no container reaches other addresses. A callback goes to a script of the
same project, or to an address that the operator wrote down.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bawn.errors import Fault, quoted
from bawn.identity.record import LABEL, MAX_TASK_CHARACTERS, invalid, storable
from bawn.tasks.settings import Tasks, allowed_origins, origin_of

MODELS = "http://ai.bawn.internal/api/v1"

_EXEC = r"exec-([1-9][0-9]{0,5}|[a-z][a-z0-9-]{0,50})\.bawn\.internal"
_DOOR = re.compile(rf"http://(?:ai\.bawn\.internal|{_EXEC})(?::80)?(?:/api/v1)?/?", re.IGNORECASE)
_CALLBACK = re.compile(rf"http://{_EXEC}(?::80)?(/[!-~]*)?", re.IGNORECASE)
_OWN_KEY = re.compile(r"(?:Bearer )?container-[A-Za-z0-9-]{1,63}")


class AiConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    base_url: str = Field(default=MODELS, max_length=200, description="The door that the agent's calls take.")
    api_key: str = Field(
        default="", max_length=200, description="`container-…`, and ignored: the container has its own."
    )
    model: str = Field(default="", max_length=512, description="Empty: the configured default.")


class Wanted(BaseModel):
    """What a task shall be."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(min_length=1, max_length=MAX_TASK_CHARACTERS)
    ai_config: AiConfig = Field(default_factory=AiConfig)
    auto_execute: bool = Field(True, description="False: it waits until somebody executes it.")
    mode: str = Field("code", max_length=32, description="One of `tasks.commands`.")
    callback_url: str | None = Field(None, max_length=2000, description="Told of the end.")
    report_to: str | None = Field(None, max_length=2000, description="Another word for `callback_url`.")
    role: str | None = Field(None, max_length=63, description="Of the container; only an operator names one.")
    project: str | None = Field(
        None, max_length=63, description="Of the container; a task of a container has that one's."
    )


class Asked(Struct, frozen=True):
    """The same, judged."""

    prompt: str
    mode: str
    model: str
    exec: str
    callback: str
    execute: bool
    project: str
    role: str


class ScriptCallback(Struct, frozen=True):
    """A callback that goes to a script of the project."""

    exec: str
    path: str
    """With its query."""


def wanted_of(body: dict[str, Any]) -> Wanted:
    """What a script asks for. Fault `request.invalid`."""
    try:
        return Wanted.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Fault("request.invalid", f"{quoted(field)} does not fit: {first['msg']}.") from None


def judged(wanted: Wanted, settings: Tasks, *, scripts: bool) -> Asked:
    """`scripts`: whether its callback may go to a script. Faults `api.invalid`, `task.address_refused`."""
    if not storable(wanted.prompt) or not wanted.prompt.strip():
        raise Fault("api.invalid", "The prompt is empty, or holds characters that no program can be given.")
    if wanted.mode not in settings.commands:
        known = ", ".join(sorted(settings.commands)) or "none"
        raise Fault("api.invalid", f"There is no mode {quoted(wanted.mode)}.", remedy=f"Modes here: {known}.")
    if wanted.ai_config.api_key and not _OWN_KEY.fullmatch(wanted.ai_config.api_key):
        raise Fault(
            "api.invalid",
            "`ai_config.api_key` is not of the form container-…; keys of providers are given to nobody.",
            remedy="Leave it out; the fresh container has a key of its own.",
        )
    for field, value in (("project", wanted.project), ("role", wanted.role)):
        if value and not LABEL.fullmatch(value):
            raise invalid(field, value, "is of letters, digits, dots, hyphens and underscores, at most 63")
    told = [each for each in (wanted.callback_url, wanted.report_to) if each]
    if len(set(told)) > 1:
        raise Fault("api.invalid", "`callback_url` and `report_to` are two words for one address.")
    callback = told[0] if told else ""
    if callback:
        _permit_callback(callback, settings, scripts=scripts)
    return Asked(
        prompt=wanted.prompt,
        mode=wanted.mode,
        model=wanted.ai_config.model,
        exec=exec_of(wanted.ai_config.base_url),
        callback=callback,
        execute=wanted.auto_execute,
        project=wanted.project or "",
        role=wanted.role or "",
    )


def exec_of(base_url: str) -> str:
    """The exec that an address means; empty for the models' own door. Fault `task.address_refused` for any other."""
    found = _DOOR.fullmatch(base_url)
    if found is None:
        raise Fault(
            "task.address_refused",
            f"{quoted(base_url)} is no door of a container.",
            remedy=f"Use {MODELS}, or http://exec-1.bawn.internal/api/v1 for scripts of the project.",
        )
    return (found[1] or "").lower()


def base_url(exec_: str) -> str:
    """The address of that door inside a container."""
    return f"http://exec-{exec_}.bawn.internal/api/v1" if exec_ else MODELS


def script_callback(url: str) -> ScriptCallback | None:
    """None: it is no address of a script."""
    found = _CALLBACK.fullmatch(url)
    return ScriptCallback(found[1].lower(), found[2] or "/") if found is not None and "#" not in url else None


def _permit_callback(url: str, settings: Tasks, *, scripts: bool) -> None:
    if script_callback(url) is not None:
        if not scripts:
            raise Fault(
                "task.address_refused", "A script is told in the name of a container, and no container asked for this."
            )
        return
    origin = origin_of(url)
    if origin is None or origin not in allowed_origins(settings.callbacks):
        host = quoted(urlsplit(url).netloc if origin is not None else url)
        raise Fault(
            "task.address_refused",
            f"Nothing may be told to {host}.",
            remedy="Use a script of the project, or ask the operator to name the host in `tasks.callbacks`.",
        )


def command(words: tuple[str, ...], asked_prompt: str, model: str, address: str) -> list[str]:
    """The agent's command. The prompt is put in last, so that nothing in it is read as a place to fill."""
    return [
        asked_prompt if word == "{prompt}" else word.replace("{model}", model).replace("{base_url}", address)
        for word in words
    ]


Said = Literal["waiting", "running", "completed", "failed", "timed_out", "cancelled", "all"]
