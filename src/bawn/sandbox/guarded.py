"""What of a workspace is more than data: files that the host would run or trust, and secrets that lie about. Data.

The first kind is shown read-only, and where it is missing an empty thing stands in its place, so that the agent cannot
make it (CVE-2026-25725). The second kind is found when the box starts and hidden beneath something empty. AGENTS.md,
CLAUDE.md and the like are words to an agent and stay data; so does what a person runs by name (Makefile, package.json,
`.pre-commit-config.yaml`): its changes are seen before it is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guarded:
    path: str
    folder: bool
    why: str
    seen: bool = False
    """Whether what stands in its place can be looked into. Codex ends when it may not; OpenCode would write into it."""


TRUSTED = (
    Guarded(".envrc", folder=False, why="direnv runs it when a shell enters the folder"),
    Guarded(".mcp.json", folder=False, why="agents on the host start the commands in it"),
    Guarded(".vscode", folder=True, why="tasks and settings of the editor run programs"),
    Guarded(".idea", folder=True, why="run configurations and external tools of the editor"),
    Guarded(".devcontainer", folder=True, why="its commands run on the host when the folder is opened"),
    Guarded(".claude", folder=True, why="hooks, commands and settings of an agent on the host"),
    Guarded(".opencode", folder=True, why="plugins and settings of an agent on the host"),
    Guarded(".codex", folder=True, why="settings of an agent on the host", seen=True),
    Guarded(".cursor", folder=True, why="rules and servers of an agent on the host"),
    Guarded(".gemini", folder=True, why="settings of an agent on the host"),
)
"""At the top of the workspace."""

PRESENT = (Guarded(".husky", folder=True, why="git runs it where core.hooksPath names it; that is set by .git/config"),)
"""Like TRUSTED, but harmless as long as it is missing."""

IN_GIT = (
    Guarded("hooks", folder=True, why="git runs them"),
    Guarded("config", folder=False, why="names programs that git runs (core.fsmonitor, core.sshCommand, aliases)"),
    Guarded("config.worktree", folder=False, why="as config"),
)
"""In every `.git` that is found. The folder itself becomes a mount of its own, so that it cannot be moved aside."""

SECRET_FOLDERS = frozenset({".ssh", ".aws", ".gnupg", ".kube", ".azure", ".docker"})
SECRET_FILES = re.compile(
    r"(\.env(\..+)?|\.npmrc|\.pypirc|\.netrc|_netrc|\.git-credentials|\.dockercfg|\.pgpass|\.my\.cnf|\.htpasswd"
    r"|id_(rsa|dsa|ecdsa|ed25519)(_sk)?|credentials(\.json)?|service[-_]account.*\.json|client_secret.*\.json"
    r"|application_default_credentials\.json|.+\.(kdbx|jks|keystore|p12|pfx|tfstate|ppk))\Z"
)
EXAMPLES = re.compile(r"\.env\.(example|sample|template|dist|defaults?)\Z")
"""Made to be read."""
KEY_FILES = re.compile(r".+\.(pem|key)\Z")
"""Secrets only if they hold one: most are certificates."""
PRIVATE = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY")
NOT_SEARCHED = frozenset({"node_modules", ".venv", "venv", "__pycache__", "site-packages", ".tox", "target"})
"""Folders of other people's files, which are many."""


def secret(name: str) -> bool:
    return SECRET_FILES.match(name) is not None and EXAMPLES.match(name) is None
