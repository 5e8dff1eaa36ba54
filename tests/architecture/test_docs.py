"""The documentation is tried: what it names exists, and what exists is named."""

from __future__ import annotations

import re
import shlex
import tomllib
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from tests.architecture.source import PACKAGE, ROOT
from tests.clients.versions import NODE, PYTHON

# Typer carries its own copy of click, and names its parts nowhere else.
from typer._click.core import Command
from typer._click.exceptions import MissingParameter, UsageError
from typer.core import TyperGroup

from bawn.api.roles import ROLES, WEBSOCKET
from bawn.app.settings import Configuration, configured
from bawn.cli.main import EXIT_CODES, app
from bawn.errors import KINDS

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *DOCS.glob("clients/*.md")])
COMMAND = typer.main.get_command(app)
BREAKS = frozenset({"|", "||", "&&", ";", ">", "<", ">>"})
BLAMES = {"client": "client", "upstream": "provider", "operator": "operator", "ours": "Bawn"}


@cache
def text(path: Path) -> str:
    return path.read_text("utf-8")


def rows(page: str) -> list[list[str]]:
    """The cells of every row of every table of a page."""
    lines = [line for line in text(DOCS / page).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def keys(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """Every key that can stand in the file; `<name>` where a name of one's own stands."""
    for own, field in model.model_fields.items():
        name = field.alias or own
        inside, by_name = section(field.annotation)
        if inside is None or by_name:
            yield before + name
        for each in typing.get_args(field.annotation) if choice(field.annotation) else [inside]:
            if each is not None:
                yield from keys(each, f"{before}{name}.{'<name>.' if by_name else ''}")


def choice(annotation: object) -> bool:
    """Whether the field is one of several models."""
    parts = typing.get_args(annotation)
    return len(parts) > 1 and all(isinstance(part, type) and issubclass(part, BaseModel) for part in parts)


def section(annotation: object) -> tuple[type[BaseModel] | None, bool]:
    """The model of a field, and whether the field maps names to it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for part in typing.get_args(annotation):
        inside, _ = section(part)
        if inside is not None:
            return inside, typing.get_origin(annotation) is dict
    return None, False


def verbs(command: Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from verbs(inner, (*path, name))
    else:
        yield " ".join(("bawn", *path))


def commands(page: Path) -> Iterator[tuple[int, list[str]]]:
    """Every `bawn …` of a page, in a block of shell or between backticks, as the words that a shell would make."""
    in_shell = False
    held = ""
    for number, line in enumerate(text(page).splitlines(), 1):
        if line.startswith("```"):
            in_shell = line.strip() == "```sh"
            continue
        if in_shell:
            held += line.removesuffix("\\")
            if line.endswith("\\"):
                continue
            pieces, held = [held], ""
        else:
            pieces = re.findall(r"`([^`]+)`", line)
        for piece in pieces:
            if words := invocation(piece):
                yield number, words


def invocation(line: str) -> list[str]:
    """The words after `bawn`; none when the line does something else."""
    words = shlex.split(line, comments=True) if "bawn" in line else []
    while words and (words[0] == "sudo" or re.fullmatch(r"[A-Z_]+=.*", words[0])):
        words.pop(0)
    if not words or Path(words[0]).name != "bawn" or words[0].startswith("http"):
        return []
    ends = [at for at, word in enumerate(words) if word in BREAKS]
    return words[1 : min(ends, default=None)] or ["--help"]


def complaint(words: list[str]) -> str:
    """What the command line says against these words without running anything; empty when they parse."""
    command, given = COMMAND, list(words)
    if given == ["…"]:
        return ""
    with command.make_context("bawn", ["--help"], resilient_parsing=True) as context:
        while isinstance(command, TyperGroup):
            if not given or given[0].startswith("-"):
                return "" if not given or given[0] == "--help" else f"{given[0]} is no option of {command.name}"
            inner = command.get_command(context, given[0])
            if inner is None:
                return f"there is no verb {given[0]!r}"
            command, given = inner, given[1:]
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        own = given[: given.index("--")] if "--" in given else given
        unknown = [word for word in own if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in options]
        if unknown and unknown != ["--help"]:
            return f"{unknown[0]} is no option of {command.name}"
        # In prose a verb stands alone or with an option; what is complete must parse to its end.
        if not any(not word.startswith("-") for word in own):
            return ""
        try:
            command.make_context(command.name, [word.replace("…", "x") for word in given], resilient_parsing=False)
        except UsageError as error:
            return "" if isinstance(error, MissingParameter) or "does not exist" in str(error) else str(error)
    return ""


@pytest.mark.parametrize("key", sorted(set(keys(Configuration))))
def test_every_configuration_key_has_its_line_with_its_default(key: str) -> None:
    lines = [row for row in rows("configuration.md") if row[0] == f"`{key}`"]
    assert len(lines) == 1, f"docs/configuration.md has {len(lines)} lines for {key}"
    assert lines[0][1]
    assert lines[0][2]


def test_no_line_names_a_configuration_key_that_is_gone() -> None:
    named = {row[0].strip("`") for row in rows("configuration.md")} - {"key", "---"}
    assert named == set(keys(Configuration))


def flat(values: dict[str, typing.Any], before: str = "") -> Iterator[tuple[str, typing.Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{before}{name}.")
        else:
            yield before + name, value


@pytest.mark.parametrize("key", ["limits", "timeouts", "guardrails", "audit", "api", "boxes", "allow"])
def test_documented_defaults_are_those_of_the_model(key: str) -> None:
    plain = dict(flat(Configuration().model_dump(mode="json")[key]))
    told = {row[0].strip("`"): row[1].strip("`") for row in rows("configuration.md")}
    for name, value in plain.items():
        shown = {None: "none", True: "true", False: "false"}.get(value) if not isinstance(value, list) else str(value)
        expected = shown or (f"{value:g}" if isinstance(value, float) else str(value))
        assert told[f"{key}.{name}"] == expected


@pytest.mark.parametrize("verb", sorted(set(verbs(COMMAND))))
def test_every_verb_has_its_line_and_an_example(verb: str) -> None:
    short = {"bawn containers exec": "exec", "bawn containers logs": "logs", "bawn containers why": "why"}
    if verb in short:
        assert f"`{verb}`" in text(DOCS / "cli.md")
        return
    lines = [row for row in rows("cli.md") if row[0] == f"`{verb}`"]
    assert len(lines) == 1, f"docs/cli.md has {len(lines)} lines for {verb}"
    assert lines[0][2].strip("`").startswith(verb)


def test_every_exit_code_has_its_line() -> None:
    told = {row[0] for row in rows("cli.md")}
    assert {"0", "1", "2", "130", *map(str, EXIT_CODES.values())} <= told


@pytest.mark.parametrize("code", sorted(KINDS))
def test_every_error_code_has_its_line_as_the_table_of_the_code_says(code: str) -> None:
    kind = KINDS[code]
    expected = [f"`{code}`", BLAMES[kind.blame.value], str(kind.status), "yes" if kind.retry else "no", kind.remedy]
    assert expected in rows("errors.md")


def test_no_line_names_an_error_code_that_is_gone() -> None:
    named = {row[0].strip("`") for row in rows("errors.md")} - {"code", "---"}
    assert named == set(KINDS)


@pytest.mark.parametrize(("method", "path"), sorted(ROLES), ids=str)
def test_every_endpoint_has_its_line_with_its_role(method: str, path: str) -> None:
    shown = "GET" if method == WEBSOCKET else method
    assert [shown, f"`{path}`", ROLES[method, path].value] in [row[:3] for row in rows("api.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_parses(page: Path) -> None:
    wrong = [f"{page.name}:{line}: {why}" for line, words in commands(page) if (why := complaint(words))]
    assert wrong == []


def test_commands_are_found_and_wrong_ones_are_told() -> None:
    assert sum(1 for page in PAGES for _ in commands(page)) > 60
    assert invocation('sudo bawn run --name dev -- sh -c "a | b"') == [
        "run",
        "--name",
        "dev",
        "--",
        "sh",
        "-c",
        "a | b",
    ]
    assert invocation("bawn keys add anthropic < key.txt") == ["keys", "add", "anthropic"]
    assert complaint(["containers", "update", "dev", "--no-ai"]) == ""
    assert complaint(["containers", "vanish", "dev"])
    assert complaint(["containers", "update", "dev", "--off"])
    assert complaint(["usage", "--by", "moon", "x"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text(page))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/([a-z-]+\.md)\)", text(ROOT / "README.md")))
    assert {page.name for page in DOCS.glob("*.md")} <= linked
    from_clients = set(re.findall(r"\]\(clients/([a-z-]+\.md)\)", text(DOCS / "clients.md")))
    assert {page.name for page in DOCS.glob("clients/*.md")} == from_clients


@pytest.mark.parametrize(("package", "version"), [pin for pins in (PYTHON | NODE).values() for pin in pins.items()])
def test_every_client_that_is_tried_is_told_with_its_version(package: str, version: str) -> None:
    told = {cell for row in rows("clients.md") if len(row) > 2 for cell in row[1].split(", ")}
    assert version in told, f"docs/clients.md does not tell {package} {version}"


def test_the_way_of_a_call_names_only_files_that_exist() -> None:
    named = set(re.findall(r"`((?:src/bawn/)?[a-z]+/[a-z0-9_]+\.py)`", text(DOCS / "flow.md")))
    assert len(named) > 8
    missing = [name for name in named if not (PACKAGE / name.removeprefix("src/bawn/")).is_file()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_source_that_a_page_names_exists(page: Path) -> None:
    rooms = "|".join(folder.name for folder in PACKAGE.iterdir() if folder.is_dir())
    named = re.findall(rf"`(?:src/bawn/)?((?:{rooms})/[a-z0-9_/]*(?:\.py|\.yaml)?)`", text(page))
    assert [name for name in named if not (PACKAGE / name).exists()] == []


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    names = {re.split(r"[<>=~!\[ ]", wanted)[0] for wanted in project["dependencies"]}
    told = {name.strip() for row in rows("dependencies.md") for name in row[0].split(",")} - {"package", "---"}
    assert told == names


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_lock_files_hold_hashes_and_no_addresses(name: str) -> None:
    lock = text(ROOT / "requirements" / name)
    pinned = re.findall(r"^[a-z0-9-]+(?:\[[a-z,]+\])?==.*$", lock, re.MULTILINE)
    assert len(pinned) > 10
    assert [line for line in pinned if not line.endswith("\\")] == [], "these are pinned without a hash"
    assert re.findall(r"^.*(?:://|--index|--find-links).*$", lock, re.MULTILINE) == []


def test_the_example_of_a_configuration_fits() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", text(DOCS / "models.md"), re.DOTALL)
    assert blocks
    for block in blocks:
        assert configured(block, "bawn.yaml").models.default
