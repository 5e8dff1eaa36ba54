"""A file is a model or every mistake in it, with the place and what to write instead."""

from __future__ import annotations

import json
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator

from bawn.config.document import Mark
from bawn.config.from_json import read_json
from bawn.config.from_yaml import read_yaml
from bawn.config.load import LARGEST, ConfigFault, load
from bawn.config.schema import schema
from bawn.config.section import Section


class Kind(StrEnum):
    BIG = "big"
    SMALL = "small"


class Box(Section):
    kind: Kind
    url: str = Field(default="http://127.0.0.1/", description="Where it is.")
    secret: str | None = None
    size: int = Field(default=3, ge=1)

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        if not value.startswith("http"):
            raise ValueError("expected an http(s) URL; write e.g. http://127.0.0.1/")
        return value


class Root(Section):
    boxes: dict[str, Box] = Field(default_factory=dict)
    words: tuple[str, ...] = ()
    first: Box | None = None


def mistakes(text: str, name: str = "bawn.yaml") -> list[str]:
    with pytest.raises(ConfigFault) as caught:
        load(text, name, Root)
    assert caught.value.code == "config.invalid"
    return caught.value.sentence.splitlines()


def test_yaml_and_json_say_the_same() -> None:
    yaml = load("boxes:\n  a: {kind: big, size: 5}\nwords: [x, 'y']\n", "bawn.yaml", Root)
    text = '{"boxes": {"a": {"kind": "big", "size": 5,},}, // c\n\t/* d */ "words": ["x", "y"]}'
    assert yaml == load(text, "bawn.jsonc", Root) == load(text, "bawn.yaml", Root)


@pytest.mark.parametrize("text", ["", "# only words\n", "{}", "---\n"])
def test_an_empty_file_is_the_defaults(text: str) -> None:
    assert load(text, "bawn.yaml", Root) == Root()


def test_a_wrong_value_is_named_with_line_and_what_to_write() -> None:
    assert mistakes("boxes:\n  a:\n    kind: big\n    url: x\n") == [
        "bawn.yaml:4: boxes.a.url: got 'x', expected an http(s) URL; write e.g. http://127.0.0.1/"
    ]


def test_all_mistakes_are_told_at_once_in_their_order() -> None:
    said = mistakes("words: [1]\nboxes:\n  a:\n    kind: huge\n    size: 0\n  b: {}\nfirst: 3\n")
    assert said == [
        "bawn.yaml:1: words[0]: got 1, expected a text",
        "bawn.yaml:4: boxes.a.kind: got 'huge', expected 'big' or 'small'",
        "bawn.yaml:5: boxes.a.size: got 0, expected 1 or more; write e.g. `size: 3`",
        "bawn.yaml:6: boxes.b.kind: is missing",
        "bawn.yaml:7: first: got 3, expected a mapping of names to values",
    ]


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    assert mistakes("boxes:\n  a: {kind: big,\n      sise: 4}\n") == [
        "bawn.yaml:3: boxes.a.sise: there is no such key; did you mean `size`?"
    ]
    assert mistakes("first: {kind: big, zzz: 1}") == [
        "bawn.yaml:1: first.zzz: there is no such key; known here: kind, secret, size, url"
    ]


def test_json_mistakes_have_their_lines_behind_comments_and_tabs() -> None:
    text = '{ // one\n/* two\nthree */\n\t"words": [\n\t\t"a",\n\t\t7,\n\t],\n}'
    assert mistakes(text, "bawn.json") == ["bawn.json:6: words[1]: got 7, expected a text"]


def test_what_may_be_a_secret_is_not_quoted() -> None:
    said = mistakes("boxes: {a: {kind: big, secret: [hush]}}\n")
    assert said == ["bawn.yaml:1: boxes.a.secret: got •••, expected a text"]


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("words: [a]\nwords: [b]", "b.yaml", "b.yaml:2: words: the key was given already on line 1"),
        ('{"words": [],\n"words": []}', "b.json", "b.json:2: words: the key was given already on line 1"),
        ("words: !!python/object/apply:os.system [x]", "b.yaml", "b.yaml:1: words: the tag "),
        ("words: !local [x]", "b.yaml", "b.yaml:1: words: the tag '!local'"),
        ("words: [", "b.yaml", "b.yaml:1: the whole file: while parsing"),
        ("a: 1\n---\nb: 2", "b.yaml", "b.yaml:2: the whole file: expected a single document"),
        ("? [a, b]\n: c", "b.yaml", "b.yaml:1: the whole file: a key that is not a plain text"),
        ("words: \x07", "b.yaml", "b.yaml:1: the whole file: a character that YAML does not allow"),
        ("words:\n\t- a", "b.yaml", "b.yaml:2: the whole file: "),
        ('{"words": [}', "b.json", "b.json:1: words[0]: no value where one is expected"),
        ('{"words": "a\nb"}', "b.json", "b.json:1: words: in a text: Invalid control character"),
        ("{words: []}", "b.json", "b.json:1: the whole file: no key where one is expected"),
        ('{"words": [] /* x', "b.json", "b.json:1: the whole file: a comment without an end"),
        ('{"words": []} x', "b.json", "b.json:1: the whole file: something after the end"),
        ('{"words": NaN}', "b.json", "b.json:1: words: no value"),
        ("[1]", "b.json", "b.json:1: the whole file: got a list, expected a mapping"),
        ("[" * 10_000, "b.json", "b.json:1: the whole file: more than 64 levels deep"),
        ("[" * 10_000, "b.yaml", "b.yaml:1: the whole file: "),
        ("first: " + "9" * 5000, "b.yaml", "b.yaml:1: first: this is no int"),
        ("#" * (LARGEST + 1), "b.yaml", "b.yaml:1: the whole file: expected at most"),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(text: str, name: str, said: str) -> None:
    assert mistakes(text, name)[0].startswith(said)


def test_an_alias_repeats_its_anchor() -> None:
    assert load("first: &a {kind: big}\nboxes: {b: *a}", "b.yaml", Root).boxes["b"] == Box(kind=Kind.BIG)


def test_many_aliases_cannot_become_a_large_structure() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
    )
    assert "more than 50000 values" in mistakes(bomb)[0]
    assert "more than 100 aliases" in mistakes("a: &a 1\nb: [" + "*a, " * 101 + "]")[0]


def test_an_alias_cannot_hold_itself() -> None:
    assert "levels deep" in mistakes("words: &a [*a]")[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("010", 10),
        ("0x10", 16),
        ("2030-01-31", "2030-01-31"),
        ("~", None),
    ],
)
def test_yaml_scalars_are_those_of_its_core_schema(text: str, value: object) -> None:
    assert read_yaml(f"a: {text}").value == {"a": value}


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8"), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(plain, st.sampled_from([None, 1, "\t"]))
def test_every_json_document_is_read_as_json_reads_it(value: object, indent: int | str | None) -> None:
    assert read_json(json.dumps(value, indent=indent)).value == value


@given(st.text('{}[]",:/* \n\tabc01-.truefalsnl', max_size=40))
def test_json_that_is_wrong_is_a_fault_and_nothing_else(text: str) -> None:
    assert loads_or_says_why(text, "b.json")


@given(st.text("{}[]&*!|>-:,#'\" \n\tabc01~?%@", max_size=40))
def test_yaml_that_is_wrong_is_a_fault_and_nothing_else(text: str) -> None:
    assert loads_or_says_why(text, "b.yaml")


def loads_or_says_why(text: str, name: str) -> bool:
    try:
        load(text, name, Root)
    except ConfigFault as fault:
        return all(problem.line >= 1 and problem.column >= 1 for problem in fault.problems)
    return True


def test_every_value_and_key_has_its_place() -> None:
    document = read_json('{\n  "a": [1,\n 2]}')
    assert document.values["a", 1] == Mark(3, 2)
    assert document.keys["a",] == Mark(2, 3)
    assert read_yaml("a:\n  - 1\n  - 2").values["a", 1] == Mark(3, 5)


def test_a_loaded_section_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        setattr(load("", "b.yaml", Root), "words", ())  # noqa: B010 - the type checker would refuse the plain form


def test_the_schema_refuses_unknown_keys_and_tells_descriptions() -> None:
    made = schema(Root)
    assert made["additionalProperties"] is False
    assert made["$defs"]["Box"]["properties"]["url"]["description"] == "Where it is."
