"""Notices to the people who run this installation, sent by one of them or by a program with a token of theirs."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.notify.notice import ACTIONS, URL, Action, Notice, Priority
from bawn.notify.notices import Notices
from bawn.sdk import shapes
from bawn.terms.principal import label

One = envelope("NoticeAnswer", notice=shapes.NoticeSent)


class Pressed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: str = Field(min_length=1, max_length=200)
    method: Literal["GET", "POST"] = "GET"
    url: str = Field(min_length=1, max_length=URL)


class Sent(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=1000)
    message: str = Field("", max_length=64 * 1024)
    priority: Priority = Priority.NORMAL
    icon: str = Field("", max_length=200)
    actions: list[Pressed] = Field(default_factory=list, max_length=ACTIONS)


def router(notices: Notices) -> APIRouter:
    routes = APIRouter(prefix="/notify", tags=["notify"])

    @routes.post("", response_model=One, status_code=202)
    async def notify(sent: Sent, by: Caller) -> dict[str, Any]:
        notice = Notice(
            title=sent.title,
            message=sent.message,
            priority=sent.priority,
            icon=sent.icon,
            actions=tuple(Action(each.label, each.url, each.method) for each in sent.actions),
        )
        id_ = await notices.send(notice, by=label(by))
        return data(notice=shapes.NoticeSent(id_, notices.sinks))

    return routes
