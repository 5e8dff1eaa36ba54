"""The real git, through the proxy, to a forge on loopback that serves by git's own backend."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.egress_process.conftest import ONE, Start, Yard
from tests.egress_process.sites import Remembering

from bawn.egress.policy import rule_of

FORGE = "forge.example"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    own |= {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(
        ["git", *words], cwd=folder, env={**own, **(env or {})}, capture_output=True, text=True, check=False, timeout=60
    )


async def backend(projects: Path, reader: Remembering, writer: asyncio.StreamWriter) -> None:
    """`git http-backend` behind a small HTTP/1.1."""
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, target, _ = first.split()
        path, _, query = target.partition("?")
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(projects), "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_USER": "agent",
            "CONTENT_TYPE": headers.get("content-type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        said, _ = await process.communicate(body)
        top, _, rest = said.partition(b"\r\n\r\n")
        status = next((line[8:] for line in top.split(b"\r\n") if line.lower().startswith(b"status: ")), b"200 OK")
        writer.write(b"HTTP/1.1 %b\r\n%b\r\ncontent-length: %d\r\n\r\n%b" % (status, top, len(rest), rest))
        await writer.drain()


@pytest.fixture
async def forge(start: Start, tmp_path: Path) -> Yard:
    projects = tmp_path / "projects"
    for name in ("owner/tool.git", "owner/other.git"):
        (projects / name).mkdir(parents=True)
        git(projects / name, "init", "--bare", "--initial-branch=main")
        git(projects / name, "config", "http.receivepack", "true")
    seed = tmp_path / "seed"
    seed.mkdir()
    git(seed, "init", "--initial-branch=main")
    (seed / "readme").write_text("one\n")
    git(seed, "add", ".")
    git(seed, "commit", "-m", "one")
    for name in ("tool", "other"):
        git(seed, "push", str(projects / f"owner/{name}.git"), "main")
    yard = await start()
    await yard.site(FORGE, lambda reader, writer: backend(projects, reader, writer))
    return yard


async def agent(yard: Yard, tmp_path: Path, rule: str, *words: str, folder: str = "work") -> tuple[int, str]:
    """What the agent's git says; with the rule that holds."""
    await yard.gateway.rule(ONE, rule_of(rule))
    (tmp_path / "ca.pem").write_text(yard.walls.authority.pem)
    (tmp_path / folder).mkdir(exist_ok=True)
    env = {"https_proxy": f"http://127.0.0.1:{yard.ports[ONE]}", "GIT_SSL_CAINFO": str(tmp_path / "ca.pem")}
    done = await asyncio.to_thread(git, tmp_path / folder, *words, env=env)
    return done.returncode, done.stdout + done.stderr


ALLOWED = f"@git:{FORGE}/owner/tool:work/*,fix"
TOOL = f"https://{FORGE}/owner/tool.git"


async def cloned(yard: Yard, tmp_path: Path) -> Path:
    code, said = await agent(yard, tmp_path, ALLOWED, "clone", TOOL, ".")
    assert code == 0, said
    work = tmp_path / "work"
    (work / "readme").write_text("two\n")
    git(work, "commit", "-am", "two")
    return work


async def test_one_repository_is_cloned_and_pushed_to_a_named_branch(forge: Yard, tmp_path: Path) -> None:
    await cloned(forge, tmp_path)
    for branch in ("fix", "work/deep/er"):
        code, said = await agent(forge, tmp_path, ALLOWED, "push", "origin", f"HEAD:refs/heads/{branch}")
        assert code == 0, said
    assert "fix" in git(tmp_path / "projects/owner/tool.git", "branch").stdout


async def test_a_long_push_passes_in_chunks(forge: Yard, tmp_path: Path) -> None:
    work = await cloned(forge, tmp_path)
    (work / "blob").write_bytes(os.urandom(3 << 20))
    git(work, "add", ".")
    git(work, "commit", "-m", "three")
    code, said = await agent(forge, tmp_path, ALLOWED, "push", "origin", "HEAD:refs/heads/fix")
    assert code == 0, said


@pytest.mark.parametrize(
    "words",
    [
        ["push", "origin", "HEAD:main"],
        ["push", "--force", "origin", "HEAD:refs/heads/main"],
        ["push", "origin", ":main"],
        ["push", "origin", "HEAD:refs/tags/v1"],
        ["push", "origin", "HEAD:refs/heads/fix", "HEAD:refs/heads/main"],
        ["push", "origin", "HEAD:refs/heads/fixed"],
        ["push", "origin", "HEAD:refs/heads/workshop"],
        ["push", "origin", "HEAD:refs/notes/commits"],
    ],
    ids=lambda words: words[-1],
)
async def test_no_other_reference_is_pushed_to(forge: Yard, tmp_path: Path, words: list[str]) -> None:
    await cloned(forge, tmp_path)
    tool = tmp_path / "projects/owner/tool.git"
    before = git(tool, "for-each-ref").stdout
    code, said = await agent(forge, tmp_path, ALLOWED, *words)
    assert code != 0, said
    assert git(tool, "for-each-ref").stdout == before
    assert forge.gateway.codes()[-1] == "egress.push_not_allowed"


async def test_a_rule_that_names_no_branch_is_for_fetching_alone(forge: Yard, tmp_path: Path) -> None:
    await cloned(forge, tmp_path)
    fetching = f"@git:{FORGE}/owner/tool"
    assert (await agent(forge, tmp_path, fetching, "fetch"))[0] == 0
    assert (await agent(forge, tmp_path, fetching, "push", "origin", "HEAD:refs/heads/fix"))[0] != 0


@pytest.mark.parametrize("path", ["owner/other.git", "owner/tool2.git", "owner", "owner/tool.git/../other.git"])
async def test_no_other_repository_of_the_forge_is_reached(forge: Yard, tmp_path: Path, path: str) -> None:
    code, _ = await agent(forge, tmp_path, ALLOWED, "clone", f"https://{FORGE}/{path}", ".", folder="elsewhere")
    assert code != 0


async def test_the_forges_pages_are_not_part_of_the_repository(forge: Yard) -> None:
    await forge.gateway.rule(ONE, rule_of(ALLOWED))
    for target in ("/owner/tool", "/owner/tool/settings", "/owner/tool.git/info/refs", "/owner/tool.git/HEAD",
                   "/owner/tool.git/info/refs?service=git-upload-pack&x=1", "/api/v1/user"):  # fmt: skip
        caller = await forge.tls(FORGE, trust=forge.inside())
        status, body = await caller.send(f"GET {target} HTTP/1.1\r\nHost: {FORGE}\r\n\r\n")
        assert (status, body["error"]["code"]) == (403, "egress.path_not_allowed"), target
