"""Prose of the user in fewer words; code, JSON and everything that others said to the letter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.transforms.calls import asked

from bawn.terms.exchange import Endpoint, WireName
from bawn.transforms.compress import Compress, Compression, compress, compressed
from bawn.wire.documents import document

ON = Compress()
ALL = Compress(articles=True)
VERBOSE = """\
Hello there! I hope you are doing well today. I was wondering if you could please take a look at the function that  reads \
our settings, due to the fact that it seems to be very slow at this point in time.   It would be great if you could make \
sure that the file is read only once, in order to save some time at the start.

As you may already know, the majority of our users have a large number of plugins, and each of them is able to add a \
section.  Could you please also look at the way in which the sections are merged? If you don't mind, please write down \
what you have found, and kindly keep the public names as they are.

Thank you so much in advance for your help. I really appreciate your time.
"""
LEAN = """\
Take look at function that reads our settings, because it seems to be very slow now. Ensure file is read only once, to \
save some time at start.

Most of our users have many plugins, and each of them can add section. Also look at way in which sections are merged? Write \
down what you have found, and keep public names as they are.


"""


def test_a_verbose_request_becomes_a_plain_one() -> None:
    assert compressed(VERBOSE, ALL).split() == LEAN.split()
    for options in (ON, ALL):
        saving = 1 - len(compressed(VERBOSE, options)) / len(VERBOSE)
        print(f"{saving:.0%} saved, articles {'left out' if options.articles else 'kept'}")
        assert saving > 0.2


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        ("Could you please check the log for me and tell what it says?", "Check the log for me and tell what it says?"),
        (
            "Please look at this, and please tell me what you think of it.",
            "Look at this, and tell me what you think of it.",
        ),
        ("We want it to be there in the end, please.", "We want it to be there in the end."),
        (
            "It has   too many    blanks in the middle of a line here.",
            "It has too many blanks in the middle of a line here.",
        ),
        ("Would you kindly tell me what the `for  x in y` does there?", "Tell me what the `for  x in y` does there?"),
        ("- please do this for all of the files that we have", "- please do this for all of the files that we have"),
    ],
)
def test_single_phrases(said: str, becomes: str) -> None:
    assert compressed(said, ON) == becomes


@pytest.mark.parametrize(
    "said",
    [
        "How could you do this to us after all that we have been through?",
        "We do it to please the people who have to use it every day.",
        "You may choose as you please which of the two it should be.",
        "He spoke kindly to me and to all of the others who were there.",
        "Ich hätte gerne, dass du bitte  die Datei für mich öffnest und liest.",
        "Pourrais-tu s'il te plaît  regarder ce fichier et me dire ce que tu en penses ?",
        "请帮我 看一下  这个文件 please 谢谢 你 的 帮助",
        "Please  short.",
    ],
)
def test_what_means_something_else_or_is_no_english_stays(said: str) -> None:
    assert compressed(said, ON) == said


PROSE = "Could you please look at the  text that I have put in here for you and for all of us?"
CODE = [
    "```python\nplease  =  the  [a,  b]  # could you please look at the  text that I have for you\n```",
    "~~~\nCould you please  look at the text that I have put in here for you and all of us\n~~~",
    "> ```\n> please  look at the text that I have put in here for you and for all\n> ```",
    "    Could you please  look at the text that I have put in here for you and all of us",
    "\tCould you please  look at the text that I have put in here for you and all of us",
    "> Could you please  look at the text that I have put in here for you and all of us",
    "| please  look | at the text that I have put | in here for you |",
    '{\n  "please":  "could you please  look at the text",\n\n  "and this is the  other one that you have": [1,  2]\n}',
    '[\n\n"please  look at the text that I have"\n\n]',
    "<doc>\nCould you please  look at the text that I have put in here for you and all of us\n\nplease  so\n</doc>",
    '"Could you please  look at the text that I have put in here for you.\n\nPlease  do it with all of us and the others."',
    "“Could you please  look at the text that I have put in here for you.\n\nPlease  do it with all of us and the others.”",
    "'''\nCould you please  look at the text that I have put in here for you.\n\nPlease  do it with all of us\n'''",
    "<!-- could you please  look at the text\n\nthat I have put in here for you and for all of us -->",
    "if the x is in a list and you please  it for all of the others:\n  the  y is in a set that we have",
    "SELECT the  a FROM b WHERE the c is in a list that you have and please  it",
    "description: please  look at the text that I have put in here for you",
    "git commit -m  please look at the text that I have put in here for you and all",
    "const the  = a + b; return the  value that is in a set for you and please",
    "x = the  value that is in a list which you have and please  it",
]


@pytest.mark.parametrize("code", CODE)
def test_what_is_no_prose_is_kept_to_the_letter(code: str) -> None:
    assert code in compressed(f"{PROSE}\n\n{code}\n\n{PROSE}\n", ALL)
    assert compressed(code, ALL) == code


@pytest.mark.parametrize(
    "part",
    [
        "`please  the`", "``a ` please  the``", '"please  do the thing"', "'please  do the thing'", "“please  the”",
        "https://example.org/please/the", "/srv/please/the", "a.please.the", "please_the", "please(the", "--please",
        r"C:\please\the", "$PLEASE", "please@the.example",
    ],
)  # fmt: skip
def test_parts_of_a_sentence_that_are_no_prose_are_kept(part: str) -> None:
    said = f"Could you please tell me what you know of {part} and how it is to be used here by all of us?"
    assert part in compressed(said, ALL)


def test_what_others_said_and_documents_are_never_looked_at() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": VERBOSE},
        {"role": "assistant", "content": VERBOSE},
        {"role": "tool", "tool_call_id": "c", "content": VERBOSE},
    ]
    ask = asked({"model": "m", "messages": messages}, read=document)
    assert ask.document is not None
    assert sent(ask) == ask.exchange.body
    paper = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": VERBOSE}}
    body = {"model": "m", "max_tokens": 1, "system": VERBOSE, "messages": [{"role": "user", "content": [paper]}]}
    ask = asked(body, name=WireName.ANTHROPIC, endpoint=Endpoint.MESSAGES, read=document)
    assert sent(ask) == ask.exchange.body


def sent(ask: Any) -> bytes:
    coroutine = Compression(ALL).request(ask)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    body: bytes = ask.document.body()
    return body


async def test_what_was_saved_is_told_and_the_same_text_always_comes_out_the_same() -> None:
    stage = Compression(ON)
    bodies = []
    notes = []
    for _ in range(2):
        ask = asked({"model": "m", "messages": [{"role": "user", "content": VERBOSE}]}, read=document)
        assert await stage.request(ask) is None
        assert ask.document is not None
        bodies.append(ask.document.body())
        notes += ask.notes
    assert bodies[0] == bodies[1]
    shorter = json.loads(bodies[0])["messages"][0]["content"]
    tokens = (len(VERBOSE) - len(shorter)) // 4
    assert notes == [("compress.tokens_saved", str(tokens))] * 2
    assert stage.counts.all() == {
        "bytes_saved": 2 * (len(VERBOSE) - len(shorter)), "requests": 2, "tokens_saved": 2 * tokens,
    }  # fmt: skip


ANYTHING = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("`~ \n\t{}[]\"'<>the please a")), max_size=80
)
BEFORE = st.sampled_from(["", PROSE + "\n", PROSE + "\n\n", VERBOSE, "- " + PROSE + "\n"])


@settings(max_examples=200, deadline=None)
@given(content=ANYTHING, before=BEFORE, mark=st.sampled_from("`~"), indent=st.integers(0, 3))
def test_fenced_code_of_any_content_survives(content: str, before: str, mark: str, indent: int) -> None:
    fence = " " * indent + mark * max(
        3, 1 + max((len(run) for run in content.split() if set(run) == {mark}), default=0)
    )
    assume(mark * 3 not in content)
    block = f"{fence}py\n{content}\n{fence}\n"
    assert block in compressed(f"{before}{block}{PROSE}", ALL)


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.sampled_from([PROSE, VERBOSE]), ANYTHING
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(ANYTHING, inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    value=VALUES,
    before=BEFORE,
    indent=st.sampled_from([None, 2, 4, "\t", " "]),
    plain=st.booleans(),
    beside=st.booleans(),
)
def test_json_of_any_content_survives(value: Any, before: str, indent: Any, plain: bool, beside: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=plain)
    placed = f"and this is what I mean: {text} which I have" if beside else text
    assert text in compressed(f"{before}{placed}\n\n{PROSE}", ALL)


@settings(max_examples=300, deadline=None)
@given(text=st.lists(st.one_of(ANYTHING, st.sampled_from([PROSE, VERBOSE, *CODE])), max_size=5).map("\n".join))
def test_nothing_is_ever_added(text: str) -> None:
    shorter = compressed(text, ALL)
    assert len(shorter) <= len(text)
    left = iter(text.lower())
    short = {
        "because",
        "of",
        "to",
        "although",
        "now",
        "if",
        "about",
        "many",
        "most",
        "can",
        "ensure",
        "in",
        "fact",
        "for",
    }
    words = [word for word in shorter.lower().split() if word.strip(".,!?") not in short]
    assert all(letter in left for letter in "".join(words)), "the letters of the words are in the text, in their order"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece", ["-", "- ", "`", "` ", '"\n', "“", "{", "[1,", "<a>", "please ", "thanks for your a ", "<!--", "\n"]
)
def test_hostile_texts_take_time_in_proportion_to_their_size(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    assert len(compressed(f"{PROSE}\n\n{text}\n\n{PROSE}", ALL)) > 100


def test_only_so_much_of_a_request_is_looked_at() -> None:
    long = (PROSE + "\n\n") * 3000
    texts = [VERBOSE, long, long, VERBOSE]
    ask = asked({"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}, read=document)
    assert ask.document is not None
    assert compress(ask.document, ON).copies == 2
