"""Tasks over the management API and in the name of containers; the agents are processes of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pytest
from msgspec import structs
from tests.api.yard import Yard

from bawn.api.roles import ROOT
from bawn.errors import Fault
from bawn.guardrails.usage import UsageRow
from bawn.identity.record import NewContainer, Record
from bawn.tasks.asked import Wanted
from bawn.tasks.settings import Tasks
from bawn.tasks.task import Answer, State, Task
from bawn.terms.principal import Container, Internal, Operator, Role

ADA = Operator("ada", frozenset({Role.ADMIN}))
HOOK = "https://hooks.example.org/done"


@pytest.fixture
async def client(yard: Yard) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(yard.path))
    async with httpx.AsyncClient(transport=transport, base_url="http://bawn") as client:
        yield client


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


async def ended(yard: Yard, id_: str) -> Task:
    async with asyncio.timeout(10):
        while not (task := await yard.tasks.get(id_)).over or task.answer is Answer.PENDING:
            await asyncio.sleep(0.005)
    return task


def wanted(prompt: str = "echo done", **more: Any) -> Wanted:
    return Wanted.model_validate({"prompt": prompt} | more)


async def box(yard: Yard, name: str, project: str = "default") -> tuple[Record, Internal]:
    """A container, and Bawn on behalf of it."""
    record = await yard.registry.create(NewContainer(name=name, project=project, image="base", runtime="bubblewrap"))
    return record, Internal(record.container, 1)


def events(yard: Yard, name: str) -> list[dict[str, str]]:
    return [
        {"principal": each.principal, "cause": each.cause, "container": each.container, **dict(each.detail)}
        for each in yard.log.events
        if each.event == name
    ]


def _begun(yard: Yard, commands: int) -> bool:
    return len(yard.boxes.commands) == commands


def boxes_left(yard: Yard) -> list[str]:
    return [record.name for record in yard.registry.list() if record.ephemeral]


def changed(yard: Yard, **settings: Any) -> None:
    yard.task_settings = Tasks.model_validate(yard.task_settings.model_dump() | settings)


async def test_a_task_is_asked_for_as_the_short_path_has_it_runs_and_can_be_looked_at(
    yard: Yard, client: httpx.AsyncClient
) -> None:
    yard.used = UsageRow("", 1, "", 1, 0, 210, 18, 0, Decimal("0.25"), 0)
    body = {
        "prompt": 'echo "$MODEL $BASE"',
        "ai_config": {"base_url": "http://ai.bawn.internal/api/v1", "api_key": "container-1", "model": "scripted/demo"},
        "callback_url": HOOK,
    }
    answer = await client.post("/api/tasks", json=body)
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    id_ = answer.json()["taskId"]
    await ended(yard, id_)
    shown = (await client.get(f"/api/tasks/{id_}")).json()
    assert (shown["taskId"], shown["status"]) == (id_, "completed")
    task = shown["data"]["task"]
    assert task["output"] == "scripted/demo http://ai.bawn.internal/api/v1"
    assert (task["exit_code"], task["input_tokens"], task["cost_usd"]) == (0, 210, 0.25)
    assert yard.hook.heard == [
        (
            HOOK,
            {
                "taskId": id_,
                "status": "completed",
                "exitCode": 0,
                "output": "scripted/demo http://ai.bawn.internal/api/v1",
                "error": "",
                "mode": "code",
                "model": "scripted/demo",
                "usage": {"input_tokens": 210, "output_tokens": 18, "cost_usd": 0.25},
                "container": task["container"],
            },
        )
    ]
    assert (task["callback_state"], boxes_left(yard)) == ("sent", [])
    [listed] = (await client.get(f"{ROOT}/tasks")).json()["data"]["tasks"]
    assert (listed["id"], listed["prompt"], listed["output"]) == (id_, None, None)


async def test_the_record_tells_sizes_and_ends_and_never_a_prompt(yard: Yard) -> None:
    task = await yard.tasks.begin(wanted("echo a secret plan"), ADA)
    after = await ended(yard, task.id)
    while not events(yard, "task.ended"):  # its end is kept first, and on record then
        await asyncio.sleep(0.005)
    [began], [over] = events(yard, "task.began"), events(yard, "task.ended")
    assert (began["principal"], began["prompt_characters"], began["depth"]) == ("operator:ada", "18", "1")
    assert (over["status"], over["exit"], over["container"]) == ("completed", "0", after.container_uuid)
    assert "secret plan" not in repr(yard.log.events)


async def test_nothing_runs_that_cannot_be_recorded_or_kept(yard: Yard) -> None:
    yard.log.broken = True
    with pytest.raises(Fault, match="record"):
        await yard.tasks.begin(wanted(), ADA)
    yard.log.broken, yard.store.broken = False, True
    with pytest.raises(Fault, match="disk"):
        await yard.tasks.begin(wanted(), ADA)
    yard.store.broken = False
    assert yard.boxes.commands == []
    changed(yard, at_once=1)
    assert (await yard.tasks.begin(wanted(), ADA)).state is State.RUNNING, "a refused one still holds its place"


async def test_a_held_task_runs_when_it_is_executed_and_only_once(yard: Yard, client: httpx.AsyncClient) -> None:
    held = (await client.post("/api/tasks", json={"prompt": "echo now", "auto_execute": False})).json()
    assert held["status"] == "waiting"
    assert yard.boxes.commands == []
    path = f"/api/tasks/{held['taskId']}"
    answers = await asyncio.gather(*(client.post(f"{path}/execute") for _ in range(3)))
    assert sorted(each.status_code for each in answers) == [202, 409, 409]
    assert (await ended(yard, held["taskId"])).output == "now"
    assert len(yard.boxes.commands) == 1


@pytest.mark.parametrize(
    ("prompt", "state", "code", "said"),
    [
        ("echo out; echo err >&2", State.COMPLETED, 0, "out"),
        ("echo only >&2", State.COMPLETED, 0, "only"),
        ("echo out; echo why >&2; exit 3", State.FAILED, 3, "why\nout"),
        (r"printf '\033[1mbold\033[0m \033]0;title\007hunter2'", State.COMPLETED, 0, "bold [redacted]"),
        (r"printf 'a\377b'", State.COMPLETED, 0, "a\ufffdb"),
    ],
)
async def test_what_an_agent_wrote_is_kept_as_text_without_secrets(
    yard: Yard, prompt: str, state: State, code: int, said: str
) -> None:
    after = await ended(yard, (await yard.tasks.begin(wanted(prompt), ADA)).id)
    assert (after.state, after.exit_code, after.output) == (state, code, said)


async def test_of_a_long_output_the_end_is_kept(yard: Yard) -> None:
    changed(yard, output_bytes=1024)
    after = await ended(yard, (await yard.tasks.begin(wanted("seq 1 20000; printf 'the é end'"), ADA)).id)
    assert len(after.output.encode()) <= 1024
    assert after.output.endswith("20000\nthe é end")


async def test_a_task_that_takes_too_long_is_ended_with_its_container(yard: Yard) -> None:
    changed(yard, timeout_seconds=1)
    after = await ended(yard, (await yard.tasks.begin(wanted("echo began; exec sleep 60"), ADA)).id)
    assert (after.state, after.exit_code, after.output) == (State.TIMED_OUT, None, "began")
    assert boxes_left(yard) == []
    assert yard.boxes.commands[0].closed


async def test_a_cancelled_task_is_gone_when_the_answer_comes(yard: Yard, client: httpx.AsyncClient) -> None:
    id_ = (await client.post("/api/tasks", json={"prompt": "exec sleep 60", "callback_url": HOOK})).json()["taskId"]
    await until(lambda: yard.boxes.commands)
    answer = await client.delete(f"/api/tasks/{id_}")
    assert answer.json()["status"] == "cancelled"
    assert "Cancelled by operator:" in answer.json()["data"]["task"]["because"]
    assert boxes_left(yard) == []
    assert (await client.delete(f"/api/tasks/{id_}")).status_code == 409
    await ended(yard, id_)
    assert [told["status"] for _, told in yard.hook.heard] == ["cancelled"]


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancel_at_any_moment_is_an_end_without_a_container(yard: Yard, turns: int) -> None:
    beginning = asyncio.create_task(yard.tasks.begin(wanted("exec sleep 60", callback_url=HOOK), ADA))
    await until(lambda: yard.tasks._live)
    [id_] = yard.tasks._live
    for _ in range(turns):
        await asyncio.sleep(0.002)
    await asyncio.gather(yard.tasks.cancel(id_, ADA), beginning, return_exceptions=True)
    assert (await ended(yard, id_)).state is State.CANCELLED
    assert boxes_left(yard) == []
    assert [told["status"] for _, told in yard.hook.heard] == ["cancelled"]


async def test_who_asked_and_left_does_not_leave_half_a_task(yard: Yard) -> None:
    asking = asyncio.create_task(yard.tasks.begin(wanted(), ADA))
    await until(lambda: yard.tasks._live)
    [id_] = yard.tasks._live
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert (await ended(yard, id_)).state is State.COMPLETED


async def test_a_cancel_in_the_middle_of_making_the_container_leaves_none(yard: Yard) -> None:
    making, go = asyncio.Event(), asyncio.Event()
    create = yard.boxes.create

    async def slow(new: NewContainer, by: Operator | Internal) -> Record:
        making.set()
        await go.wait()
        return await create(new, by)

    yard.boxes.create = slow  # type: ignore[method-assign]
    task = await yard.tasks.begin(wanted(), ADA)
    await making.wait()
    cancelling = asyncio.create_task(yard.tasks.cancel(task.id, ADA))
    await asyncio.sleep(0)
    go.set()
    assert (await cancelling).state is State.CANCELLED
    assert boxes_left(yard) == []
    assert yard.boxes.commands == []


async def test_a_container_that_does_not_start_fails_the_task_in_words(yard: Yard) -> None:
    async def broken(ref: str, by: Operator | Internal) -> Record:
        raise Fault("sandbox.image_missing", "There is no image 'agent'.")

    yard.boxes.start = broken  # type: ignore[method-assign]
    after = await ended(yard, (await yard.tasks.begin(wanted(), ADA)).id)
    assert (after.state, after.because) == (State.FAILED, "There is no image 'agent'. [sandbox.image_missing]")
    assert boxes_left(yard) == []


async def test_what_nobody_foresaw_is_an_end_as_well_and_tells_no_detail(yard: Yard) -> None:
    yard.boxes.break_on = "start"
    after = await ended(yard, (await yard.tasks.begin(wanted(), ADA)).id)
    assert after.state is State.FAILED
    assert "secret detail" not in after.because
    assert boxes_left(yard) == []


async def test_the_container_is_fresh_ephemeral_and_ends_by_itself(yard: Yard) -> None:
    _, dev = await box(yard, "dev", "shop")
    task = await yard.tasks.begin(wanted("exec sleep 60"), dev)
    await until(lambda: yard.boxes.commands)
    [made] = [record for record in yard.registry.list() if record.ephemeral]
    assert (made.project, made.mount, made.task, made.ai) == ("shop", "", "exec sleep 60", True)
    assert made.expires is not None
    assert (made.expires - yard.clock.now()).total_seconds() == yard.task_settings.timeout_seconds + 120
    assert f"start {made.uuid} by internal:container-{dev.on_behalf_of.number}" in yard.boxes.acts
    assert (await yard.tasks.get(task.id)).by == f"internal:container-{dev.on_behalf_of.number}"


async def test_a_task_has_the_tags_and_the_role_of_whoever_asked_and_names_none_itself(yard: Yard) -> None:
    yard.tasks.tags_of = lambda container: ["prod", *container.tags]
    made = await yard.registry.create(
        NewContainer(name="dev", image="base", runtime="bubblewrap", role="planner", tags=("night",))
    )
    dev = Internal(made.container, 1)
    await yard.tasks.begin(wanted("exec sleep 60"), dev)
    await until(partial(_begun, yard, 1))
    [inside] = [record for record in yard.registry.list() if record.ephemeral]
    assert (inside.role, inside.tags) == ("planner", ("night", "prod"))
    with pytest.raises(Fault) as caught:
        await yard.tasks.begin(wanted("exec sleep 60", role="planner"), dev)
    assert caught.value.code == "api.invalid"
    await yard.tasks.begin(wanted("exec sleep 60", role="executor"), ADA)
    await until(partial(_begun, yard, 2))
    assert [(record.role, record.tags) for record in yard.registry.list() if record.role == "executor"] == [
        ("executor", ())
    ]


async def test_a_burst_gets_past_no_limit(yard: Yard) -> None:
    changed(yard, at_once=3, at_once_per_container=2)
    _, dev = await box(yard, "dev")
    _, other = await box(yard, "other")

    async def refused(by: Internal) -> str:
        try:
            await yard.tasks.begin(wanted("exec sleep 60"), by)
        except Fault as fault:
            return fault.code
        return ""

    assert sorted(await asyncio.gather(*(refused(dev) for _ in range(4)))) == ["", "", "task.too_many", "task.too_many"]
    assert sorted(await asyncio.gather(*(refused(other) for _ in range(2)))) == ["", "task.too_many"]


async def test_what_waits_of_one_container_leaves_room_for_others(yard: Yard) -> None:
    _, dev = await box(yard, "dev")
    _, other = await box(yard, "other")
    for _ in range(20):
        await yard.tasks.begin(wanted("true", auto_execute=False), dev)
    with pytest.raises(Fault) as caught:
        await yard.tasks.begin(wanted("true", auto_execute=False), dev)
    assert caught.value.code == "task.too_many"
    for by in (other, ADA):
        assert (await yard.tasks.begin(wanted("true", auto_execute=False), by)).state is State.WAITING


async def test_tasks_that_ask_for_tasks_nest_so_deep_and_no_deeper(yard: Yard) -> None:
    by = (await box(yard, "dev", "shop"))[1]
    dev = by.on_behalf_of
    for depth in (1, 2):
        task = await yard.tasks.begin(wanted("exec sleep 60"), by)
        assert (task.depth, task.project, task.stands_for) == (depth, "shop", "dev")
        await until(partial(_begun, yard, depth))
        inside = (await yard.tasks.get(task.id)).container_uuid
        by = Internal(yard.registry.get(inside).container, 1)
    with pytest.raises(Fault) as caught:
        await yard.tasks.begin(wanted("exec sleep 60"), by)
    assert caught.value.code == "limit.depth"
    assert yard.tasks.stands_for(by.on_behalf_of) == "dev"
    assert yard.tasks.works_for(by.on_behalf_of) == yard.tasks.works_for(dev) == dev


async def test_a_container_gets_its_own_models_for_its_tasks_and_no_others(yard: Yard) -> None:
    _, rich = await box(yard, "rich")
    _, poor = await box(yard, "poor")
    dear = wanted(ai_config={"model": "dear/model"})
    assert (await yard.tasks.begin(dear, rich)).stands_for == "rich"
    for by in (poor, ADA):
        with pytest.raises(Fault) as caught:
            await yard.tasks.begin(dear, by)
        assert caught.value.code == "request.unknown_model"
    other = Container("uuid-x", 99, "other", "default")
    assert yard.tasks.stands_for(other) == "other"


async def test_a_container_asks_within_its_project_only(yard: Yard) -> None:
    _, dev = await box(yard, "dev", "shop")
    with pytest.raises(Fault) as caught:
        await yard.tasks.begin(wanted(project="bank"), dev)
    assert caught.value.code == "api.invalid"
    assert (await yard.tasks.begin(wanted(project="bank"), ADA)).project == "bank"


@pytest.mark.parametrize("act", ["delete", "withdraw"])
async def test_what_a_container_asked_for_ends_with_its_right(yard: Yard, act: str) -> None:
    record, dev = await box(yard, "dev")
    running = await yard.tasks.begin(wanted("exec sleep 60"), dev)
    held = await yard.tasks.begin(wanted(auto_execute=False), dev)
    other = await yard.tasks.begin(wanted("exec sleep 60"), ADA)
    await until(lambda: len(yard.boxes.commands) == 2)
    if act == "delete":
        await yard.registry.delete(record.uuid)
    else:
        await yard.registry.update(record.uuid, ai=False)
    for each in (running, held):
        after = await ended(yard, each.id)
        assert (after.state, "may not call" in after.because) == (State.CANCELLED, True)
    assert (await yard.tasks.get(other.id)).state is State.RUNNING
    with pytest.raises(Fault) as caught:
        await yard.tasks.begin(wanted(), dev)
    assert caught.value.code == "auth.refused"


async def test_an_exec_that_the_project_does_not_have_is_refused(yard: Yard) -> None:
    through = wanted('echo "$BASE"', ai_config={"base_url": "http://exec-1.bawn.internal/api/v1"})
    with pytest.raises(Fault) as caught:
        await yard.tasks.begin(through, ADA)
    assert caught.value.code == "task.address_refused"
    yard.tasks.has_exec = lambda project, name: (project, name) == ("default", "1")
    after = await ended(yard, (await yard.tasks.begin(through, ADA)).id)
    assert after.output == "http://exec-1.bawn.internal/api/v1"


async def test_a_callback_is_tried_again_and_what_is_lost_is_on_record(yard: Yard) -> None:
    yard.hook.statuses = [503, 429]
    after = await ended(yard, (await yard.tasks.begin(wanted(callback_url=HOOK), ADA)).id)
    assert (after.answer, len(yard.hook.heard)) == (Answer.SENT, 3)
    yard.hook.statuses = [302]
    after = await ended(yard, (await yard.tasks.begin(wanted(callback_url=HOOK), ADA)).id)
    assert (after.state, after.answer, after.answer_because) == (State.COMPLETED, Answer.FAILED, "it answered 302")
    [lost] = events(yard, "task.callback_failed")
    assert (lost["task"], lost["cause"]) == (after.id, "it answered 302")
    assert "hooks.example.org" not in repr(lost)


async def test_a_script_of_the_project_is_told_in_the_name_of_the_container(yard: Yard) -> None:
    told: list[tuple[str, str, str, bytes]] = []

    async def to_script(container: Container, exec_: str, path: str, body: bytes, timeout_s: float) -> int:
        told.append((container.name, exec_, path, body))
        return 200

    url = "http://exec-gate.bawn.internal/api/task-complete?from=a"
    _, dev = await box(yard, "dev", "shop")
    lost = await ended(yard, (await yard.tasks.begin(wanted(report_to=url), dev)).id)
    assert lost.answer is Answer.FAILED, "nobody was there to bring it"
    yard.tasks.answers.to_script = to_script
    said = await yard.tasks.serve(dev, {"prompt": "echo done", "report_to": url})
    after = await ended(yard, said["taskId"])
    assert after.answer is Answer.SENT
    [(name, exec_, path, body)] = told
    assert (name, exec_, path) == ("dev", "gate", "/api/task-complete?from=a")
    assert b'"output": "done"' in body
    assert yard.hook.heard == []


async def test_a_restart_keeps_what_waits_and_tells_what_it_broke_off(yard: Yard) -> None:
    held = await yard.tasks.begin(wanted(auto_execute=False), ADA)
    running = await yard.tasks.begin(wanted("exec sleep 60", callback_url=HOOK), ADA)
    await until(lambda: yard.boxes.commands)
    await yard.tasks.close()
    assert (await yard.tasks.get(running.id)).state is State.RUNNING
    assert yard.hook.heard == []
    yard.tasks = yard.new_tasks()
    await yard.tasks.load()
    yard.tasks.start()
    after = await ended(yard, running.id)
    assert (after.state, after.because) == (State.FAILED, "Bawn was restarted while it ran.")
    assert [told["status"] for _, told in yard.hook.heard] == ["failed"]
    assert (await yard.tasks.execute(held.id, ADA)).state is State.RUNNING
    assert (await ended(yard, held.id)).output == "done"


async def test_a_callback_that_a_restart_broke_off_is_told_again(yard: Yard) -> None:
    yard.task_settings = Tasks.model_validate(yard.task_settings.model_dump() | {"callback_attempts": 20})
    yard.tasks.answers.pause_s = 60
    yard.hook.statuses = [503]
    task = await yard.tasks.begin(wanted(callback_url=HOOK), ADA)
    await until(lambda: yard.hook.heard)
    await yard.tasks.close()
    yard.tasks = yard.new_tasks()
    await yard.tasks.load()
    yard.tasks.start()
    assert (await ended(yard, task.id)).answer is Answer.SENT
    assert len(yard.hook.heard) == 2


async def test_what_waits_for_a_container_that_is_gone_is_cancelled_at_the_start(yard: Yard) -> None:
    record, dev = await box(yard, "dev")
    held = await yard.tasks.begin(wanted(auto_execute=False), dev)
    await yard.tasks.close()
    await yard.registry.update(record.uuid, ai=False)
    yard.tasks = yard.new_tasks()
    await yard.tasks.load()
    yard.tasks.start()
    assert (await ended(yard, held.id)).state is State.CANCELLED


async def test_old_tasks_are_forgotten_and_those_that_wait_are_not(yard: Yard) -> None:
    old = await ended(yard, (await yard.tasks.begin(wanted(), ADA)).id)
    held = await yard.tasks.begin(wanted(auto_execute=False), ADA)
    yard.clock.forward(days=31)
    tasks = yard.new_tasks()
    await tasks.load()
    assert [task.id for task in await tasks.list(None, None, 10)] == [held.id]
    with pytest.raises(Fault):
        await tasks.get(old.id)


async def test_viewers_look_and_admins_act(yard: Yard) -> None:
    held = await yard.tasks.begin(wanted(auto_execute=False), ADA)
    headers = {"authorization": f"Bearer {await yard.person('vera', Role.VIEWER)}"}
    async with httpx.AsyncClient(base_url=yard.url, headers=headers, trust_env=False) as viewer:
        assert (await viewer.get(f"/api/tasks/{held.id}")).status_code == 403, (
            "it shows the prompt, and what came of it"
        )
        assert (await viewer.get(f"{ROOT}/tasks")).status_code == 200
        for answer in (
            await viewer.post("/api/tasks", json={"prompt": "echo x"}),
            await viewer.post(f"/api/tasks/{held.id}/execute"),
            await viewer.delete(f"/api/tasks/{held.id}"),
        ):
            assert answer.status_code == 403
    async with httpx.AsyncClient(base_url=yard.url, trust_env=False) as nobody:
        assert (await nobody.post("/api/tasks", json={"prompt": "echo x"})).status_code == 401
        container = {"authorization": "Bearer container-dev"}
        assert (await nobody.post("/api/tasks", json={"prompt": "echo x"}, headers=container)).status_code == 401
    assert yard.boxes.commands == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "api.invalid"),
        ({"prompt": "x", "shell": True}, 422, "api.invalid"),
        ({"prompt": "x", "mode": "root"}, 422, "api.invalid"),
        ({"prompt": "x", "ai_config": {"base_url": "https://api.openai.com/v1"}}, 403, "task.address_refused"),
        ({"prompt": "x", "ai_config": {"api_key": "sk-live"}}, 422, "api.invalid"),
        ({"prompt": "x", "ai_config": {"model": "other/model"}}, 404, "request.unknown_model"),
        ({"prompt": "x", "callback_url": "https://evil.example/"}, 403, "task.address_refused"),
        ({"prompt": "x", "project": "../x"}, 422, "api.invalid"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_code(
    yard: Yard, client: httpx.AsyncClient, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await client.post("/api/tasks", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert yard.boxes.commands == []


async def test_a_task_that_there_is_not_is_404(client: httpx.AsyncClient) -> None:
    for path in ("/api/tasks/tsk_0", f"{ROOT}/tasks/tsk_0"):
        assert (await client.get(path)).status_code == 404


async def test_only_so_many_wait(yard: Yard) -> None:
    task = await yard.tasks.begin(wanted(auto_execute=False), ADA)
    for number in range(99):
        yard.tasks._live[f"tsk_{number}"] = structs.replace(task, id=f"tsk_{number}")
    with pytest.raises(Fault) as caught:
        await yard.tasks.begin(wanted(auto_execute=False), ADA)
    assert caught.value.code == "task.too_many"
