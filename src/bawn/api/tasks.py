"""Prompts for agents in fresh containers. The number of a task stands at the top of an answer as well, as `taskId`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, create_model

from bawn.api.answers import data, envelope
from bawn.api.caller import Caller
from bawn.api.services import Lifecycle, Tasks
from bawn.sdk import shapes
from bawn.tasks.asked import Said, Wanted
from bawn.tasks.task import Task

_Plain = envelope("TaskData", task=shapes.Task)
One: type[BaseModel] = create_model(
    "TaskAnswer",
    __base__=_Plain,
    taskId=(str, Field(description="The same as `data.task.id`.")),
    status=(str, Field(description="The same as `data.task.state`.")),
)
Many = envelope("TasksAnswer", tasks=list[shapes.Task])


def shown(task: Task, *, whole: bool) -> shapes.Task:
    return shapes.Task(
        id=task.id,
        state=task.state.value,
        mode=task.mode,
        model=task.model,
        exec=task.exec,
        by=task.by,
        project=task.project,
        depth=task.depth,
        created=task.created,
        begun=task.begun,
        ended=task.ended,
        container=task.container,
        parent_id=task.parent_uuid,
        exit_code=task.exit_code,
        because=task.because,
        input_tokens=task.input_tokens,
        output_tokens=task.output_tokens,
        cost_usd=None if task.cost_usd is None else float(task.cost_usd),
        callback=task.callback,
        callback_state=task.answer.value,
        callback_because=task.answer_because,
        prompt=task.prompt if whole else None,
        output=task.output if whole else None,
    )


def router(tasks: Tasks, lifecycle: Lifecycle) -> APIRouter:
    routes = APIRouter(prefix="/tasks", tags=["tasks"])

    def told(task: Task) -> dict[str, Any]:
        return {"taskId": task.id, "status": task.state.value, **data(task=shown(task, whole=True))}

    @routes.get("", response_model=Many)
    async def list_tasks(
        state: Said = "all",
        container: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        uuid = lifecycle.get(container).uuid if container is not None else None
        found = await tasks.list(None if state == "all" else state, uuid, limit)
        return data(tasks=[shown(task, whole=False) for task in found])

    @routes.post("", response_model=One, status_code=202)
    async def begin(wanted: Wanted, by: Caller) -> dict[str, Any]:
        return told(await tasks.begin(wanted, by))

    @routes.get("/{task_id}", response_model=One)
    async def show(task_id: str) -> dict[str, Any]:
        return told(await tasks.get(task_id))

    @routes.post("/{task_id}/execute", response_model=One, status_code=202)
    async def execute(task_id: str, by: Caller) -> dict[str, Any]:
        return told(await tasks.execute(task_id, by))

    @routes.delete("/{task_id}", response_model=One)
    async def cancel(task_id: str, by: Caller) -> dict[str, Any]:
        return told(await tasks.cancel(task_id, by))

    return routes
