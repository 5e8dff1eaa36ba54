"""The management API as one ASGI application, from the services behind it.

It trusts that a guard stands before it (`api.security`), which puts the operator into the scope; without one
no route that names its caller can run. There are no pages here that would load anything from elsewhere.
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from bawn import __version__
from bawn.api import (
    approvals,
    audit,
    config,
    containers,
    credentials,
    egress,
    execution,
    files,
    images,
    keys,
    knowledge,
    models,
    notify,
    operators,
    ports,
    rules,
    scripts,
    status,
    tasks,
    transforms,
    usage,
    workspaces,
)
from bawn.api.answers import on_fault, on_http_error, on_invalid
from bawn.api.roles import ROOT
from bawn.api.security import Unbroken
from bawn.api.services import Services
from bawn.errors import Fault


def build(services: Services) -> FastAPI:
    app = FastAPI(
        title="Bawn",
        version=__version__,
        summary="The management API of one Bawn installation.",
        openapi_url=f"{ROOT}/openapi.json",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        # Inside the framework's own last resort, which would answer in words of its own.
        middleware=[Middleware(Unbroken)],
        exception_handlers={
            Fault: on_fault,
            RequestValidationError: on_invalid,
            HTTPException: on_http_error,
        },
    )
    nouns: list[APIRouter] = [
        containers.router(services.lifecycle),
        execution.router(services.lifecycle),
        files.router(services.files),
        egress.router(services.egress),
        credentials.router(services.credentials),
        scripts.router(services.scripts),
        workspaces.router(services.workspaces),
        ports.router(services.ports),
        keys.router(services.keys),
        operators.router(services.operators),
        usage.router(services.usage),
        status.router(services.status),
        models.router(services.models, services.providers),
        images.router(services.images),
        config.router(services.config),
        audit.router(services.audit),
        transforms.router(services.transforms),
        knowledge.router(services.knowledge),
        rules.replaying(services.replays),
        rules.router(services.rules),
        rules.rule_packs(services.rules),
        rules.sessions(services.rules),
        approvals.router(services.approvals, services.lifecycle),
        notify.router(services.notices),
        tasks.router(services.tasks, services.lifecycle),
    ]
    for noun in nouns:
        app.include_router(noun, prefix=ROOT)
    return app
