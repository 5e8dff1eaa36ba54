"""What pip and npm inside are told by their environment: where the mirror is, and how to install without running anything.

Variables and not files, because a program's own configuration in a workspace would outdo a file of the home folder, and
nothing has to be written into a container. Nothing here is a wall: the mirror holds to all of it by itself, but for install
scripts, which npm runs inside when somebody tells it to, with no more rights than whoever told it.
Standard library only: the supervisor reads this room.
"""

from __future__ import annotations

from bawn.terms.door import PLACES, DoorKind

_PACKAGES = PLACES[DoorKind.PACKAGES]
MIRROR = f"http://{_PACKAGES.hostname}"


def client_environment() -> dict[str, str]:
    """The same for every container."""
    return {
        "PIP_INDEX_URL": f"{MIRROR}/pypi/simple/",
        # The door is this container's own loopback: there is nobody between it and the mirror.
        "PIP_TRUSTED_HOST": _PACKAGES.hostname,
        "PIP_ONLY_BINARY": ":all:",
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "NPM_CONFIG_REGISTRY": f"{MIRROR}/npm/",
        "NPM_CONFIG_IGNORE_SCRIPTS": "true",
        # Lock files made elsewhere name another registry, and those made here are used elsewhere: no address binds them.
        "NPM_CONFIG_REPLACE_REGISTRY_HOST": "always",
        "NPM_CONFIG_OMIT_LOCKFILE_REGISTRY_RESOLVED": "true",
    }
