"""Rules over conversations: those that hold, those that operators add, what they did, and trials of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.services import Replays, Rules
from bawn.sdk import shapes
from bawn.terms.principal import Operator, Role

HIDDEN = "•••"
Many = envelope("RulesAnswer", rules=list[shapes.Rule])
One = envelope("RuleAnswer", rule=shapes.Rule)
Packs = envelope("RulePacksAnswer", packs=list[shapes.RulePack])
Pack = envelope("RulePackAnswer", pack=shapes.RulePack)
Verdict = envelope("RulesVerdictAnswer", verdict=shapes.ConfigVerdict)
Trials = envelope("RuleTrialsAnswer", trials=list[shapes.RuleTrial])
Replay = envelope("RuleReplayAnswer", replay=shapes.RuleReplay)
Firings = envelope("RuleFiringsAnswer", firings=list[shapes.RuleFiring])
_Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]


class Written(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rule: dict[str, Any] = Field(description="As it stands in `mitm.rules`.")


class Candidate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=2**20)
    name: str = Field("rules.json", max_length=200, description="What the file is called; its ending says the format.")


class Trial(BaseModel):
    model_config = ConfigDict(extra="forbid")

    event: dict[str, Any]
    text: str | None = Field(None, max_length=2**20, description="A file of rules; without it those that hold.")
    name: str = Field("rules.json", max_length=200)


class Replaying(BaseModel):
    model_config = ConfigDict(extra="forbid")

    session: str = Field(min_length=1, max_length=200, description="As `GET /rules/log` names it.")
    container: str | None = Field(
        None, max_length=64, description="Its name or uuid, where several have such a session."
    )
    text: str | None = Field(None, max_length=2**20, description="A file of rules; without it those that hold.")
    name: str = Field("rules.json", max_length=200)
    rule: str | None = Field(None, max_length=64, description="Only this rule, also where it is not enabled.")
    since: AwareDatetime | None = Field(None, description="Only calls that began then or later.")
    limit: int = Field(200, ge=1, le=1000, description="The first of these calls, at most so many.")


class Tagged(BaseModel):
    model_config = ConfigDict(extra="forbid")

    container: str = Field(max_length=64)
    session: str = Field(min_length=1, max_length=200)
    tags: list[_Tag] = Field(max_length=32)


def without_secrets(written: Mapping[str, Any]) -> dict[str, Any]:
    """A rule for those who may not change it: of a webhook's address only the host, of its headers only the names, since both
    are where receivers want their tokens."""
    action = written.get("action")
    if not isinstance(action, Mapping) or action.get("type") != "webhook":
        return dict(written)
    parts = urlsplit(str(action.get("url")))
    shown = {**action, "url": f"{parts.scheme}://{parts.netloc}/{HIDDEN}"}
    if isinstance(headers := action.get("headers"), Mapping):
        shown["headers"] = dict.fromkeys(headers, HIDDEN)
    return {**written, "action": shown}


def _for(by: Operator, rule: shapes.Rule) -> shapes.Rule:
    return rule if by.may(Role.ADMIN) else replace(rule, written=without_secrets(rule.written))


def router(rules: Rules) -> APIRouter:
    routes = APIRouter(prefix="/rules", tags=["rules"])

    @routes.get("", response_model=Many)
    async def list_rules(by: Caller) -> dict[str, Any]:
        return data(rules=[_for(by, rule) for rule in rules.list()])

    @routes.post("", response_model=One)
    async def add(written: Written, by: Caller) -> dict[str, Any]:
        return data(rule=await rules.add(written.rule, by))

    @routes.get("/log", response_model=Firings)
    async def log(
        by: Caller,
        limit: Annotated[int, Query(ge=1, le=2000)] = 100,
        rule: Annotated[str | None, Query(max_length=64)] = None,
    ) -> dict[str, Any]:
        found = rules.log(limit, rule)
        if not by.may(Role.APPROVER):
            found = [replace(each, printed="") for each in found]
        return data(firings=list(found))

    @routes.post("/check", response_model=Verdict)
    async def check(candidate: Candidate) -> dict[str, Any]:
        return data(verdict=await rules.check_text(candidate.text, candidate.name))

    @routes.post("/test", response_model=Trials)
    async def test(trial: Trial) -> dict[str, Any]:
        return data(trials=list(await rules.test(trial.event, trial.text, trial.name)))

    @routes.get("/{rule}", response_model=One)
    async def get(rule: str, by: Caller) -> dict[str, Any]:
        return data(rule=_for(by, rules.get(rule)))

    @routes.put("/{rule}", response_model=One)
    async def edit(rule: str, written: Written, by: Caller) -> dict[str, Any]:
        return data(rule=await rules.edit(rule, written.rule, by))

    @routes.delete("/{rule}", status_code=204)
    async def delete(rule: str, by: Caller) -> None:
        await rules.delete(rule, by)

    @routes.post("/{rule}/enable", response_model=One)
    async def enable(rule: str, by: Caller) -> dict[str, Any]:
        return data(rule=await rules.enable(rule, True, by))

    @routes.post("/{rule}/disable", response_model=One)
    async def disable(rule: str, by: Caller) -> dict[str, Any]:
        return data(rule=await rules.enable(rule, False, by))

    return routes


def replaying(replays: Replays) -> APIRouter:
    routes = APIRouter(prefix="/rules", tags=["rules"])

    @routes.post("/replay", response_model=Replay)
    async def replay(wanted: Replaying, by: Caller) -> dict[str, Any]:
        return data(replay=await replays.replay(by=by, **wanted.model_dump()))

    return routes


def rule_packs(rules: Rules) -> APIRouter:
    routes = APIRouter(prefix="/rule-packs", tags=["rules"])

    @routes.get("", response_model=Packs)
    async def list_packs() -> dict[str, Any]:
        return data(packs=list(rules.packs()))

    @routes.put("/{pack}", response_model=Pack)
    async def add_pack(pack: str, by: Caller) -> dict[str, Any]:
        return data(pack=await rules.add_pack(pack, by))

    @routes.delete("/{pack}", status_code=204)
    async def remove_pack(pack: str, by: Caller) -> None:
        await rules.remove_pack(pack, by)

    return routes


def sessions(rules: Rules) -> APIRouter:
    routes = APIRouter(prefix="/sessions", tags=["rules"])

    @routes.put("/tags", status_code=204)
    async def tag(tagged: Tagged, by: Caller) -> None:
        await rules.tag(tagged.container, tagged.session, tagged.tags, by)

    return routes
