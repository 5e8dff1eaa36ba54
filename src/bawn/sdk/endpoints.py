"""Every endpoint of the management API, described once for both clients.

A function takes what a person would say and returns what is sent; nothing here sends. Arguments that are
not given are not sent, so that `update("dev", ai=False)` changes `ai` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from bawn.sdk import shapes
from bawn.sdk.call import Call, Download, Stream, Upload, fault_of

T = TypeVar("T")

ROOT = "/api/v1"


def at(*parts: str) -> str:
    """A path whose parts are escaped, so that a name can never lead elsewhere."""
    return "/".join((ROOT, *(quote(part, safe="") for part in parts)))


def one(name: str, shape: type[T]) -> Callable[[Any], T]:
    return lambda answer: msgspec.convert(answer["data"][name], shape)


def many(name: str, shape: type[T]) -> Callable[[Any], list[T]]:
    return lambda answer: [msgspec.convert(item, shape) for item in answer["data"][name]]


def nothing(answer: Any) -> None:
    """A good answer without content."""


def plain(name: str) -> Callable[[Any], dict[str, Any]]:
    return lambda answer: dict(answer["data"][name])


def line(shape: type[T]) -> Callable[[str], T]:
    """One line of a stream; a stream that fails half-way ends with a line that tells the error."""

    def read(text: str) -> T:
        told = msgspec.json.decode(text)
        if isinstance(told, dict) and isinstance(told.get("error"), dict):
            raise fault_of(told, 500)
        return msgspec.convert(told, shape)

    return read


def given(**fields: Any) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in fields.items()
        if value is not None
    }


# containers


def list_containers() -> Call[list[shapes.Container]]:
    return Call("GET", at("containers"), many("containers", shapes.Container))


def get_container(ref: str) -> Call[shapes.Container]:
    return Call("GET", at("containers", ref), one("container", shapes.Container))


def create_container(
    name: str | None = None,
    *,
    project: str | None = None,
    server: str | None = None,
    image: str | None = None,
    runtime: str | None = None,
    ai: bool | None = None,
    task: str | None = None,
    expires: datetime | None = None,
    mount: str | None = None,
    workspace: str | None = None,
    ephemeral: bool | None = None,
    isolation: str | None = None,
    limits: Mapping[str, int | float] | None = None,
    allow_soft_limits: bool | None = None,
    role: str | None = None,
    tags: Sequence[str] | None = None,
) -> Call[shapes.Container]:
    """`limits` may hold pids, memory_bytes, cpus and scratch_bytes; `isolation` is standard or strong."""
    body = given(
        name=name,
        project=project,
        server=server,
        image=image,
        runtime=runtime,
        ai=ai,
        task=task,
        expires=expires,
        mount=mount,
        workspace=workspace,
        ephemeral=ephemeral,
        isolation=isolation,
        limits=dict(limits) if limits else None,
        allow_soft_limits=allow_soft_limits,
        role=role,
        tags=list(tags) if tags else None,
    )
    return Call("POST", at("containers"), one("container", shapes.Container), body=body)


def update_container(
    ref: str, *, ai: bool | None = None, expires: datetime | None = None, never_expires: bool = False
) -> Call[shapes.Container]:
    """`never_expires` takes an expiry away, which None could not say."""
    body = given(ai=ai, expires=expires) | ({"expires": None} if never_expires else {})
    return Call("PATCH", at("containers", ref), one("container", shapes.Container), body=body)


def delete_container(ref: str) -> Call[None]:
    return Call("DELETE", at("containers", ref), nothing)


def start_container(ref: str) -> Call[shapes.Container]:
    return Call("POST", at("containers", ref, "start"), one("container", shapes.Container))


def stop_container(ref: str, *, timeout_s: float | None = None) -> Call[shapes.Container]:
    return Call(
        "POST", at("containers", ref, "stop"), one("container", shapes.Container), body=given(timeout_s=timeout_s)
    )


def container_logs(ref: str, *, follow: bool = False) -> Stream[str]:
    return Stream("GET", at("containers", ref, "logs"), str, params={"follow": "true"} if follow else {}, lines=False)


def why(ref: str, *, limit: int = 20) -> Call[list[shapes.Refusal]]:
    return Call("GET", at("containers", ref, "why"), many("refusals", shapes.Refusal), params={"limit": str(limit)})


def exec_path(ref: str) -> str:
    return at("containers", ref, "exec")


# egress


def egress_rules(ref: str) -> Call[list[shapes.EgressRule]]:
    return Call("GET", at("containers", ref, "egress"), many("rules", shapes.EgressRule))


def allow_egress(ref: str, rule: str) -> Call[shapes.EgressRule]:
    """From the container's next connection on."""
    return Call("POST", at("containers", ref, "egress"), one("rule", shapes.EgressRule), body={"rule": rule})


def disallow_egress(ref: str, grant_id: int) -> Call[None]:
    return Call("DELETE", at("containers", ref, "egress", str(grant_id)), nothing)


def suggest_egress(ref: str) -> Call[list[shapes.EgressRule]]:
    """Rules that would have let through what was refused; nothing is applied."""
    return Call("GET", at("containers", ref, "egress", "suggestions"), many("rules", shapes.EgressRule))


def egress_log(*, container: str | None = None, denied: bool = False, limit: int = 50) -> Call[list[shapes.Passage]]:
    params = given(container=container) | {"limit": str(limit)} | ({"denied": "true"} if denied else {})
    return Call("GET", at("egress", "log"), many("passages", shapes.Passage), params=params)


def list_credentials() -> Call[list[shapes.Credential]]:
    return Call("GET", at("credentials"), many("credentials", shapes.Credential))


def put_credential(name: str, secret: str) -> Call[shapes.Credential]:
    """The value of a configured credential, new or in place of the old one."""
    return Call("PUT", at("credentials", name), one("credential", shapes.Credential), body={"secret": secret})


def remove_credential(name: str) -> Call[None]:
    return Call("DELETE", at("credentials", name), nothing)


# scripts


def list_scripts(*, project: str | None = None) -> Call[list[shapes.Script]]:
    return Call("GET", at("exec", "scripts"), many("scripts", shapes.Script), params=given(project=project))


def script_workers() -> Call[list[shapes.ScriptWorker]]:
    return Call("GET", at("exec", "workers"), many("workers", shapes.ScriptWorker))


def read_script(path: str) -> Download:
    return Download(at("exec", "scripts", "content"), params={"path": path})


def write_script(path: str, content: str) -> Call[shapes.Script]:
    """`path` is `project/exec/file`. One that does not load is refused, with its line; what was there stays."""
    body = {"path": path, "content": content}
    return Call("POST", at("exec", "scripts", "write"), one("script", shapes.Script), body=body)


def remove_script(path: str) -> Call[None]:
    return Call("DELETE", at("exec", "scripts"), nothing, params={"path": path})


def check_scripts(project: str, name: str) -> Call[list[shapes.ScriptCheck]]:
    body = {"project": project, "exec": name}
    return Call("POST", at("exec", "scripts", "check"), many("files", shapes.ScriptCheck), body=body)


def install_modules(project: str = "default") -> Stream[shapes.ScriptModule]:
    """Installs the modules of a project's lock file, which may take minutes."""
    body = {"project": project}
    return Stream("POST", at("exec", "scripts", "install"), line(shapes.ScriptModule), body=body)


def try_script(
    name: str, container: str, path: str, *, method: str = "POST", body: str = ""
) -> Call[shapes.ScriptAnswer]:
    """What the script of an exec answers, as if the container had asked; what it does is done."""
    asked = {"exec": name, "container": container, "method": method, "path": path, "body": body}
    return Call("POST", at("exec", "scripts", "test"), one("answer", shapes.ScriptAnswer), body=asked)


def script_logs(project: str, name: str, *, follow: bool = False) -> Stream[str]:
    params = {"project": project, "exec": name} | ({"follow": "true"} if follow else {})
    return Stream("GET", at("exec", "scripts", "logs"), str, params=params, lines=False)


def list_script_secrets() -> Call[list[shapes.ScriptSecret]]:
    return Call("GET", at("exec", "secrets"), many("secrets", shapes.ScriptSecret))


def put_script_secret(name: str, secret: str) -> Call[shapes.ScriptSecret]:
    """A value for `ctx.env`, new or in place of the old one; workers that have it start anew."""
    return Call("PUT", at("exec", "secrets", name), one("secret", shapes.ScriptSecret), body={"secret": secret})


def remove_script_secret(name: str) -> Call[None]:
    return Call("DELETE", at("exec", "secrets", name), nothing)


# files


def list_files(ref: str, path: str = "") -> Call[list[shapes.File]]:
    return Call("GET", at("containers", ref, "files"), many("files", shapes.File), params={"path": path})


def stat_file(ref: str, path: str) -> Call[shapes.File]:
    return Call("GET", at("containers", ref, "files", "stat"), one("file", shapes.File), params={"path": path})


def make_folder(ref: str, path: str, *, parents: bool = False) -> Call[shapes.File]:
    body = {"path": path, "parents": parents}
    return Call("POST", at("containers", ref, "files", "mkdir"), one("file", shapes.File), body=body)


def remove_file(ref: str, path: str, *, recursive: bool = False) -> Call[None]:
    params = {"path": path} | ({"recursive": "true"} if recursive else {})
    return Call("DELETE", at("containers", ref, "files"), nothing, params=params)


def read_file(ref: str, path: str) -> Download:
    return Download(at("containers", ref, "files", "content"), {"path": path})


def write_file(ref: str, path: str, *, mode: int | None = None) -> Upload[shapes.File]:
    params = {"path": path} | ({} if mode is None else {"mode": f"{mode:o}"})
    return Upload(at("containers", ref, "files", "content"), one("file", shapes.File), params)


# workspaces and snapshots


def diff_container(ref: str) -> Call[list[shapes.Change]]:
    """What the agent changed in its private copy."""
    return Call("GET", at("containers", ref, "diff"), many("changes", shapes.Change))


def apply_changes(
    ref: str, paths: Sequence[str] = (), *, seen: Sequence[str] | None = None
) -> Call[list[shapes.Applied]]:
    """Brings changes over; all but guarded ones when no path is named. `seen`: the digests of what was looked at."""
    body = given(paths=list(paths), seen=None if seen is None else list(seen))
    return Call("POST", at("containers", ref, "apply"), many("applied", shapes.Applied), body=body)


def list_snapshots(ref: str) -> Call[list[shapes.Snapshot]]:
    return Call("GET", at("containers", ref, "snapshots"), many("snapshots", shapes.Snapshot))


def create_snapshot(ref: str, *, alias: str | None = None) -> Call[shapes.Snapshot]:
    return Call("POST", at("containers", ref, "snapshots"), one("snapshot", shapes.Snapshot), body=given(alias=alias))


def restore_snapshot(ref: str, name: str) -> Call[shapes.Snapshot]:
    return Call("PATCH", at("containers", ref, "snapshots", name), one("snapshot", shapes.Snapshot))


def delete_snapshot(ref: str, name: str) -> Call[None]:
    return Call("DELETE", at("containers", ref, "snapshots", name), nothing)


# ports


def port_path(ref: str, port: int) -> str:
    return at("containers", ref, "ports", str(port))


def list_shares(ref: str) -> Call[list[shapes.Share]]:
    return Call("GET", at("containers", ref, "shares"), many("shares", shapes.Share))


def create_share(ref: str, port: int, *, expires: datetime | None = None) -> Call[shapes.IssuedShare]:
    """Without `expires`: a day."""
    body = given(port=port, expires=expires)
    return Call("POST", at("containers", ref, "shares"), one("issued", shapes.IssuedShare), body=body)


def revoke_share(ref: str, share_id: str) -> Call[None]:
    return Call("DELETE", at("containers", ref, "shares", share_id), nothing)


# keys


def list_keys() -> Call[list[shapes.Key]]:
    return Call("GET", at("keys"), many("keys", shapes.Key))


def add_key(provider: str, secret: str, *, name: str | None = None, weight: int | None = None) -> Call[shapes.Key]:
    """`name` is the key's label; calls are shared among the keys of a provider by their `weight`."""
    body = given(provider=provider, secret=secret, name=name, weight=weight)
    return Call("POST", at("keys"), one("key", shapes.Key), body=body)


def rotate_key(key_id: str, secret: str) -> Call[shapes.Key]:
    """`key_id`: the key's id, its provider, or `provider:label`."""
    return Call("PUT", at("keys", key_id), one("key", shapes.Key), body={"secret": secret})


def remove_key(key_id: str) -> Call[None]:
    return Call("DELETE", at("keys", key_id), nothing)


def reset_keys() -> Call[None]:
    """Forgets all keys and makes a new master key: the way out when the old one is lost."""
    return Call("POST", at("keys", "reset"), nothing)


# operators


def list_operators() -> Call[list[shapes.Operator]]:
    return Call("GET", at("operators"), many("operators", shapes.Operator))


def add_operator(person: str, roles: Sequence[str], *, uid: int | None = None) -> Call[shapes.Operator]:
    body = given(person=person, roles=list(roles), uid=uid)
    return Call("POST", at("operators"), one("operator", shapes.Operator), body=body)


def remove_operator(person: str) -> Call[None]:
    return Call("DELETE", at("operators", person), nothing)


def list_tokens(person: str) -> Call[list[shapes.Token]]:
    return Call("GET", at("operators", person, "tokens"), many("tokens", shapes.Token))


def issue_token(person: str, *, label: str | None = None, expires: datetime | None = None) -> Call[shapes.IssuedToken]:
    return Call(
        "POST",
        at("operators", person, "tokens"),
        one("issued", shapes.IssuedToken),
        body=given(label=label, expires=expires),
    )


def revoke_token(person: str, token_id: str) -> Call[None]:
    return Call("DELETE", at("operators", person, "tokens", token_id), nothing)


# adapters


def list_adapters() -> Call[list[shapes.Adapter]]:
    return Call("GET", at("adapters"), many("adapters", shapes.Adapter))


def install_adapter(agent: str) -> Call[shapes.Adapter]:
    """Containers that start from now on have it."""
    return Call("PUT", at("adapters", agent), one("adapter", shapes.Adapter))


def remove_adapter(agent: str) -> Call[None]:
    return Call("DELETE", at("adapters", agent), nothing)


# transforms


def list_transforms() -> Call[list[shapes.Transform]]:
    return Call("GET", at("transforms"), many("transforms", shapes.Transform))


def forget_answers(
    *, container: str | None = None, project: str | None = None, model: str | None = None
) -> Call[shapes.Forgotten]:
    """What a container or a project brought, what a model said, or all; it is asked of the model again."""
    body = given(container=container, project=project, model=model)
    return Call("POST", at("transforms", "cache", "forget"), one("forgotten", shapes.Forgotten), body=body)


def list_knowledge() -> Call[list[shapes.KnowledgeBase]]:
    return Call("GET", at("knowledge"), many("bases", shapes.KnowledgeBase))


def add_knowledge(base: str, folder: str) -> Call[shapes.KnowledgeAdded]:
    """`folder`: of the machine that Bawn runs on, from the root on."""
    body = {"base": base, "folder": folder}
    return Call("POST", at("knowledge"), one("added", shapes.KnowledgeAdded), body=body)


def remove_knowledge(base: str) -> Call[None]:
    return Call("DELETE", at("knowledge", base), nothing)


# rules


def list_rules() -> Call[list[shapes.Rule]]:
    return Call("GET", at("rules"), many("rules", shapes.Rule))


def get_rule(rule: str) -> Call[shapes.Rule]:
    return Call("GET", at("rules", rule), one("rule", shapes.Rule))


def add_rule(rule: Mapping[str, Any]) -> Call[shapes.Rule]:
    """`rule`: as it stands in `mitm.rules`."""
    return Call("POST", at("rules"), one("rule", shapes.Rule), body={"rule": dict(rule)})


def edit_rule(id_: str, rule: Mapping[str, Any]) -> Call[shapes.Rule]:
    """In its place; a rule keeps its id."""
    return Call("PUT", at("rules", id_), one("rule", shapes.Rule), body={"rule": dict(rule)})


def enable_rule(rule: str) -> Call[shapes.Rule]:
    return Call("POST", at("rules", rule, "enable"), one("rule", shapes.Rule))


def disable_rule(rule: str) -> Call[shapes.Rule]:
    return Call("POST", at("rules", rule, "disable"), one("rule", shapes.Rule))


def delete_rule(rule: str) -> Call[None]:
    return Call("DELETE", at("rules", rule), nothing)


def rule_packs() -> Call[list[shapes.RulePack]]:
    """The packs that ship with this version."""
    return Call("GET", at("rule-packs"), many("packs", shapes.RulePack))


def add_rule_pack(name: str) -> Call[shapes.RulePack]:
    """Adds its rules; again, puts this version's words in the place of those before."""
    return Call("PUT", at("rule-packs", name), one("pack", shapes.RulePack))


def remove_rule_pack(name: str) -> Call[None]:
    return Call("DELETE", at("rule-packs", name), nothing)


def check_rules(text: str, name: str = "rules.json") -> Call[shapes.ConfigVerdict]:
    """Whether a file of rules would load. `name` is what it is called; its ending chooses the format."""
    return Call("POST", at("rules", "check"), one("verdict", shapes.ConfigVerdict), body={"text": text, "name": name})


def try_rules(
    event: Mapping[str, Any], *, text: str | None = None, name: str = "rules.json"
) -> Call[list[shapes.RuleTrial]]:
    """Which rules would fire on an event: those of a file, or those that hold. Nothing is done."""
    body = {"event": dict(event), **given(text=text, name=name if text is not None else None)}
    return Call("POST", at("rules", "test"), many("trials", shapes.RuleTrial), body=body)


def replay_rules(
    session: str,
    *,
    container: str | None = None,
    text: str | None = None,
    name: str = "rules.json",
    rule: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> Call[shapes.RuleReplay]:
    """What rules would have done in a session of the request log: those of a file, or those that hold. Nothing is done."""
    file = given(text=text, name=name if text is not None else None)
    body = {"session": session, **file, **given(container=container, rule=rule, since=since, limit=limit)}
    return Call("POST", at("rules", "replay"), one("replay", shapes.RuleReplay), body=body)


def rules_log(*, limit: int = 100, rule: str | None = None) -> Call[list[shapes.RuleFiring]]:
    """What fired since the start, the newest first."""
    params = given(rule=rule) | {"limit": str(limit)}
    return Call("GET", at("rules", "log"), many("firings", shapes.RuleFiring), params=params)


def tag_session(container: str, session: str, tags: Sequence[str]) -> Call[None]:
    """These tags in place of those that operators gave it before."""
    body = {"container": container, "session": session, "tags": list(tags)}
    return Call("PUT", at("sessions", "tags"), nothing, body=body)


# approvals and notices


def list_approvals(
    *, state: str = "open", container: str | None = None, limit: int = 100
) -> Call[list[shapes.Approval]]:
    """Newest first; `state` may be `all`."""
    params = given(container=container) | {"state": state, "limit": str(limit)}
    return Call("GET", at("approvals"), many("approvals", shapes.Approval), params=params)


def get_approval(approval_id: str) -> Call[shapes.Approval]:
    """With exactly what is asked about, and its digest."""
    return Call("GET", at("approvals", approval_id), one("approval", shapes.Approval))


def approve(approval_id: str, digest: str, *, reason: str = "", arguments: str | None = None) -> Call[shapes.Approval]:
    """`digest`: of what was shown; `arguments`: others, in place of those."""
    body = given(digest=digest, reason=reason, arguments=arguments)
    return Call("POST", at("approvals", approval_id, "approve"), one("approval", shapes.Approval), body=body)


def reject(approval_id: str, digest: str, *, reason: str = "") -> Call[shapes.Approval]:
    body = given(digest=digest, reason=reason)
    return Call("POST", at("approvals", approval_id, "reject"), one("approval", shapes.Approval), body=body)


def watch_approvals() -> Stream[shapes.Approval]:
    """Those that are open, then each that changes."""
    return Stream("GET", at("approvals", "watch"), line(shapes.Approval))


def notify(
    title: str,
    message: str = "",
    *,
    priority: str = "normal",
    icon: str = "",
    actions: Sequence[Mapping[str, str]] = (),
) -> Call[shapes.NoticeSent]:
    """Each action has a `label`, a `url` and perhaps a `method`."""
    body = given(title=title, message=message, priority=priority, icon=icon, actions=[dict(each) for each in actions])
    return Call("POST", at("notify"), one("notice", shapes.NoticeSent), body=body)


# tasks


def run_task(
    prompt: str,
    *,
    mode: str = "code",
    model: str | None = None,
    base_url: str | None = None,
    auto_execute: bool = True,
    callback_url: str | None = None,
    project: str | None = None,
    role: str | None = None,
) -> Call[shapes.Task]:
    """An agent in a fresh container; it runs when this returns, or waits to be executed."""
    body: dict[str, Any] = given(callback_url=callback_url, project=project, role=role)
    body |= {"prompt": prompt, "mode": mode, "auto_execute": auto_execute}
    if config := given(model=model, base_url=base_url):
        body["ai_config"] = config
    return Call("POST", at("tasks"), one("task", shapes.Task), body=body)


def list_tasks(*, state: str = "all", container: str | None = None, limit: int = 100) -> Call[list[shapes.Task]]:
    """Newest first, without prompts and outputs; `container`: in whose name they were asked for."""
    params = given(container=container) | {"state": state, "limit": str(limit)}
    return Call("GET", at("tasks"), many("tasks", shapes.Task), params=params)


def get_task(task_id: str) -> Call[shapes.Task]:
    return Call("GET", at("tasks", task_id), one("task", shapes.Task))


def execute_task(task_id: str) -> Call[shapes.Task]:
    """Runs one that waits."""
    return Call("POST", at("tasks", task_id, "execute"), one("task", shapes.Task))


def cancel_task(task_id: str) -> Call[shapes.Task]:
    """Returns when its container is gone."""
    return Call("DELETE", at("tasks", task_id), one("task", shapes.Task))


# everything else


def usage(*, by: str = "container", since: datetime | None = None) -> Call[list[shapes.UsageRow]]:
    return Call("GET", at("usage"), many("usage", shapes.UsageRow), params=given(by=by, since=since))


def status() -> Call[shapes.Status]:
    return Call("GET", at("status"), one("status", shapes.Status))


def list_models(*, container: str | None = None) -> Call[list[shapes.Model]]:
    """All that can be named, or those that one container may use, as its own `GET /models` lists them."""
    return Call("GET", at("models"), many("models", shapes.Model), params=given(container=container))


def check_providers(name: str | None = None) -> Call[list[shapes.ProviderCheck]]:
    """Makes small calls to one provider or to all, which may cost a few tokens."""
    body = given(provider=name)
    return Call("POST", at("providers", "check"), many("checks", shapes.ProviderCheck), body=body)


def list_images() -> Call[list[shapes.Image]]:
    return Call("GET", at("images"), many("images", shapes.Image))


def build_image(name: str) -> Stream[shapes.Progress]:
    return Stream("POST", at("images", name, "build"), line(shapes.Progress))


def import_image(name: str, source: str, *, digest: str = "") -> Stream[shapes.Progress]:
    """`source` is the absolute path of an OCI archive or layout on the host of Bawn; `digest`, which image in it."""
    body = {"source": source, "digest": digest}
    return Stream("POST", at("images", name, "import"), line(shapes.Progress), body=body)


def remove_image(name: str) -> Call[None]:
    return Call("DELETE", at("images", name), nothing)


def config_schema() -> Call[dict[str, Any]]:
    return Call("GET", at("config", "schema"), plain("schema"))


def config_effective() -> Call[dict[str, Any]]:
    """What holds now, with secrets redacted."""
    return Call("GET", at("config"), plain("config"))


def check_config(text: str) -> Call[shapes.ConfigVerdict]:
    return Call("POST", at("config", "check"), one("verdict", shapes.ConfigVerdict), body={"text": text})


def reload_config() -> Call[shapes.ConfigVerdict]:
    return Call("POST", at("config", "reload"), one("verdict", shapes.ConfigVerdict))


def audit_tail(*, lines: int = 20, follow: bool = False) -> Stream[dict[str, Any]]:
    params = {"lines": str(lines)} | ({"follow": "true"} if follow else {})
    return Stream("GET", at("audit"), line(dict[str, Any]), params=params)
