"""What the management API answers with: the one description that the API writes and the client reads.

Frozen values. Fields are only added, never renamed or reused, since programs of operators parse them.
Times are UTC. None stands for "unknown" or "not there" and never counts as zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Container:
    id: str
    """Its uuid, never used again after deletion."""
    number: int
    """Increasing and never used again; `container-<number>` is its token as well."""
    name: str
    """May be taken again after deletion."""
    project: str
    server: str
    ai: bool
    """Whether it may call models."""
    state: str
    """created, running, stopped or failed."""
    image: str
    runtime: str
    task: str
    created: datetime
    expires: datetime | None
    """When it is stopped and its right to call models withdrawn."""
    mount: str = ""
    """The directory of the host that is its workspace; empty when it has none."""
    workdir: str = "/workspace"
    """Where in it that directory is, and where commands begin; tasks have one of their own, `/workspace/task-<number>`."""
    workspace: str = "live"
    """live: it works in that directory; copy: in a private copy of it."""
    ephemeral: bool = False
    """Whether it is deleted, with everything in it, when its work has ended."""
    attestation: str = "full"
    """weak: somebody else started it; Bawn knows its door and not what else it reaches."""
    isolation: str = "standard"
    """strong: a kernel of its own (gVisor); standard: the host's kernel, filtered; none: as whoever started it chose."""
    limits: dict[str, int | float] = field(default_factory=dict)
    """What was asked for this container: pids, memory_bytes, cpus, scratch_bytes; for the others the configuration holds."""
    allow_soft_limits: bool = False
    """Whether it may run though a limit cannot be held on this machine."""
    role: str = ""
    """What it is there for, in a word by which rules know it."""
    tags: tuple[str, ...] = ()
    """That all its sessions carry, as the operator gave them."""
    degraded: tuple[str, ...] = ()
    """What is weaker in it, as it runs now, than it was asked for; in sentences."""
    masked: tuple[str, ...] = ()
    """Files of its workspace that look like secrets, which it does not see; as they were found at its start."""


@dataclass(frozen=True, slots=True)
class File:
    """Something in a folder of a container."""

    name: str
    """As the agent named it; bytes that are no UTF-8 are written out."""
    kind: str
    """file, folder, link, fifo, socket or device."""
    size_bytes: int
    mode: int
    """Access rights, e.g. 420 for 0644."""
    modified: datetime
    target: str | None = None
    """Where a link says it leads; nothing here follows it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an agent changed in its private copy, against what the copy was made of."""

    path: str
    status: str
    """added, removed, modified, mode or replaced (another kind of thing)."""
    kind: str
    """file or link."""
    mode: int | None
    mode_before: int | None
    size_bytes: int | None
    target: str | None
    """Where a link leads."""
    target_before: str | None
    guarded: bool
    """Whether the host may run or obey it: such a file is brought over only when it is named by itself."""
    applied: bool
    """Whether the host has it so already."""
    conflict: bool
    """Whether the host's own file changed meanwhile."""
    digest: str
    """Of what the agent left there; who looked at it names it to `apply`."""
    binary: bool
    diff: str | None
    """The difference as text; None for what is no text, and for what is too long."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one change."""

    path: str
    done: bool
    status: str = ""
    reason: str = ""
    """Why not."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A container's workspace and home as they were at one moment."""

    name: str
    """snap-YYYYMMDD-HHMMSS, in UTC."""
    alias: str
    created: datetime
    files: int
    size_bytes: int
    sha256: dict[str, str]
    """Of the list of each part's files, which holds the digest of every file."""


@dataclass(frozen=True, slots=True)
class Share:
    """A link to a port of a container, without its token."""

    id: str
    port: int
    person: str
    created: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class IssuedShare:
    """A new link with its token, which is shown this once."""

    share: Share
    path: str
    """Beneath the public host, token included."""
    urls: tuple[str, ...]
    """The same at every configured public host."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal of a container's call, as `bawn why` tells it."""

    time: datetime
    code: str
    sentence: str
    cause: str
    """Told to operators only."""
    remedy: str
    method: str = ""
    endpoint: str = ""
    model: str = ""
    record: str = ""
    """The id of its record in the audit log."""


@dataclass(frozen=True, slots=True)
class Key:
    """A provider's key as it may be shown: never the secret."""

    id: str
    provider: str
    name: str
    """Its label, which tells several keys of a provider apart."""
    fingerprint: str
    created: datetime
    rotated: datetime | None = None
    weight: int = 1
    """Its share of the calls, beside the weights of the provider's other keys."""
    rests_s: int = 0
    """For how many seconds it is left out, because it was refused or had too many calls."""


@dataclass(frozen=True, slots=True)
class Operator:
    person: str
    roles: tuple[str, ...]
    uid: int | None
    """The user id by which the unix socket knows this person."""
    created: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """A personal token as it may be shown."""

    id: str
    person: str
    label: str
    created: datetime
    expires: datetime | None
    last_used: datetime | None
    revoked: datetime | None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token with its secret, which is shown this once."""

    token: Token
    secret: str


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Calls summed up by container or by model."""

    container: str
    """Name of the container; empty when summed up by model."""
    model: str
    """`provider/model`; empty when summed up by container."""
    calls: int
    refused: int
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    cost_usd: float | None
    """None when the price of a model is not known; a sum of known parts would mislead."""


@dataclass(frozen=True, slots=True)
class Process:
    name: str
    pid: int
    user: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    version: str
    started: datetime
    home: str
    config: str
    """Path of the configuration file."""
    profile: str
    rootless: bool
    containers: int
    running: int
    listening: tuple[str, ...]
    processes: tuple[Process, ...]
    runtimes: dict[str, str] = field(default_factory=dict)
    """Runtime to its version, or to why it is missing."""
    degraded: tuple[str, ...] = ()
    """What does not work as it should, in sentences."""
    unsafe: tuple[str, ...] = ()
    """Settings that make the wall weaker, named while they are on."""


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    built: datetime | None
    """None when the recipe is known but was not built yet."""
    size_bytes: int | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class EgressRule:
    """What a container may reach."""

    rule: str
    source: str
    """Where it comes from: a place in the configuration, or who granted it."""
    id: int | None = None
    """Of a grant, by which it is taken back; a rule of the configuration has none."""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """One thing that happened at an egress door."""

    time: datetime
    container: str
    event: str
    """egress.opened, egress.closed, egress.refused, egress.credential_used, package.served, package.refused."""
    host: str
    port: int
    code: str = ""
    sentence: str = ""
    record: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """A file of an operator between agents and their models."""

    path: str
    """`project/exec/file`, e.g. `default/1/api/v1/[...path].py`."""
    size_bytes: int
    routed: bool
    """Whether it answers requests by itself; a file whose name begins with an underscore is only imported."""
    timeout_seconds: float
    log_level: str
    next: str = ""
    """The exec whose scripts stand behind it."""
    trouble: str = ""
    """Why it is not run."""


@dataclass(frozen=True, slots=True)
class ScriptWorker:
    """The scripts behind one base URL, and the process that runs them."""

    project: str
    exec: str
    url: str
    """As containers of the project reach it."""
    pid: int | None = None
    """None while it does not run; the next call starts it."""
    ended: str = ""
    """Why it ended last, when nobody had asked for that."""


@dataclass(frozen=True, slots=True)
class ScriptCheck:
    """What became of a file when its worker loaded it."""

    path: str
    loaded: bool
    error: str = ""
    """File and line, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class ScriptModule:
    """A module that scripts of a project can import."""

    module: str
    """`name==version`."""


@dataclass(frozen=True, slots=True)
class ScriptAnswer:
    """What a script answered to a test."""

    status: int
    content_type: str
    body: str


@dataclass(frozen=True, slots=True)
class ScriptSecret:
    """A value that scripts are given, without the value."""

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Credential:
    """A value that is put in at the egress door, without the value."""

    name: str
    host: str
    place: str
    """`header Authorization` or `query key`."""
    containers: tuple[str, ...]
    fingerprint: str = ""
    """Empty: there is no value yet."""
    placeholders: dict[str, str] = field(default_factory=dict)
    """What each living container sends in its place; inside it is the variable BAWN_CREDENTIAL_<NAME>."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """By which an agent with hooks of its own reports to the gateway."""

    agent: str
    installed: bool
    """Whether containers have it that start from now on."""
    files: list[str] = field(default_factory=list)
    """Their paths in a container."""


@dataclass(frozen=True, slots=True)
class Transform:
    """A ready-made step between agents and models that is configured."""

    name: str
    counts: dict[str, int] = field(default_factory=dict)
    """What it has done since the start, e.g. `hits`, `saved_tokens`, `rule.NAME`; and how many requests it saw, with the
    microseconds that it took of half of them (`p50_us`) and of all but one in a hundred (`p99_us`), at most."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Kept answers that are not given again."""

    answers: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over conversations."""

    id: str
    name: str
    enabled: bool
    event: str
    action: str
    source: str
    """The file that it stands in; `state/rules.json` holds those that were added by the API."""
    fired: int = 0
    """How often, since the start."""
    failed: str = ""
    """Why its last effect failed; empty when it did not."""
    written: dict[str, Any] = field(default_factory=dict)
    """The whole rule, as it is written."""


@dataclass(frozen=True, slots=True)
class RulePack:
    """Rules that ship with Bawn, added and removed together."""

    name: str
    about: str
    rules: tuple[str, ...]
    """Their ids."""
    added: bool = False
    """Whether rules of it are among those that were added here."""
    current: bool = False
    """Whether these are all that this version has, in its words."""


@dataclass(frozen=True, slots=True)
class RuleFiring:
    """A rule fired, or an effect of it ended."""

    at: datetime
    rule: str
    event: str
    container: str
    session: str
    effect: str
    microseconds: int
    error: str = ""
    printed: str = ""
    """The end of what a command printed that failed; empty for viewers, and not on record."""


@dataclass(frozen=True, slots=True)
class RuleTrial:
    """A rule that would fire on an event."""

    rule: str
    action: str
    blocks: bool = False
    dry_run: bool = False
    change: str = ""
    """What it would change, as a diff; empty where it changes nothing."""
    failed: str = ""
    """Why its condition cannot be told for this event; then it is not known whether it fires."""


@dataclass(frozen=True, slots=True)
class ReplayedFiring:
    rule: str
    event: str
    effect: str
    """The action; `(dry run)` behind it where only that would have been recorded."""
    error: str = ""
    """Why it could not have been done."""


@dataclass(frozen=True, slots=True)
class ReplayedTool:
    """A tool call that the agent would not have got, or not at once."""

    tool: str
    rule: str
    asks: bool
    """Whether a person would have been asked."""
    because: str


@dataclass(frozen=True, slots=True)
class ReplayedCall:
    """A recorded call, and what rules would have made of it."""

    call: str
    at: datetime
    model: str
    status: int
    """How it ended at the time; so `outcome`."""
    outcome: str
    fired: tuple[ReplayedFiring, ...] = ()
    refused: str = ""
    """What the agent would have been told in place of the call or of its answer."""
    withheld: tuple[ReplayedTool, ...] = ()
    change: str = ""
    """What would be put into the request for the first time, as a diff."""
    standing: tuple[str, ...] = ()
    """Rules whose words were put into an earlier request, and stand in this one again."""
    untold: tuple[str, ...] = ()
    """What of it cannot be replayed, and why."""


@dataclass(frozen=True, slots=True)
class RuleReplay:
    """Rules tried on a recorded conversation."""

    session: str
    container: str
    rules: int
    """How many were tried."""
    calls: tuple[ReplayedCall, ...]
    broken: int = 0
    """Lines of the request log that cannot be read."""
    more: bool = False
    """Whether there are more calls than these."""


@dataclass(frozen=True, slots=True)
class KnowledgeBase:
    """Texts that are put beside what agents ask."""

    name: str
    folders: tuple[str, ...]
    files: int
    passages: int


@dataclass(frozen=True, slots=True)
class KnowledgeAdded:
    """What adding a folder to a base has done."""

    base: str
    files: int
    """Of the folder that are in the base now."""
    changed: int
    gone: int
    skipped: tuple[str, ...] = ()
    """Files that were not taken although their names look like text."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of a long act."""

    line: str
    done: bool = False
    """True on the last line of an act that succeeded."""


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    """`provider/model`, or an alias."""
    provider: str
    wires: tuple[str, ...]
    """The formats that its provider speaks itself."""
    alias_of: str = ""
    default: bool = False


@dataclass(frozen=True, slots=True)
class ProviderCheck:
    """What came of one small call to a provider with one of its keys."""

    provider: str
    call: str
    """What was called: `GET /models`, or a conversation of one word such as `chat/completions`."""
    model: str
    key: str
    """The label of the key, where it has one."""
    works: bool
    problem: str = ""
    """Why not, in one word such as `unreachable`, `key_refused`, `not_json`; empty when it works."""
    sentence: str = ""
    ms: int = 0


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    path: str
    """The key in question, e.g. `providers.openai.base_url`."""
    line: int | None
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ConfigVerdict:
    """Whether a configuration would load."""

    fits: bool
    problems: tuple[ConfigProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to a person. Texts of it come from agents; show them only with everything invisible written out."""

    id: str
    state: str
    """open, approved, edited, rejected, expired or withdrawn."""
    kind: str
    """tool: a tool call; question: of a script."""
    container: str
    container_id: str
    session: str
    tool: str
    title: str
    because: str
    """Why a person is asked."""
    digest: str
    """Stands for everything that the answer rests on; an answer carries it."""
    asked: datetime
    expires: datetime
    size: int
    """Characters of what is asked about."""
    answered: datetime | None = None
    by: str = ""
    reason: str = ""
    used: datetime | None = None
    """When the approval was used; it is used once."""
    arguments: str | None = None
    """Exactly what is approved; None in lists."""
    canonical: str | None = None
    """The same JSON written in one way, for reading."""
    edited: str | None = None
    """What the person put in their place."""
    server: str = ""
    schema: str = ""
    payload: str = ""
    script: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True)
class NoticeSent:
    """A notice that waits for its sinks."""

    id: str
    sinks: int


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt for an agent in a fresh container. Its texts come from agents; show them only with everything invisible
    written out."""

    id: str
    state: str
    """waiting, running, completed, failed, timed_out or cancelled."""
    mode: str
    model: str
    """Empty: the default."""
    exec: str
    """The exec whose scripts its calls pass by their address; empty: none."""
    by: str
    project: str
    depth: int
    created: datetime
    begun: datetime | None = None
    ended: datetime | None = None
    container: str = ""
    """The name of its container, once it had one."""
    parent_id: str = ""
    """The container in whose name it was asked for; empty: an operator asked."""
    exit_code: int | None = None
    because: str = ""
    """Why it did not complete."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    callback: str = ""
    callback_state: str = ""
    """pending, sent or failed; empty: nobody wants one."""
    callback_because: str = ""
    prompt: str | None = None
    """None in lists, as the output."""
    output: str | None = None
