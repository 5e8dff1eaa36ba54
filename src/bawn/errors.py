"""Every way Bawn says no, in one table.

A `Fault` answers four questions: what happened (`sentence`), what to do about it (`remedy`), whose
fault it is (`blame`), and by which stable name a program knows it (`code`). The table below is the
whole vocabulary; a code that is not in it cannot be raised, and each has its line in `docs/errors.md`.

Two rules. A fault never carries a secret: sentences are written by us, and text of others is quoted
only by `quoted()`, short and escaped. What only the operator may know stands in `cause`, which goes
to the record and to `bawn why`, never to a client.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Blame(StrEnum):
    """Whose fault it is: who has to change something before it can work."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    OPERATOR = "operator"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table: what all faults of one code share."""

    code: str
    blame: Blame
    status: int
    """HTTP status for a caller who speaks HTTP."""
    remedy: str
    """What to do, said when the raiser knows nothing better."""
    retry: bool = False
    """Whether the same call may succeed later; false makes official SDKs stop (`x-should-retry: false`)."""


_C, _U, _O, _B = Blame.CLIENT, Blame.UPSTREAM, Blame.OPERATOR, Blame.OURS

KINDS: dict[str, Kind] = {
    kind.code: kind
    for kind in (
        # the transport of a door
        Kind("http.malformed", _C, 400, "Send HTTP/1.1 with one Host header and one way of framing the body."),
        Kind("http.headers_too_large", _C, 431, "Send fewer or shorter headers."),
        Kind("http.body_too_large", _C, 413, "Send a smaller body, or ask the operator to raise the limit."),
        Kind("http.too_slow", _C, 408, "Send the request without long pauses."),
        Kind("http.unsupported_encoding", _C, 415, "Send the body as plain JSON, without content-encoding."),
        Kind("http.unknown_path", _C, 404, "Use one of the documented paths under /api/v1."),
        Kind("http.method_not_allowed", _C, 405, "Use the method that the documentation gives for this path."),
        # the body of a call
        Kind("request.malformed_json", _C, 400, "Send one JSON object in UTF-8, without repeated keys."),
        Kind("request.invalid", _C, 400, "Correct the named field."),
        Kind("request.unknown_model", _C, 404, "Name a model that `GET /models` lists."),
        Kind("request.wire_mismatch", _C, 400, "Use the wire that this model's provider speaks."),
        Kind("request.not_translatable", _C, 400, "Leave it out, or use a model whose provider speaks this wire."),
        Kind("request.hosted_tool_refused", _C, 403, "Leave the tool out, or ask the operator to allow it here."),
        Kind("request.unknown_tool_refused", _C, 403, "Use tools of type function, which run inside the container."),
        Kind("request.fetch_refused", _C, 403, "Send the content itself instead of a URL."),
        # who calls, and what may be done
        Kind("auth.refused", _C, 401, "Use the token of this container; the operator sees the cause with `bawn why`."),
        Kind("limit.concurrency", _C, 429, "Wait for running calls of this container to end.", retry=True),
        Kind("limit.bodies", _C, 429, "Wait for running calls with large bodies to end.", retry=True),
        Kind("limit.reports", _C, 429, "Report less often.", retry=True),
        Kind("limit.depth", _C, 403, "Do not let calls on behalf of a container nest so deep."),
        Kind("quota.exceeded", _C, 429, "Wait until the quota is full again, or ask the operator to raise it."),
        Kind("quota.model_refused", _C, 403, "Use a model that `GET /models` lists, or ask the operator for this one."),
        Kind("tool.refused", _C, 403, "The tool call was refused; do not repeat it."),
        Kind("stage.refused", _C, 403, "The call was refused by a stage of the gateway."),
        Kind("resource.not_found", _C, 404, "Use the id of an object that this container made."),
        Kind("call.revoked", _C, 401, "The right to call models was withdrawn; the operator sees why with `bawn why`."),
        # scripts of the operator
        Kind("script.refused", _C, 403, "The call was refused by a script of the operator; do not repeat it as it is."),
        Kind("script.pending", _C, 425, "A person has to approve it; ask again when that has happened."),
        Kind("script.unknown_exec", _C, 404, "Use the base URL of an exec that the project of this container has."),
        Kind("script.no_route", _O, 403, "The operator adds a file for this path to the exec that is required."),
        Kind("script.crashed", _O, 502, "The operator sees file and line with `bawn scripts logs`."),
        Kind("script.timeout", _O, 504, "The operator makes the script quicker, or raises its `# @timeout`."),
        Kind("script.no_answer", _O, 502, "The operator has the script answer, or pass the call on."),
        Kind("script.answered_twice", _O, 502, "The operator has the script answer once."),
        Kind("script.not_loaded", _O, 502, "The operator sees file and line with `bawn scripts check`."),
        Kind("script.bad_answer", _O, 502, "The operator has the script answer in the format of this path."),
        Kind("script.unavailable", _O, 502, "Try again; the operator sees why with `bawn scripts list`.", retry=True),
        Kind("script.cyclic", _O, 502, "The operator takes one `# @next` out of the circle."),
        Kind(
            "script.modules",
            _O,
            502,
            "Correct requirements.lock, or look at what pip said; the modules stay as they were.",
        ),
        Kind("script.invalid", _C, 422, "Correct the line that the sentence names; what was there before stays."),
        # questions to people. A pending one is 425: official SDKs try 408, 409, 429 and 5xx again by themselves and not this,
        # and 202 would be a good answer that is none of the wire.
        Kind("approval.pending", _C, 425, "Wait until somebody has answered, then make the same call again."),
        Kind("approval.rejected", _C, 403, "Do something else; a person said no."),
        Kind("approval.expired", _C, 408, "Ask again when somebody is there to answer."),
        Kind("approval.withdrawn", _C, 403, "Do something else; the question was taken back."),
        Kind("approval.too_many", _C, 429, "Wait until the open questions of this container are answered."),
        Kind("approval.too_large", _C, 413, "Ask for less at once: nobody can read so much before answering."),
        Kind("approval.answered", _C, 409, "Look at it with `bawn approvals show`; it is no longer open."),
        Kind("approval.changed", _C, 409, "Look again at what is asked, then answer with its digest."),
        Kind("notify.too_many", _C, 429, "Send fewer notices, or ask the operator to raise `notify.per_minute`."),
        Kind(
            "task.too_many",
            _C,
            429,
            "Wait until running tasks have ended, or ask the operator to raise `tasks.at_once`.",
        ),
        Kind("task.address_refused", _C, 403, "Use a door of the container, or an address that the operator allowed."),
        # the provider
        Kind("upstream.unreachable", _U, 502, "Try again; the operator sees the provider's state.", retry=True),
        Kind("upstream.timeout", _U, 504, "Try again, or ask for less at once.", retry=True),
        Kind("upstream.broken", _U, 502, "Try again; the provider's answer was not whole.", retry=True),
        Kind("upstream.not_translatable", _U, 502, "Use a model whose provider speaks this wire."),
        Kind("upstream.exhausted", _U, 503, "Try again later; the operator sees why with `bawn why`.", retry=True),
        Kind("upstream.key_refused", _O, 503, "Ask the operator to rotate the key with `bawn keys rotate`."),
        Kind("upstream.no_key", _O, 503, "Ask the operator to run `bawn keys add` for this provider."),
        # what leaves by the egress door
        Kind("egress.malformed", _C, 400, "Send plain HTTP/1.1 to the proxy, as clients do that read HTTPS_PROXY."),
        Kind("egress.bad_host", _C, 400, "Name the host by its name; addresses and odd spellings are not accepted."),
        Kind("egress.authority_mismatch", _C, 403, "Let the Host header name the host that the connection is for."),
        Kind("egress.not_allowed", _C, 403, "Do without it, or ask the operator to run `bawn egress allow`."),
        Kind("egress.provider_host", _C, 403, "Call models at the AI door, whose address stands in OPENAI_BASE_URL."),
        Kind("egress.metadata", _C, 403, "Do without it; no container reaches a metadata service."),
        Kind("egress.private_address", _C, 403, "Do without it; only public addresses are reached."),
        Kind("egress.own_address", _C, 403, "Do without it; the host of the containers is not reached."),
        Kind("egress.sni_missing", _C, 403, "Use a TLS client that names its host (SNI)."),
        Kind("egress.sni_mismatch", _C, 403, "Let the TLS hello name the host that CONNECT named."),
        Kind("egress.ech", _C, 403, "Switch Encrypted Client Hello off."),
        Kind("egress.not_tls", _C, 403, "Speak TLS on this port."),
        Kind("egress.method_not_allowed", _C, 403, "Use an allowed method, or ask the operator to allow this one."),
        Kind(
            "egress.path_not_allowed",
            _C,
            403,
            "Use an allowed path, written plainly, or ask the operator to allow this one.",
        ),
        Kind(
            "egress.push_not_allowed",
            _C,
            403,
            "Push to a branch that the rule names, or ask the operator to name this one.",
        ),
        Kind("egress.budget", _C, 403, "Send less, or ask the operator to raise `bytes` in the rule."),
        Kind("egress.time", _C, 403, "Use shorter connections, or ask the operator to raise `seconds` in the rule."),
        Kind("egress.idle", _C, 408, "Do not leave connections open unused.", retry=True),
        Kind("egress.too_slow", _C, 408, "Send the request without long pauses.", retry=True),
        Kind("egress.busy", _C, 429, "Close some connections first.", retry=True),
        Kind("egress.revoked", _C, 403, "The right was withdrawn; the operator sees why with `bawn why`."),
        Kind(
            "egress.credential_misplaced",
            _C,
            403,
            "Send the placeholder to its host and in its place only, and no value of your own there.",
        ),
        Kind("egress.credential_used_up", _C, 403, "Ask the operator to raise `uses` of the credential."),
        Kind("egress.unresolved", _U, 502, "Look whether the name is right.", retry=True),
        Kind(
            "egress.unreachable",
            _U,
            502,
            "Try again; the operator sees what was tried with `bawn egress log`.",
            retry=True,
        ),
        Kind("egress.upstream_broken", _U, 502, "Try again; the answer was not one that can be passed on.", retry=True),
        Kind("egress.policy_invalid", _B, 500, "This is a fault of Bawn; the policy before it holds."),
        Kind(
            "egress.unavailable",
            _B,
            503,
            "Nothing leaves while it cannot be decided and recorded; see `bawn status`.",
            retry=True,
        ),
        # what is installed by the packages door
        Kind("packages.malformed", _C, 400, "Use pip or npm with the mirror's address, which the environment holds."),
        Kind(
            "packages.not_found",
            _C,
            404,
            "Look whether the name and the version are right; only wheels are served to pip.",
        ),
        Kind("packages.not_allowed", _C, 403, "Ask the operator to run `bawn egress allow`, with @pip or @npm."),
        Kind(
            "packages.not_approved",
            _C,
            403,
            "Use an approved package, or ask the operator to add this one to `packages.allow`.",
        ),
        Kind("packages.young", _C, 403, "Ask for an older version."),
        Kind(
            "packages.not_locked",
            _C,
            403,
            "Install from the lock file with hashes, or ask the operator for another mode.",
        ),
        Kind(
            "packages.starts_code",
            _C,
            403,
            "Use another version, or ask the operator to name the package in `packages.code_at_start`.",
        ),
        Kind("packages.malware", _C, 403, "Do not use it; look for where its name came from."),
        Kind("packages.hostile", _C, 403, "Do not use it; the operator sees what was found with `bawn egress log`."),
        Kind(
            "packages.changed",
            _C,
            403,
            "Do not use it; the operator has to look why the same name stands for other bytes.",
        ),
        Kind("packages.upstream", _U, 502, "Try again; the operator sees whether the registry answers.", retry=True),
        Kind("packages.unavailable", _B, 503, "Try again; the operator sees why with `bawn status`.", retry=True),
        # the operator's own surface
        Kind("api.unauthenticated", _C, 401, "Use the unix socket, or a personal token from `bawn operators token`."),
        Kind("api.forbidden", _C, 403, "Ask an admin for the role that this needs."),
        Kind("api.foreign_origin", _C, 403, "Call the management API from the machine itself, not from a web page."),
        Kind("api.unknown_host", _C, 421, "Use the exact address that `bawn status` shows."),
        Kind("api.invalid", _C, 422, "Correct the named field."),
        Kind("api.not_found", _C, 404, "Look at the list for the right name or number."),
        Kind("api.too_long", _C, 503, "Ask for less at once, or again when others are through."),
        Kind("api.conflict", _C, 409, "Choose another name, or change the state first."),
        Kind("config.invalid", _O, 422, "Correct the file at the named line; `bawn config schema` shows what fits."),
        Kind("config.unreadable", _O, 500, "Make the file readable for the user that runs Bawn."),
        Kind("bind.not_loopback", _O, 500, "Bind a loopback address; use a tunnel of your own for anything else."),
        Kind("bind.failed", _O, 500, "End what listens there, or choose another `api.port`."),
        # keys and state
        Kind(
            "vault.no_master_key", _O, 503, "Restore the master key file, or run `bawn keys reset` and add keys anew."
        ),
        Kind("vault.unreadable", _O, 503, "The master key does not fit; restore it, or run `bawn keys reset`."),
        Kind("vault.unknown_key", _C, 404, "Look at `bawn keys list`."),
        Kind("rule.blocked", _C, 403, "Do without it; the operator's rules say what may be sent."),
        Kind("rule.failed", _O, 503, "Look at `bawn rules log` and at the named rule.", retry=True),
        Kind(
            "rule.not_recorded",
            _C,
            404,
            "Put `log: {}` under `transforms` in bawn.yaml and run `bawn config reload`; what is said from then on is kept.",
        ),
        Kind("rule.unknown", _C, 404, "Look at `bawn rules list`."),
        Kind("store.unavailable", _B, 503, "Look at the disk and at `bawn status`.", retry=True),
        Kind(
            "audit.unavailable", _B, 503, "Nothing passes while it cannot be recorded; see `bawn status`.", retry=True
        ),
        # boxes
        Kind("sandbox.invalid", _C, 422, "Correct the named field of the container."),
        Kind("sandbox.runtime_missing", _O, 503, "Install what the sentence names; `make setup` does."),
        Kind("sandbox.start_failed", _O, 500, "Look at `bawn logs` and at `bawn status`."),
        Kind("sandbox.image_missing", _O, 404, "Build it with `bawn images build`."),
        Kind("sandbox.not_running", _C, 409, "Start the container first."),
        Kind("files.not_found", _C, 404, "Look with `bawn files list` what is there."),
        Kind("files.refused", _C, 403, "Only plain files and folders of the container's own are reached from outside."),
        Kind("files.failed", _C, 409, "Change what the sentence names, then try again."),
        Kind("files.too_large", _C, 413, "Send a smaller file, or split it."),
        Kind("sandbox.mount_taken", _C, 409, "Stop the container that has the folder, or take another folder."),
        Kind("sandbox.limit_unenforceable", _C, 422, "Leave the limit out, or say --allow-soft-limits."),
        Kind("workspace.conflict", _C, 409, "Compare both by hand; nothing of the host was overwritten."),
        Kind("workspace.changed", _C, 409, "Look again with `bawn diff`, then bring it over."),
        Kind("snapshots.no_space", _O, 507, "Free some space, or delete snapshots with `bawn snapshots delete`."),
        Kind("snapshots.broken", _O, 500, "Take another snapshot; this one's data is not what it was."),
        Kind("ports.closed", _C, 409, "Start the server inside, on 127.0.0.1 or 0.0.0.0, and look at its port."),
        Kind("sandbox.door_taken", _B, 500, "The container is stopped; start it again."),
        Kind("supervisor.unavailable", _B, 503, "Look whether `bawn up` still runs.", retry=True),
        Kind("daemon.unreachable", _O, 503, "Start it with `bawn up`."),
        Kind("internal", _B, 500, "This is a fault of Bawn; its log has the details under the id given."),
    )
}


class Fault(Exception):
    """Something Bawn will not or cannot do, said so that the reader can act on it."""

    def __init__(
        self, code: str, sentence: str, *, remedy: str | None = None, cause: str = "", retry_after: float = 0
    ) -> None:
        super().__init__(sentence)
        self.kind = KINDS[code]
        self.sentence = sentence
        self.remedy = remedy if remedy is not None else self.kind.remedy
        self.cause = cause
        """Told to the operator only: the record and `bawn why`, never the client."""
        self.retry_after = retry_after
        """Seconds after which the same call may succeed, where that is known; 0 where it is not."""

    @property
    def code(self) -> str:
        return self.kind.code

    @property
    def status(self) -> int:
        return self.kind.status

    def __repr__(self) -> str:
        return f"Fault({self.code!r}, {self.sentence!r})"


def quoted(text: str, limit: int = 80) -> str:
    """Text of somebody else, made safe to stand in a sentence: escaped, one line, at most `limit` characters."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return (
        "'"
        + "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in shown)
        + "'"
    )
