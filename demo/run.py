"""The demo: an agent mends a small package in a container that has no key and no network, and everything is shown.

    .venv/bin/python demo/run.py                      the scripted model, or Anthropic's when a key for it was added
    .venv/bin/python demo/run.py --runtime bubblewrap

It uses only what a user has: the command line, printed before it runs. What could not be done is tried from
inside the container and checked; the exit code is 0 only when every check held. It starts Bawn when none runs and then
stops it again, and takes its own containers away.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bawn.sandbox.agent_env import agent_environment

HERE = Path(__file__).parent
BAWN = Path(sys.executable).with_name("bawn")
NAME, OTHER = "demo", "demo-other"
PROMPT = "Find the failing test, mend the code, and show that it passes."
SCRIPTED = "scripted/agent"


class Stage:
    """The terminal: titles, commands, their output, and what was found true."""

    def __init__(self) -> None:
        self.failed = 0
        self._number = 0
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def step(self, title: str) -> None:
        self._number += 1
        print(f"\n{self._paint('1', f'{self._number}. {title}')}", flush=True)

    def say(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def check(self, held: bool, sentence: str) -> None:
        self.failed += not held
        print(f"   {self._paint('32', '✓') if held else self._paint('31', '✗ NOT TRUE:')} {sentence}", flush=True)

    def bawn(self, *words: str, quiet: bool = False) -> tuple[int, str]:
        """Runs one command of `bawn` and shows it with what it says."""
        if not quiet:
            self.say(self._paint("36", f"$ bawn {shown(words)}"))
        process = subprocess.Popen(
            [str(BAWN), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        heard = []
        for line in process.stdout:
            heard.append(line)
            if not quiet:
                self.say(f"│ {line.rstrip()}")
        process.stdout.close()
        return process.wait(), "".join(heard)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def shown(words: Sequence[str]) -> str:
    """The command as a person would type it, long arguments shortened."""
    short = [word if len(word) <= 60 and "\n" not in word else f"{word[:24].splitlines()[0]}…" for word in words]
    return " ".join(f'"{word}"' if " " in word else word for word in short)


def main() -> int:
    options = _options()
    stage = Stage()
    started = stage.bawn("status", quiet=True)[0] != 0
    workspace = Path(tempfile.mkdtemp(prefix="bawn-demo-"))
    try:
        if started and not _begin(stage):
            return 1
        _play(stage, workspace, options)
    finally:
        stage.step("Clear away")
        for name in (NAME, OTHER):
            stage.bawn("containers", "delete", name, quiet=True)
        if started:
            stage.bawn("down")
        shutil.rmtree(workspace, ignore_errors=True)
    print(f"\n{stage.failed} of the checks did not hold." if stage.failed else "\nAll of it held.")
    return 1 if stage.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="An agent without a key, step by step.")
    parser.add_argument("--runtime", default="", help="podman or bubblewrap; default: as configured")
    parser.add_argument("--image", default="agent", help="an image in which `opencode` is installed")
    parser.add_argument("--model", default="", help="provider/model, e.g. anthropic/claude-sonnet-4-5")
    return parser.parse_args()


def _begin(stage: Stage) -> bool:
    stage.step("Start Bawn")
    code, _ = stage.bawn("up", "--detach")
    stage.check(code == 0, "Bawn runs: supervisor, gateway, audit writer, and a scripted model that needs no key")
    return code == 0


def _play(stage: Stage, workspace: Path, options: argparse.Namespace) -> None:
    for name in (NAME, OTHER):
        stage.bawn("containers", "delete", name, quiet=True)
    if not _image(stage, options.image):
        return
    shutil.copytree(HERE / "sample", workspace, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    _open(workspace)
    model = options.model or _model(stage)
    box = ["--image", options.image, *(["--runtime", options.runtime] if options.runtime else [])]
    _agent(stage, workspace, model, box)
    _no_key(stage)
    _no_network(stage)
    _no_way_out(stage)
    _no_other_token(stage, box)
    _revoked(stage)
    _recorded(stage)


def _open(workspace: Path) -> None:
    """The agent in the box is another user than we are."""
    for path in (workspace, *workspace.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)


def _image(stage: Stage, image: str) -> bool:
    code, text = stage.bawn("images", "list", "-o", "json", quiet=True)
    if code == 0 and any(entry["name"] == image and entry["built"] for entry in json.loads(text)):
        return True
    stage.step("Build the image, from Debian packages; this is done once")
    code, _ = stage.bawn("images", "build", image)
    stage.check(code == 0, f"the image `{image}` stands")
    return code == 0


def _model(stage: Stage) -> str:
    """Anthropic's first model when there is a key for it, else the scripted one."""
    code, text = stage.bawn("keys", "list", "-o", "json", quiet=True)
    if code or not any(key["provider"] == "anthropic" for key in json.loads(text)):
        return SCRIPTED
    _, text = stage.bawn("models", "-o", "json", quiet=True)
    names = [str(entry["id"]) for entry in json.loads(text)]
    return next((name for name in names if name.startswith("anthropic/")), SCRIPTED)


def _agent(stage: Stage, workspace: Path, model: str, box: list[str]) -> None:
    stage.step(f"OpenCode mends a package in a container, by the model {model}")
    before = (workspace / "tally" / "mean.py").read_text()
    wire = "anthropic" if model.startswith("anthropic/") else "openai"
    # The environment of every container names the default model; the demo names the one that it chose.
    settings = agent_environment(NAME, 0, model=model, wire=wire)["OPENCODE_CONFIG_CONTENT"]
    agent = ["env", f"OPENCODE_CONFIG_CONTENT={settings}", "opencode", "run", PROMPT]
    code, _ = stage.bawn(
        "run", "--name", NAME, "--mount", str(workspace), "--workspace", "live", "--task", PROMPT, *box, "--", *agent
    )
    stage.check(code == 0, "the agent came to its end")
    after = (workspace / "tally" / "mean.py").read_text()
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="", n=0):
        stage.say(f"│ {line}")
    tests = [sys.executable, "-B", "-m", "unittest", "discover", "-s", "tests"]
    passed = subprocess.run(tests, cwd=workspace, capture_output=True, check=False).returncode == 0
    stage.check(passed, "the package's tests pass now, run on the host")


_KEYS = """
import os, pathlib
found = {name: value for name, value in os.environ.items() if name.endswith(("_KEY", "_TOKEN", "_SECRET"))}
for name, value in sorted(found.items()):
    print(name, "=", value)
for place in pathlib.Path("/proc").glob("[0-9]*/environ"):
    try:
        found.update(e.split("=", 1) for e in place.read_text(errors="replace").split("\\0") if "_KEY=" in e)
    except OSError:
        pass
raise SystemExit(0 if set(found.values()) == {"container-demo"} else 1)
"""

_NETWORK = """
import socket
reached = 0
for host, port in (("198.51.100.7", 443), ("169.254.169.254", 80), ("10.0.0.1", 22), ("example.com", 443)):
    try:
        socket.create_connection((host, port), 3).close()
        reached += 1
        print("reached", host)
    except OSError as error:
        print(f"{host}:{port}", "->", error.strerror or error)
raise SystemExit(reached)
"""

_EGRESS = """\
import os, sys, urllib.error, urllib.request
try:
    urllib.request.urlopen("http://example.com/", timeout=20)
except urllib.error.HTTPError as refusal:
    print(refusal.code, refusal.read().decode().strip())
    sys.exit(0 if refusal.headers["x-bawn-reason"] == "egress.not_allowed" else 1)
sys.exit(1)
"""
_ASK = """
import sys, json, urllib.request, urllib.error
request = urllib.request.Request(
    "http://ai.bawn.internal/api/v1/chat/completions",
    json.dumps({"model": "scripted/echo", "messages": [{"role": "user", "content": "hello"}]}).encode(),
    {"authorization": "Bearer " + sys.argv[1], "content-type": "application/json"},
)
try:
    with urllib.request.urlopen(request, timeout=20) as answer:
        print(answer.status, json.load(answer)["choices"][0]["message"]["content"])
except urllib.error.HTTPError as refused:
    print(refused.code, refused.read().decode())
    raise SystemExit(41 if refused.code == 401 else 1)
"""

_STREAM = """
import json, time, http.client
connection = http.client.HTTPConnection("ai.bawn.internal", timeout=20)
connection.request(
    "POST", "/api/v1/chat/completions",
    json.dumps({"model": "scripted/bench-stream", "stream": True, "messages": [{"role": "user", "content": "go"}]}),
    {"authorization": "Bearer container-demo", "content-type": "application/json"},
)
answer, tokens = connection.getresponse(), 0
try:
    while line := answer.readline():
        tokens += b'"content":"t' in line
        if tokens == 20 and b"t19" in line:
            print("flowing", flush=True)
        if b"error" in line:
            print("the stream says:", line.decode().strip(), flush=True)
except (OSError, http.client.HTTPException) as error:
    print("the stream broke:", type(error).__name__, flush=True)
print("ended after", tokens, "of 500 tokens", flush=True)
raise SystemExit(0 if tokens < 500 else 1)
"""


def _inside(stage: Stage, script: str, *words: str) -> int:
    return stage.bawn("exec", NAME, "--", "python3", "-c", script, *words)[0]


def _no_key(stage: Stage) -> None:
    stage.step("Look for a key inside")
    stage.check(_inside(stage, _KEYS) == 0, "there is none but the container's own token, worth nothing elsewhere")


def _no_network(stage: Stage) -> None:
    stage.step("Try the network from inside")
    stage.check(_inside(stage, _NETWORK) == 0, "nothing is reached: there is no route, and no name but the doors'")


def _no_way_out(stage: Stage) -> None:
    stage.step("Ask the egress door for a place that nobody allowed")
    stage.check(_inside(stage, _EGRESS) == 0, "it says no, why, and that another way is pointless")
    code, text = stage.bawn("egress", "suggest", NAME)
    stage.check(
        code == 0 and "example.com" in text, "the operator sees what would allow it; nothing is allowed by itself"
    )


def _no_other_token(stage: Stage, box: list[str]) -> None:
    stage.step("Use the token of another container")
    stage.bawn("containers", "create", "--name", OTHER, *box)
    stage.check(_inside(stage, _ASK, f"container-{NAME}") == 0, "its own token is answered")
    stage.check(_inside(stage, _ASK, f"container-{OTHER}") == 41, "the other's is refused: identity is the door")


def _revoked(stage: Stage) -> None:
    stage.step("Switch the container off while it reads an answer")
    argv = [str(BAWN), "exec", NAME, "--", "python3", "-c", _STREAM]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as reading:
        assert reading.stdout is not None
        first = reading.stdout.readline().strip()
        stage.check(first == "flowing", "an answer is flowing")
        code, _ = stage.bawn("containers", "update", NAME, "--no-ai")
        switched = time.monotonic()
        stage.check(code == 0, "it was switched off")
        for line in reading.stdout:
            stage.say(f"│ {line.rstrip()}")
        ended = reading.wait() == 0
        stage.check(ended, f"the answer was cut, {(time.monotonic() - switched) * 1000:.0f} ms later at most")
    stage.check(_inside(stage, _ASK, f"container-{NAME}") == 41, "the next call is refused")


def _recorded(stage: Stage) -> None:
    stage.step("What Bawn wrote down")
    stage.bawn("usage")
    code, text = stage.bawn("why", NAME)
    stage.check(code == 0 and bool(text.strip()), "it says why it refused")


if __name__ == "__main__":
    sys.exit(main())
