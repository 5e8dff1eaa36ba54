"""Scripts of the operator, by management only: no door of a container leads here, and no mount holds them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from bawn.api.answers import data, envelope, ndjson, text
from bawn.api.caller import Caller
from bawn.api.keys import bare
from bawn.api.services import Scripts
from bawn.errors import Fault
from bawn.sdk import shapes

One = envelope("ScriptAnswer", script=shapes.Script)
Many = envelope("ScriptsAnswer", scripts=list[shapes.Script])
Workers = envelope("ScriptWorkersAnswer", workers=list[shapes.ScriptWorker])
Checked = envelope("ScriptChecksAnswer", files=list[shapes.ScriptCheck])
Tested = envelope("ScriptTestAnswer", answer=shapes.ScriptAnswer)
Secret = envelope("ScriptSecretAnswer", secret=shapes.ScriptSecret)
Secrets = envelope("ScriptSecretsAnswer", secrets=list[shapes.ScriptSecret])

Path = Annotated[str, Query(description="`project/exec/file`.", max_length=512)]
Project = Annotated[str, Query(max_length=63)]
Name = Annotated[str, Query(alias="exec", description="A number or a name.", max_length=51)]
_OPERATIONS = ("get", "set", "delete", "list")
_BATCHES = ("get", "set")


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Written(Asked):
    path: str = Field(max_length=512)
    content: str


class Which(Asked):
    project: str = Field("default", max_length=63)
    name: str = Field(alias="exec", max_length=51)


class Whose(Asked):
    project: str = Field("default", max_length=63)


class Test(Asked):
    name: str = Field(alias="exec", max_length=51)
    container: str = Field(max_length=63)
    path: str = Field(max_length=2048)
    method: str = Field("POST", pattern="^(GET|POST|PUT|PATCH|DELETE)$")
    body: str = ""


class Given(BaseModel):
    model_config = ConfigDict(extra="forbid")

    secret: SecretStr


def router(scripts: Scripts) -> APIRouter:
    routes = APIRouter(tags=["scripts"])

    @routes.get("/exec/scripts", response_model=Many)
    async def list_scripts(project: str | None = None) -> dict[str, Any]:
        return data(scripts=list(scripts.list(project)))

    @routes.get("/exec/workers", response_model=Workers)
    async def workers() -> dict[str, Any]:
        return data(workers=list(scripts.workers_told()))

    @routes.get("/exec/scripts/content", response_class=PlainTextResponse)
    async def content(path: Path) -> PlainTextResponse:
        return PlainTextResponse(await scripts.read(path), headers={"content-disposition": "attachment"})

    @routes.post("/exec/scripts/write", response_model=One)
    async def write(written: Written, by: Caller) -> dict[str, Any]:
        return data(script=await scripts.write(written.path, written.content, by))

    @routes.delete("/exec/scripts", status_code=204)
    async def remove(path: Path, by: Caller) -> None:
        await scripts.remove(path, by)

    @routes.post("/exec/scripts/check", response_model=Checked)
    async def check(which: Which) -> dict[str, Any]:
        return data(files=list(await scripts.check(which.project, which.name)))

    @routes.post("/exec/scripts/test", response_model=Tested)
    async def test(asked: Test, by: Caller) -> dict[str, Any]:
        return data(answer=await scripts.test(asked.name, asked.container, asked.method, asked.path, asked.body, by))

    @routes.post("/exec/scripts/install", response_class=StreamingResponse)
    async def install(which: Whose, by: Caller) -> StreamingResponse:
        return StreamingResponse(ndjson(scripts.install(which.project, by)), media_type="application/x-ndjson")

    @routes.get("/exec/scripts/logs", response_class=StreamingResponse)
    async def logs(name: Name, project: Project = "default", follow: bool = False) -> StreamingResponse:
        told = scripts.logs(project, name, follow)
        return StreamingResponse(text(told), media_type="text/plain; charset=utf-8")

    _kept(routes, scripts)
    return routes


def _kept(routes: APIRouter, scripts: Scripts) -> None:
    """What scripts are given, and what they keep."""

    @routes.get("/exec/secrets", response_model=Secrets)
    async def secrets() -> dict[str, Any]:
        return data(secrets=list(scripts.secrets()))

    @routes.put("/exec/secrets/{name}", response_model=Secret)
    async def put_secret(name: str, given: Given, by: Caller) -> dict[str, Any]:
        return data(secret=await scripts.put_secret(name, bare(given.secret), by))

    @routes.delete("/exec/secrets/{name}", status_code=204)
    async def remove_secret(name: str, by: Caller) -> None:
        await scripts.remove_secret(name, by)

    @routes.post("/sqlite/kv/{operation}")
    async def kv(operation: str, body: dict[str, Any], name: Name = "1", project: Project = "default") -> Any:
        return await scripts.kv(project, name, _known(operation, _OPERATIONS), body)

    @routes.post("/sqlite/kv/batch/{operation}")
    async def kv_batch(operation: str, body: dict[str, Any], name: Name = "1", project: Project = "default") -> Any:
        return await scripts.kv(project, name, f"batch/{_known(operation, _BATCHES)}", body)


def _known(operation: str, known: tuple[str, ...]) -> str:
    if operation not in known:
        raise Fault("http.unknown_path", f"There is no such operation; there are {', '.join(known)}.")
    return operation
