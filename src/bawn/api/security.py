"""Who may reach the management API at all: one small ASGI layer for each question, in this order.

1. Something fails that nobody foresaw: it is logged, the client gets an id.          `Unbroken`
2. One Host, and exactly one of ours: a name that an attacker points at 127.0.0.1
   (DNS rebinding) is not.                                                            `ExactHost`
3. No web page other than our own may call: Origin and Sec-Fetch-Site.                `OwnOrigin`
4. Who is it? By the peer's user id on the unix socket, by token on loopback.         `Known`
5. May this person do this? By the table in `api.roles`.                              `Allowed`
6. Is the body of a bearable size, and does it come in time?                          `Bounded`
7. What changes something is in the record before it happens.                         `Recorded`

There is no CORS answer, so a browser lets nobody read what it should not have sent either. Each listener
gets layers of its own: trust in the kernel's user id exists on the unix socket's and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bawn.api.answers import refusal, unexpected
from bawn.api.roles import ROOT, WEBSOCKET, methods, needed, streamed
from bawn.api.services import Recorder
from bawn.errors import Fault, quoted
from bawn.identity.operators import Operators
from bawn.terms.event import Event
from bawn.terms.principal import Operator, label

MAX_BODY_BYTES = 1024 * 1024
BODY_TIMEOUT_S = 30.0

OPERATOR = "bawn.operator"
"""Where in the scope the caller stands, put there by `Known` alone."""

_CLAIMS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
"""Where a container's client sends its token."""

PEER_UID = "uid:"
"""How `api.peers` writes a user id that the kernel reported into `scope["client"]`."""


def operator_of(scope: Scope) -> Operator:
    operator = scope[OPERATOR]
    if not isinstance(operator, Operator):
        raise TypeError("the caller is not known")
    return operator


async def refuse(scope: Scope, receive: Receive, send: Send, fault: Fault) -> None:
    """Answers with the fault, on a WebSocket that is not open yet as well."""
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
    await refusal(fault)(scope, receive, send)


class Unbroken:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Fault as fault:
            if not begun:
                await refuse(scope, receive, send, fault)
        except Exception as error:  # noqa: BLE001 - the outermost place: logged with an id, told without detail
            failure = unexpected(error, scope["path"])
            if not begun:
                await refuse(scope, receive, send, failure)


class ExactHost:
    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = Headers(scope=scope).getlist("host")
        if len(named) != 1 or named[0].lower() not in self._hosts:
            shown = quoted(named[0]) if len(named) == 1 else f"{len(named)} Host headers"
            await refuse(scope, receive, send, Fault("api.unknown_host", f"{shown} is not an address of this API."))
            return
        await self._app(scope, receive, send)


class OwnOrigin:
    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._origins = frozenset(f"http://{host}" for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        origins = headers.getlist("origin")
        sites = headers.getlist("sec-fetch-site")
        # Another port of localhost is "same-site", and is somebody else.
        if any(origin not in self._origins for origin in origins) or any(
            site not in ("same-origin", "none") for site in sites
        ):
            await refuse(scope, receive, send, Fault("api.foreign_origin", "A web page may not call this API."))
            return
        await self._app(scope, receive, send)


class Known:
    def __init__(self, app: ASGIApp, operators: Operators, *, trust_peer: bool) -> None:
        self._app = app
        self._operators = operators
        self._trust_peer = trust_peer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            operator = await self._who(scope)
        except Fault as fault:
            await refuse(scope, receive, send, fault)
            return
        await self._app({**scope, OPERATOR: operator}, receive, send)

    async def _who(self, scope: Scope) -> Operator:
        headers = Headers(scope=scope)
        if any(container_token(headers.get(name, "")) for name in _CLAIMS):
            raise Fault(
                "api.unauthenticated",
                "A container's token opens no door but the container's own.",
                remedy="Call models from inside the container; manage with the unix socket or a personal token.",
            )
        given = headers.getlist("authorization")
        if given:
            scheme, _, token = given[0].partition(" ")
            operator = self._operators.by_token(token.strip()) if scheme.lower() == "bearer" else None
            if operator is None or len(given) > 1:
                raise Fault("api.unauthenticated", "This token is not known, or no longer good.")
            # When a token was last used is good to know; that it cannot be written must not keep anybody out.
            with contextlib.suppress(Fault):
                await self._operators.note_use(token.strip())
            return operator
        if not self._trust_peer:
            raise Fault("api.unauthenticated", "A personal token is needed here.")
        uid = peer_uid(scope)
        operator = self._operators.by_uid(uid) if uid is not None else None
        if operator is None:
            raise Fault(
                "api.unauthenticated",
                "Your user is not an operator of this installation.",
                remedy="Ask an admin for `bawn operators add`.",
            )
        return operator


def container_token(value: str) -> bool:
    """Whether a credential claims to be a container's, with or without `Bearer`."""
    return value.strip().split(" ")[-1].lower().startswith("container-")


def peer_uid(scope: Scope) -> int | None:
    client = scope.get("client")
    if not client or not str(client[0]).startswith(PEER_UID):
        return None
    return int(client[0].removeprefix(PEER_UID))


class Allowed:
    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operator = operator_of(scope)
        method = WEBSOCKET if scope["type"] == "websocket" else scope["method"]
        path = scope["path"]
        row = None if b"%2f" in scope.get("raw_path", b"").lower() else needed(method, path)
        if row is None:
            await refuse(scope, receive, send, unknown(method, path))
            return
        role, changes = row
        if not operator.may(role):
            event = Event("operator.refused", endpoint=path, method=method, principal=label(operator), status=403)
            await self._recorder.record(event)
            fault = Fault("api.forbidden", f"This needs the role {role.value!r}, which {operator.person!r} has not.")
            await refuse(scope, receive, send, fault)
            return
        await self._app({**scope, "bawn.changes": changes}, receive, send)


def unknown(method: str, path: str) -> Fault:
    if methods(path) - {WEBSOCKET}:
        return Fault("http.method_not_allowed", f"{quoted(method)} is not possible here.")
    return Fault("http.unknown_path", f"There is nothing at {quoted(path)}.")


class Bounded:
    """The whole body is read before the application sees the call: a megabyte at most. Files are read as they come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if streamed(scope["method"], scope["path"]):
            await self._app(scope, unhurried(receive), send)
            return
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await whole(receive)
        except TimeoutError:
            body = Fault("http.too_slow", f"The body did not come within {BODY_TIMEOUT_S:.0f} seconds.")
        if isinstance(body, Fault):
            await refuse(scope, receive, send, body)
        elif body is not None:
            await self._app(scope, replayed(body, receive), send)


def unhurried(receive: Receive) -> Receive:
    """A long body may take long, but no pause of it."""

    async def in_time() -> Message:
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                return await receive()
        except TimeoutError:
            raise Fault("http.too_slow", f"Nothing came for {BODY_TIMEOUT_S:.0f} seconds.") from None

    return in_time


async def whole(receive: Receive) -> bytes | Fault | None:
    """The body; a fault when it is too large; None when the client has gone."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return Fault("http.body_too_large", f"The body has more than {MAX_BODY_BYTES} bytes.")
        if not message.get("more_body", False):
            return bytes(body)


def replayed(body: bytes, receive: Receive) -> Receive:
    told = False

    async def first_the_body() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first_the_body


class Recorded:
    """Every change is on record before it happens, but for acts on containers: their lifecycle records those itself,
    each in its order, so that a record that cannot be written holds up no withdrawal."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["bawn.changes"] and not scope["path"].startswith(_CONTAINERS):
            method = scope.get("method", WEBSOCKET)
            event = Event("operator.acts", endpoint=scope["path"], method=method, principal=label(operator_of(scope)))
            await self._recorder.record(event)
        await self._app(scope, receive, send)


_CONTAINERS = f"{ROOT}/containers/"


def guarded(
    app: ASGIApp, *, operators: Operators, recorder: Recorder, hosts: frozenset[str], trust_peer: bool
) -> ASGIApp:
    """`app` behind all layers, for a listener with these names."""
    layers: list[Callable[[ASGIApp], ASGIApp]] = [
        Unbroken,
        lambda inner: ExactHost(inner, hosts),
        lambda inner: OwnOrigin(inner, hosts),
        lambda inner: Known(inner, operators, trust_peer=trust_peer),
        lambda inner: Allowed(inner, recorder),
        Bounded,
        lambda inner: Recorded(inner, recorder),
    ]
    for layer in reversed(layers):
        app = layer(app)
    return app
