"""Knowledge bases: what is added is found with its place, what is gone is gone, and no question is an expression."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bawn.errors import Fault
from bawn.transforms.chunks import chunks
from bawn.transforms.kb import BaseInfo, KnowledgeBases, Passage, alike, of_length_one, terms


@pytest.fixture
def bases(tmp_path: Path) -> KnowledgeBases:
    return KnowledgeBases(tmp_path / "kb.sqlite")


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    (folder / "ops").mkdir(parents=True)
    (folder / "ops" / "deploy.md").write_text("# Deploying\n\nWe deploy on Tuesdays, with the blue button.\n", "utf-8")
    (folder / "leave.txt").write_text("Holidays are asked for in the calendar.\n", "utf-8")
    (folder / "tool.py").write_text("def rollback():\n    '''Undone by buttons.'''\n", "utf-8")
    return folder


def sources(found: list[Passage]) -> list[str]:
    return [passage.source for passage in found]


def test_what_was_added_is_found_with_its_source_and_lines(bases: KnowledgeBases, handbook: Path) -> None:
    added = bases.add("handbook", handbook)
    assert (added.files, added.changed, added.gone, added.skipped) == (3, 3, 0, ())
    assert bases.search(("handbook",), "Which button do I press for holidays?", 5)[0].source == "handbook/leave.txt"
    assert bases.search(("handbook",), "what about Tuesdays?", 5) == [
        Passage(
            "handbook", "handbook/ops/deploy.md", 1, 3, "# Deploying\n\nWe deploy on Tuesdays, with the blue button."
        )
    ]
    # Words are found in other forms, the better match first; the path counts as well.
    assert sources(bases.search(("handbook",), "BUTTON deployed", 5)) == ["handbook/ops/deploy.md", "handbook/tool.py"]
    assert sources(bases.search(("handbook",), "tool", 5)) == ["handbook/tool.py"]
    assert bases.search(("handbook",), "zebra", 5) == []
    assert len(bases.search(("handbook",), "deploy holidays rollback", 2)) == 2


def test_adding_again_replaces_what_changed_and_forgets_what_is_gone(bases: KnowledgeBases, handbook: Path) -> None:
    bases.add("handbook", handbook)
    (handbook / "leave.txt").write_text("Holidays are asked for by letter.\n", "utf-8")
    (handbook / "tool.py").unlink()
    (handbook / "new.md").write_text("Zebras live here.\n", "utf-8")
    added = bases.add("handbook", handbook)
    assert (added.files, added.changed, added.gone) == (3, 2, 1)
    assert bases.search(("handbook",), "calendar rollback", 5) == []
    assert [passage.text for passage in bases.search(("handbook",), "holidays zebras", 5)] == [
        "Zebras live here.", "Holidays are asked for by letter.",
    ]  # fmt: skip
    assert bases.add("handbook", handbook).changed == 0
    assert bases.all() == [BaseInfo("handbook", (str(handbook),), 3, 3)]


def test_bases_are_apart_and_one_can_be_taken_away(bases: KnowledgeBases, handbook: Path, tmp_path: Path) -> None:
    other = tmp_path / "other, with a comma"
    other.mkdir()
    (other / "deploy.md").write_text("We never deploy.\n", "utf-8")
    bases.add("handbook", handbook)
    bases.add("other", other)
    bases.add("handbook", other)
    assert sources(bases.search(("other",), "deploy", 5)) == ["other, with a comma/deploy.md"]
    assert bases.search((), "deploy", 5) == []
    assert bases.search(("nobody",), "deploy", 5) == []
    assert {passage.base for passage in bases.search(("other", "handbook"), "deploy", 9)} == {"other", "handbook"}
    assert [base.folders for base in bases.all()] == [tuple(sorted((str(handbook), str(other)))), (str(other),)]
    assert bases.remove("handbook") == 4
    assert bases.search(("handbook",), "deploy", 5) == []
    assert sources(bases.search(("other",), "deploy", 5)) == ["other, with a comma/deploy.md"]


def test_only_plain_text_of_the_folder_itself_is_taken(bases: KnowledgeBases, handbook: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("zebra\n", "utf-8")
    (handbook / "link.md").symlink_to(tmp_path / "secret.md")
    (handbook / "up").symlink_to(tmp_path)
    (handbook / ".env.md").write_text("zebra\n", "utf-8")
    (handbook / "node_modules").mkdir()
    (handbook / "node_modules" / "x.md").write_text("zebra\n", "utf-8")
    (handbook / "x.png").write_bytes(b"zebra")
    (handbook / "latin.md").write_bytes(b"zebra \xe9")
    (handbook / "zero.md").write_bytes(b"zebra \0")
    (handbook / "large.md").write_bytes(b"zebra\n" * 400_000)
    os.mkfifo(handbook / "pipe.md")
    added = bases.add("handbook", handbook)
    assert (added.files, added.skipped) == (3, ("large.md", "latin.md", "zero.md"))
    assert bases.search(("handbook",), "zebra", 5) == []


@pytest.mark.parametrize("name", ["", "Big", "a b", "-a", "a" * 64, "a;b"])
def test_a_name_that_no_base_can_have_and_a_folder_that_is_none_are_refused(
    bases: KnowledgeBases, handbook: Path, name: str
) -> None:
    for base, folder in ((name, handbook), ("handbook", handbook / "nothing"), ("handbook", handbook / "leave.txt")):
        with pytest.raises(Fault) as refused:
            bases.add(base, folder)
        assert refused.value.code == "api.invalid"


def test_the_file_is_its_owner_s_alone_and_a_broken_one_is_no_empty_one(bases: KnowledgeBases, handbook: Path) -> None:
    bases.add("handbook", handbook)
    assert bases.path.stat().st_mode & 0o777 == 0o600
    bases.path.write_bytes(b"not a database" * 100)
    with pytest.raises(Fault) as refused:
        bases.search(("handbook",), "deploy", 5)
    assert refused.value.code == "store.unavailable"


HOSTILE = [
    'deploy" OR text:"', "deploy*", "NEAR(deploy button, 2)", "deploy AND NOT blue", "^deploy", "{text path}: deploy", "-deploy",
    "path : deploy", '"', "'; DROP TABLE files; --", "deploy\0button", "(", "NOT", "a" * 100_000, "de\u0301ploy", "+ deploy +",
]  # fmt: skip


@pytest.mark.parametrize("question", HOSTILE, ids=range(len(HOSTILE)))
def test_no_question_is_read_as_an_expression(bases: KnowledgeBases, handbook: Path, question: str) -> None:
    bases.add("handbook", handbook)
    found = bases.search(("handbook",), question, 5)
    assert len(found) <= 5
    if "deploy" in question:
        assert "handbook/ops/deploy.md" in sources(found)


@settings(max_examples=100, deadline=None)
@given(question=st.text(max_size=60))
def test_any_question_is_a_list_of_quoted_words(question: str) -> None:
    expression = terms(question)
    for term in expression.split(" OR ") if expression else []:
        assert term[0] == term[-1] == '"'
        assert '"' not in term[1:-1]
        assert " " not in term


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBases:
    folder = tmp_path_factory.mktemp("kb")
    (folder / "x.md").write_text("to be or not to be, near a zebra", "utf-8")
    found = KnowledgeBases(folder / "kb.sqlite")
    found.add("handbook", folder)
    return found


@settings(max_examples=60, deadline=None)
@given(question=st.one_of(st.text(max_size=40), st.text('zebra "*^:(){}-+ANDORNOTNEAR', max_size=40)))
def test_any_question_gets_an_answer(filled: KnowledgeBases, question: str) -> None:
    assert len(filled.search(("handbook",), question, 3)) <= 1
    assert len(filled.search(("handbook",), question + " zebra", 3)) == 1 or len(terms(question).split(" OR ")) == 32


def test_questions_of_common_words_only_use_these() -> None:
    assert terms("What is the plan for it?") == '"plan"'
    assert terms("what is it") == '"what" OR "is" OR "it"'
    assert terms("?!") == ""
    assert len(terms(" ".join(f"word{n}" for n in range(100))).split(" OR ")) == 32


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(
        st.one_of(st.just(""), st.just("# Head"), st.text("ab cd", max_size=300), st.just("x" * 5000)), max_size=30
    )
)
def test_passages_hold_every_line_once_in_order_and_none_is_long(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = chunks(text)
    assert "".join("".join(chunk.text for chunk in found).split()) == "".join(text.split())
    assert all(len(chunk.text) <= 1700 for chunk in found)
    assert all(chunk.text.strip() for chunk in found)
    for one, two in zip(found, found[1:], strict=False):
        assert one.first_line <= one.last_line <= two.first_line
    for chunk in found:
        within = "\n".join(text.splitlines()[chunk.first_line - 1 : chunk.last_line])
        assert chunk.text in within


def test_a_passage_ends_where_a_section_does() -> None:
    text = "# One\nfirst\n\n# Two\nsecond\n"
    assert [(chunk.first_line, chunk.last_line, chunk.text) for chunk in chunks(text)] == [
        (1, 3, "# One\nfirst"),
        (4, 5, "# Two\nsecond"),
    ]


def test_vectors_find_what_words_do_not(bases: KnowledgeBases, handbook: Path) -> None:
    bases.add("handbook", handbook)
    missing = bases.without_vector(("handbook",), "m", 9)
    assert len(missing) == 3
    bases.keep_vectors("m", [(number, (1.0, 0.0) if "Holidays" in text else (0.0, 1.0)) for number, text in missing])
    assert bases.without_vector(("handbook",), "m", 9) == []
    assert len(bases.without_vector(("handbook",), "another", 9)) == 3
    near = bases.nearest(("handbook",), "m", (0.9, 0.1), 1)
    assert sources(bases.search(("handbook",), "vacation", 5, near)) == ["handbook/leave.txt"]
    assert bases.nearest(("handbook",), "another", (0.9, 0.1), 1) == []
    # What both orders have is before what one of them has.
    assert bases.search(("handbook",), "holidays deploy", 3, near)[0].source == "handbook/leave.txt"
    (handbook / "leave.txt").write_text("Holidays?\n", "utf-8")
    bases.add("handbook", handbook)
    assert [text for _, text in bases.without_vector(("handbook",), "m", 9)] == ["Holidays?"]
    assert bases.search(("handbook",), "vacation", 5, near) == []


def test_vectors_that_cannot_be_compared_are_not_near() -> None:
    def compared(one: list[float], two: list[float]) -> float:
        return alike(array("f", of_length_one(one)), array("f", of_length_one(two)))

    assert compared([1, 2], [2, 4]) == pytest.approx(1)
    assert compared([1, 0], [0, 1]) == 0
    assert compared([1, 0], [1, 0, 0]) == 0
    assert compared([0, 0], [1, 0]) == 0
