"""The page behind the links of a notice: a GET shows what is asked and changes nothing, a POST answers it.

Such a link is opened in a browser, which has neither a peer's user id nor a token to send. The link itself carries the
right to look at this one question, a secret that the container never learns; so a program that fetches links to preview
them does no harm. To answer, a person types a personal token into the form, and is named in the record; no cookie and
nothing else that a browser sends by itself counts, so no other page can answer in somebody's name.

Everything of the question comes from an agent. It is escaped, shortened, with everything invisible written out, on a page
that loads and runs nothing; what is too long to be shown whole cannot be approved here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import html
import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bawn.api.answers import refusal
from bawn.api.roles import ROOT
from bawn.api.security import BODY_TIMEOUT_S, whole
from bawn.api.services import Recorder
from bawn.approvals.desk import REASON, Desk
from bawn.approvals.ticket import State, Ticket
from bawn.approvals.words import canonical_text
from bawn.errors import Fault
from bawn.identity.operators import Operators
from bawn.terms.event import Event
from bawn.terms.principal import Role, label
from bawn.terms.visible import shortened, visible

PATH = re.compile(r"/api/(approve|reject)(?:/([A-Za-z0-9_-]{1,64}))?")
NOTIFY = "/api/notify"
TASKS = re.compile(r"/api/tasks(?:/[A-Za-z0-9_-]{1,64}(?:/execute)?)?")
SHOWN = 64 * 1024
"""Characters of what is asked about that the page shows."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FORM = "application/x-www-form-urlencoded"

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid;padding:.8rem}"
    "dt{font-weight:bold}dd{margin:0 0 .5rem;overflow-wrap:anywhere}label{display:block;margin:.8rem 0}"
    "input{font:inherit;width:100%;box-sizing:border-box}button{font:inherit;padding:.4rem 1.2rem}"
    ":root{color-scheme:light dark}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # Not `no-referrer`: a browser would then send `Origin: null` with the form.
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Shortcuts:
    """The short paths `/api/notify`, `/api/tasks`, `/api/approve?id=` (or `/api/approve/<id>`) and the same for reject, in
    front of the API.

    What a browser does with a link goes to the page; everything else is the call of an operator's program by another
    path, and meets the same guard.
    """

    def __init__(self, api: ASGIApp, page: ASGIApp) -> None:
        self._api = api
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        short = PATH.fullmatch(path)
        if scope["type"] == "http" and TASKS.fullmatch(path):
            await self._api(_at(scope, ROOT + path.removeprefix("/api")), receive, send)
            return
        if scope["type"] != "http" or (path != NOTIFY and short is None):
            await self._api(scope, receive, send)
            return
        if short is None:
            await self._api(_at(scope, f"{ROOT}/notify"), receive, send)
            return
        sent = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] in ("GET", "HEAD") or sent == _FORM:
            await self._page(scope, receive, send)
            return
        id_ = short[2] or _query(scope).get("id", "")
        known = id_ if _ID.fullmatch(id_) else "unknown"
        await self._api(_at(scope, f"{ROOT}/approvals/{known}/{short[1]}"), receive, send)


def _at(scope: Scope, path: str) -> Scope:
    return {**scope, "path": path, "raw_path": path.encode("ascii")}


class AskingPage:
    """`hosts`: the names of this listener; `public`: the address of the operator's own tunnel, if there is one."""

    def __init__(
        self,
        desk: Desk,
        operators: Operators,
        recorder: Recorder,
        hosts: frozenset[str],
        public: Callable[[], str | None],
    ) -> None:
        self._desk = desk
        self._operators = operators
        self._recorder = recorder
        self._hosts = hosts
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(scope, receive)
        if answer is not None:
            await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        headers = Headers(scope=scope)
        origins = {f"http://{host}" for host in self._hosts} | ({public} if (public := self._public()) else set())
        named = headers.getlist("host")
        if len(named) != 1 or named[0].lower() not in {urlsplit(origin).netloc for origin in origins}:
            return refusal(Fault("api.unknown_host", "This is not an address of this installation."))
        query = _query(scope)
        short = PATH.fullmatch(scope["path"])
        ticket = await self._desk.seen((short and short[2]) or query.get("id", ""), query.get("see", ""))
        if ticket is None or short is None:
            return _page(404, "There is nothing here, or no longer.", "")
        act = short[1]
        if scope["method"] in ("GET", "HEAD"):
            return _page(200, _said(ticket), _body(ticket, act))
        if scope["method"] != "POST":
            return refusal(Fault("http.method_not_allowed", "A link is opened or answered."))
        if any(origin not in origins for origin in headers.getlist("origin")) or any(
            site not in ("same-origin", "none") for site in headers.getlist("sec-fetch-site")
        ):
            return refusal(Fault("api.foreign_origin", "Another page may not answer here."))
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await whole(receive)
        except TimeoutError:
            body = Fault("http.too_slow", "The form did not come in time.")
        if body is None or isinstance(body, Fault):
            return refusal(body) if isinstance(body, Fault) else None
        return await self._decide(ticket, act, _fields(body))

    async def _decide(self, ticket: Ticket, act: str, form: dict[str, str]) -> Response:
        token = form.get("token", "").strip()
        by = self._operators.by_token(token)
        if by is None:
            return _page(401, "This token is not known, or no longer good. Nothing was answered.", _body(ticket, act))
        with contextlib.suppress(Fault):
            await self._operators.note_use(token)
        try:
            if not by.may(Role.APPROVER):
                event = Event(
                    "operator.refused", endpoint=f"/api/{act}", method="POST", principal=label(by), status=403
                )
                await self._recorder.record(event)
            if act == "approve" and _too_long(ticket):
                raise Fault("approval.changed", "It is too long to be approved here.")
            answer = self._desk.approve if act == "approve" else self._desk.reject
            after = await answer(ticket.id, form.get("digest", ""), by, reason=form.get("reason", ""))
        except Fault as fault:
            again = await self._desk.get(ticket.id)
            return _page(fault.status, f"{fault.sentence} {fault.remedy}", _body(again, act))
        return _page(200, f"It {after.told()}.", _body(after, act))


def _query(scope: Scope) -> dict[str, str]:
    return _fields(scope.get("query_string", b""))


def _fields(data: bytes) -> dict[str, str]:
    """Each name once; a name that stands twice is none."""
    try:
        pairs = parse_qs(data.decode("ascii"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[0] for name, values in pairs.items() if len(values) == 1}


def _said(ticket: Ticket) -> str:
    return "Somebody has to answer this." if ticket.state is State.OPEN else f"It {ticket.told()}."


def _too_long(ticket: Ticket) -> bool:
    return len(visible(canonical_text(ticket), keep="\n\t")) > SHOWN


def _shown(text: str, limit: int = 500, keep: str = "") -> str:
    return html.escape(shortened(visible(text, keep), limit))


def _body(ticket: Ticket, act: str) -> str:
    question = ticket.question
    rows = [
        ("container", question.container),
        ("tool", question.tool),
        ("server", question.server),
        ("question", question.title),
        ("why a person is asked", question.because),
        ("asked", f"{ticket.asked:%Y-%m-%d %H:%M:%S}Z"),
        ("expires", f"{ticket.expires:%Y-%m-%d %H:%M:%S}Z"),
        ("digest", ticket.digest),
    ]
    told = "".join(f"<dt>{name}</dt><dd>{_shown(value)}</dd>" for name, value in rows if value)
    text = _shown(canonical_text(ticket), SHOWN, "\n\t")
    edited = f"<h2>Instead of it</h2><pre>{_shown(ticket.edited, SHOWN, _LINES)}</pre>" if ticket.edited else ""
    what = f"<dl>{told}</dl><h2>What is asked</h2><pre>{text}</pre>{edited}"
    if ticket.state is not State.OPEN:
        return what
    other = "reject" if act == "approve" else "approve"
    where = urlencode({"id": ticket.id, "see": ticket.see})
    over = f'<p><a href="/api/{other}?{html.escape(where)}">To {other} it instead</a></p>'
    if act == "approve" and _too_long(ticket):
        return (
            f"{what}<p>It is too long to be approved here: use <code>bawn approvals show {ticket.id}</code>.</p>{over}"
        )
    return (
        f'{what}<form method="post" action="/api/{act}?{html.escape(where)}" autocomplete="on">'
        f'<input type="hidden" name="digest" value="{ticket.digest}">'
        f'<label>Your personal token <input type="password" name="token" autocomplete="current-password" required></label>'
        f'<label>Reason, if there is one <input name="reason" maxlength="{REASON}" autocomplete="off"></label>'
        f"<button>{act.capitalize()}</button></form>{over}"
    )


_LINES = "\n\t"


def _page(status: int, said: str, body: str) -> Response:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Bawn</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{_STYLE}</style></head><body><h1>Bawn</h1><p role="status">{_shown(said, 2000)}</p>{body}</body></html>'
    )
    return Response(page, status, HEADERS, media_type="text/html; charset=utf-8")
