"""AWS's Signature Version 4: a request signed with a key that itself is not sent.

What is signed is method, path, some headers and the body, so neither can be changed on the way, and the moment, so the
request cannot be sent again later. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from urllib.parse import quote

from bawn.errors import Fault
from bawn.terms.value import Value

_CREDENTIALS = re.compile(r"([A-Z0-9]{16,128}):([^:\s]{16,128})(?::([^:\s]{16,6000}))?")
_ALGORITHM = "AWS4-HMAC-SHA256"


class AwsKey(Value, frozen=True):
    """What signs."""

    id: str
    secret: str
    session: str
    """The token of a temporary key, which is sent along; else empty."""


def aws_key(secret: str) -> AwsKey | None:
    """`ACCESS_KEY_ID:SECRET` or `ACCESS_KEY_ID:SECRET:SESSION_TOKEN`; None for what is sent as it stands."""
    found = _CREDENTIALS.fullmatch(secret)
    return AwsKey(found[1], found[2], found[3] or "") if found else None


class ToSign(Value, frozen=True):
    """What of a request is signed."""

    method: str
    path: str
    """As sent, percent-encoded, without the query."""
    query: str
    """As sent, sorted and percent-encoded; no path of ours has one."""
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, `host` among them."""
    body: bytes


def signed(request: ToSign, key: AwsKey, region: str, service: str, moment: datetime) -> tuple[tuple[str, str], ...]:
    """The headers to add. The path is encoded once more, as all services but S3 want it."""
    if moment.tzinfo is None:
        raise Fault("internal", "A signature needs a moment with its time zone.")
    stamp = moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    added = [("x-amz-date", stamp)]
    if key.session:
        added.append(("x-amz-security-token", key.session))
    headers = sorted((*request.headers, *added))
    names = ";".join(name for name, _ in headers)
    canonical = "\n".join(
        (
            request.method,
            quote(request.path, safe="/~"),
            request.query,
            *(f"{name}:{' '.join(value.split())}" for name, value in headers),
            "",
            names,
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.digest(_signing_key(key.secret, stamp[:8], region, service), text.encode(), "sha256").hex()
    proof = f"{_ALGORITHM} Credential={key.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return (*added, ("authorization", proof))


def _signing_key(secret: str, *parts: str) -> bytes:
    """A key for one day, region and service; not the secret itself signs."""
    key = b"AWS4" + secret.encode()
    for part in (*parts, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
