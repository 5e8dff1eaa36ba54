"""Service accounts of Google: a key that signs for a token, which is sent instead of it and ends within the hour.

The token is fetched from the `token_uri` that the key itself names, by a JWT of RFC 7523, kept, and fetched anew some
minutes before it ends; of many calls that want it at once one fetches. While the old one still holds nobody waits,
and after a failure there is a pause, so that a container cannot make the gateway hammer the place.
https://developers.google.com/identity/protocols/oauth2/service-account
"""

from __future__ import annotations

import asyncio
import re
from base64 import urlsafe_b64encode
from urllib.parse import urlencode, urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from bawn import __version__
from bawn.errors import Fault, quoted
from bawn.gateway.asking import Told, ask
from bawn.gateway.pool import Pool
from bawn.gateway.providers import Origin
from bawn.terms.clock import Clock
from bawn.terms.value import Value

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE = 3600
_EARLY = 300.0
"""Seconds before its end at which a token is fetched anew."""
_LATE = 20.0
"""Seconds before its end after which a token is not sent any more: a call takes its time to arrive."""
_PAUSE = 5.0
"""Seconds after a failure in which none is tried again."""
_LOCAL = ("localhost", "127.0.0.1", "::1")
_TOKEN = re.compile(r"[\x21-\x7e]{8,8192}")


class _Said(Struct):
    """The fields of a service account's key that matter."""

    client_email: str
    private_key: str
    token_uri: str
    private_key_id: str = ""


class _Granted(Struct):
    access_token: str
    expires_in: float = _LIFE


class ServiceAccount(Value, frozen=True):
    """Who signs, and where a token is had for that."""

    email: str
    key_id: str
    uri: str
    origin: Origin
    path: str
    key: RSAPrivateKey


def service_account(text: str) -> ServiceAccount:
    """Fault `upstream.key_refused`, which quotes nothing of it, when the key is none of a service account."""
    try:
        said = msgspec.json.decode(text, type=_Said)
        key = load_pem_private_key(said.private_key.encode(), None)
        parts = urlsplit(said.token_uri)
        port = parts.port
    except (ValueError, TypeError, msgspec.MsgspecError, UnsupportedAlgorithm) as error:
        raise _unfit() from error
    host = parts.hostname or ""
    tls = parts.scheme == "https"
    # What is sent there lets anybody have a token: in the clear it goes to this machine only.
    if not isinstance(key, RSAPrivateKey) or not host or not (tls or (parts.scheme == "http" and host in _LOCAL)):
        raise _unfit()
    if not re.fullmatch(r"[A-Za-z0-9._~/-]*", parts.path) or not re.fullmatch(r"[A-Za-z0-9.:-]+", host):
        raise _unfit()
    origin = Origin(host, port or (443 if tls else 80), tls)
    return ServiceAccount(said.client_email, said.private_key_id, said.token_uri, origin, parts.path or "/", key)


def assertion(account: ServiceAccount, now: int) -> str:
    """A JWT by which the account asks for a token (RS256)."""
    header = {"alg": "RS256", "typ": "JWT"} | ({"kid": account.key_id} if account.key_id else {})
    claims = {"iss": account.email, "scope": _SCOPE, "aud": account.uri, "iat": now, "exp": now + _LIFE}
    text = f"{_part(msgspec.json.encode(header))}.{_part(msgspec.json.encode(claims))}"
    return f"{text}.{_part(account.key.sign(text.encode(), PKCS1v15(), SHA256()))}"


class Tokens:
    """The token of one service account."""

    def __init__(self, secret: str, pool: Pool, clock: Clock) -> None:
        self._secret = secret
        self._pool = pool
        self._clock = clock
        self._account: ServiceAccount | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._fresh_until = 0.0
        self._valid_until = 0.0
        self._not_before = 0.0
        self._forgotten_at = -_PAUSE
        self._fault: Fault | None = None
        self.token = ""

    async def ready(self) -> None:
        """Returns when `token` can be sent. Faults `upstream.key_refused`, `upstream.unreachable`."""
        now = self._clock.monotonic()
        if now < self._fresh_until:
            return
        if self._fetching is None and now >= self._not_before:
            self._fetching = asyncio.create_task(self._fetch(), name="a token for a provider")
        if now < self._valid_until:
            return
        if self._fetching is not None:
            # One call that is cut must not take the token from the others.
            await asyncio.shield(self._fetching)
        if self._fault is not None:
            raise Fault(self._fault.code, self._fault.sentence, remedy=self._fault.remedy, cause=self._fault.cause)

    def forget(self) -> None:
        """It was refused: the next call has another one, but not again and again."""
        now = self._clock.monotonic()
        if now >= self._forgotten_at + _PAUSE:
            self._forgotten_at = now
            self._fresh_until = self._valid_until = 0.0

    async def _fetch(self) -> None:
        try:
            if self._account is None:
                self._account = service_account(self._secret)
            granted = await _fetched(self._account, self._pool, self._clock)
        except Fault as fault:
            self._fault = fault
            self._not_before = self._clock.monotonic() + _PAUSE
        else:
            now = self._clock.monotonic()
            self.token, self._fault = granted.access_token, None
            self._valid_until = now + granted.expires_in - _LATE
            self._fresh_until = now + max(granted.expires_in - _EARLY, granted.expires_in / 2)
        finally:
            self._fetching = None


async def _fetched(account: ServiceAccount, pool: Pool, clock: Clock) -> _Granted:
    jwt = assertion(account, int(clock.now().timestamp()))
    body = urlencode({"grant_type": _GRANT, "assertion": jwt}).encode()
    head = "\r\n".join(
        (
            f"POST {account.path} HTTP/1.1",
            f"host: {account.origin.authority}",
            "content-type: application/x-www-form-urlencoded",
            "accept: application/json",
            "accept-encoding: identity",
            f"user-agent: bawn/{__version__}",
            f"content-length: {len(body)}",
            "\r\n",
        )
    )
    try:
        told = await ask(pool, clock.monotonic, account.origin, head.encode("ascii"), body)
    except Fault as fault:
        raise _unreachable(fault.cause or fault.sentence) from fault
    return _granted(told)


def _granted(told: Told) -> _Granted:
    if told.status in (400, 401, 403):
        raise Fault(
            "upstream.key_refused",
            "The provider gave no token for the key that this installation has for it.",
            cause=f"it answered {told.status}{_reason(told.body)}",
        )
    if told.status != 200:
        raise _unreachable(f"it answered {told.status}")
    try:
        granted = msgspec.json.decode(told.body, type=_Granted)
    except msgspec.MsgspecError:
        raise _unreachable("it answered something that is no token") from None
    if not _TOKEN.fullmatch(granted.access_token) or not 60 <= granted.expires_in <= 86_400:
        raise _unreachable("it answered a token that cannot be one")
    return granted


def _reason(body: bytes) -> str:
    """The word of RFC 6749 for it; never the description, which may quote what was sent."""
    try:
        word = msgspec.json.decode(body)["error"]
    except (msgspec.MsgspecError, KeyError, TypeError):
        return ""
    return f": {word}" if isinstance(word, str) and re.fullmatch(r"[a-z_]{1,40}", word) else ""


def _part(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _unfit() -> Fault:
    return Fault(
        "upstream.key_refused",
        "The key for this provider is none of a service account.",
        remedy="Ask the operator to give the whole JSON file of a service account to `bawn keys rotate`.",
    )


def _unreachable(why: str) -> Fault:
    return Fault("upstream.unreachable", "No token could be had for this provider.", cause=quoted(why, 200))
