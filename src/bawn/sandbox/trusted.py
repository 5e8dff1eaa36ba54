"""Files that a host runs or obeys when it sees them, and files that hold credentials.

The first kind is never brought from an agent's copy to the host unless it is named by itself: hooks and settings of git,
of shells' and editors' folders, of agents. In `.git` the rule is the other way round: only what is data is free. The
second kind is left out when a copy is made. Names are compared without regard to case, since some file systems have none.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from bawn.sandbox.guarded import SECRET_FOLDERS, TRUSTED, secret

_GUARDED_NAMES = frozenset(
    {
        ".envrc", ".mcp.json", ".gitmodules", ".gitattributes", ".gitconfig", ".bashrc", ".bash_profile", ".bash_login",
        ".profile", ".zshrc", ".zshenv", ".zprofile", ".zlogin", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pnpmfile.cjs",
        ".pre-commit-config.yaml", ".tool-versions", ".mise.toml", "mise.toml", ".ripgreprc",
        "sitecustomize.py", "usercustomize.py", ".claude.json", ".cursorrules", ".lldbinit", ".gdbinit",
        ".pythonrc", ".pdbrc", ".vimrc", ".exrc", ".nvimrc", ".dir-locals.el", ".bazelrc",
    }
)  # fmt: skip
_GUARDED_FOLDERS = frozenset(
    {".vscode", ".idea", ".claude", ".cursor", ".codex", ".opencode", ".gemini", ".devcontainer", ".husky", ".githooks",
     ".direnv", ".zed", ".fleet", ".github", ".config", ".ssh", ".gnupg", ".circleci"}
)  # fmt: skip
_TRUSTED = frozenset(each.path for each in TRUSTED)
_GIT_DATA = frozenset(
    {"objects", "refs", "logs", "head", "index", "packed-refs", "orig_head", "fetch_head", "merge_head", "commit_editmsg",
     "description", "shallow", "rebase-merge", "rebase-apply", "merge_msg", "merge_mode", "auto_merge", "cherry_pick_head"}
)  # fmt: skip

_FURTHER_SECRETS = re.compile(r".+\.(pem|key|ovpn|tfvars)\Z|\.vault-token\Z")
"""Not looked into when a copy is made: one certificate too few in a copy harms nobody."""


def guarded(path: str) -> bool:
    """Whether a host may run or obey what stands there."""
    parts = [part.lower() for part in PurePosixPath(path).parts]
    for at, part in enumerate(parts):
        if part == ".git":
            rest = parts[at + 1 :]
            # A file `.git` points elsewhere; everything in a folder `.git` but data is settings, hooks, or leads there.
            return not rest or rest[0] not in _GIT_DATA or rest[:3] == ["objects", "info", "alternates"]
        if part in _GUARDED_FOLDERS or part in _TRUSTED:
            return True
    return bool(parts) and parts[-1] in _GUARDED_NAMES


def credential(path: str) -> bool:
    """Whether a file or folder of this name is left out of a copy."""
    name = PurePosixPath(path.lower()).name
    return name in SECRET_FOLDERS or secret(name) or _FURTHER_SECRETS.match(name) is not None
