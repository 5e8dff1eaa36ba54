"""The environment by which programs inside find the egress and packages doors, and the certificates they may meet there.

Nothing here grants anything: without these variables the same programs reach nothing at all. With them, a place that is
not allowed answers with a readable refusal instead of "network is unreachable", and `pip install` and `npm install` ask the
mirror. Install scripts stay off and only wheels are taken, which the mirror holds to by itself as well.
Standard library only: the supervisor reads this room.
"""

from __future__ import annotations

from bawn.sandbox.client_config import client_environment
from bawn.sandbox.furnishing import HOME
from bawn.terms.door import PLACES, DoorKind

_EGRESS = PLACES[DoorKind.EGRESS]
PROXY = f"http://{_EGRESS.hostname}:{_EGRESS.port}"

CA_BUNDLE = f"{HOME}/.bawn/ca.pem"
"""The image's own authorities and the proxy's of this boot, in one file."""

TRUST = (
    'umask 022; mkdir -p "$HOME/.bawn"; '
    '{ cat /etc/ssl/certs/ca-certificates.crt 2>/dev/null; printf "%s\\n" "$1"; } > "$HOME/.bawn/ca.new" && '
    'mv "$HOME/.bawn/ca.new" "$HOME/.bawn/ca.pem"'
)
"""A shell line with the proxy's authority as its first argument."""

WRITE_FILES = (
    'umask 077; while [ $# -gt 1 ]; do case $1 in */*) mkdir -p "$HOME/${1%/*}";; esac; '
    'printf %s "$2" > "$HOME/$1"; shift 2; done'
)
"""A shell line with pairs of a path in the home folder and its text as arguments."""


def egress_environment() -> dict[str, str]:
    """The same for every container: what may pass is decided at the door."""
    here = ",".join(("localhost", "127.0.0.0/8", ".bawn.internal", *(place.hostname for place in PLACES.values())))
    proxies = {name: PROXY for word in ("http_proxy", "https_proxy") for name in (word.upper(), word)}
    return {
        **proxies,
        # Every form of the same, since each program reads another: the doors are reached directly.
        "NO_PROXY": here,
        "no_proxy": here,
        "SSL_CERT_FILE": CA_BUNDLE,
        "REQUESTS_CA_BUNDLE": CA_BUNDLE,
        "CURL_CA_BUNDLE": CA_BUNDLE,
        "GIT_SSL_CAINFO": CA_BUNDLE,
        "NODE_EXTRA_CA_CERTS": CA_BUNDLE,
        **client_environment(),
    }
