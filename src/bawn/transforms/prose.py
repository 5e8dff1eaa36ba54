"""Which parts of a text are English prose: everything else is not to be touched.

Told by what prose looks like, never by what code looks like: a paragraph counts as prose only if every line of it consists
of words and marks that prose has, it reads as English, and nothing in it looks like a setting or a query. What stands
within prose and is none (code between backticks, JSON, what is quoted, addresses, paths, names with dots or underscores)
is kept to the letter. In doubt it is no prose; then a text stays longer than it had to be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from bawn.transforms.fences import fences, lines

_JSON = json.JSONDecoder()
_BRACKET = re.compile(r"[{\[]")
_KEPT = re.compile(
    r"(?<!`)(`{1,3})(?!`)[^`]+(?<!`)\1(?!`)"  # code within a line
    r"|\"[^\"\n]*\"|“[^“”]*”|‘[^‘’]*’|«[^«»]*»|(?<!\w)'[^'\n]+'(?!\w)"  # what is quoted
    r"|\S+"
)
_MARK = re.compile(r"[/\\@_=<>|$#~^*+&\d]|\w\.\w|\w\(|://")
"""What a word of prose has not: such a word is a path, a name, an address, a number."""
_STOP = re.compile(r"[.,;:!?)]+\Z")
_OVER_LINES = re.compile(r"'''(?s:.*?)(?:'''|\Z)|“[^”]*(?:”|\Z)|«[^»]*(?:»|\Z)|<!--(?s:.*?)(?:-->|\Z)")
_ELEMENT = re.compile(r"<([A-Za-z][\w.:-]*)(?:\s[^<>]*)?>")
_CLOSING = re.compile(r"</([A-Za-z][\w.:-]*)>")
_BRACKETS = re.compile(r"[{}\[\]]")
_VOID = frozenset(("br", "hr", "img", "input", "meta", "link", "wbr"))
_FOREIGN = "\ue000"
"""Stands for a part that is kept, while a paragraph is looked at."""
_PROSE_LINE = re.compile(rf" {{0,3}}(?:[-*+] |\d{{1,3}}[.)] )?(?:[^\W\d_]|{_FOREIGN})[\w \t,.:!?'’()\-–—…%{_FOREIGN}]*")
_SETTING = re.compile(
    r"\s*(?:[-*+] )?[\w-]+\s*:(?:\s.*|$)"
    r"|\s*(?:if|for|while|def|class|else|elif|try|except|with|finally|match|case)\b.*:\s*"
    r"|.*(?<!\S)--?[A-Za-z].*"  # an option of a command
)
_SET_IN = re.compile(r"(?:(?<=[\r\n])|\A)(?: {0,3}\t| {4}|[ \t\f\v]*[>|])[^\r\n]*(?:\r\n|\r|\n|\Z)")
_QUERY = re.compile(r"\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|FROM|WHERE|JOIN|GRANT)\b")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_ENGLISH = frozenset((
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "before", "but", "by", "can", "could", "do", "does", "for", "from", "had", "has", "have", "how", "i", "if",
    "in", "into", "is", "it", "its", "just", "like", "me", "more", "my", "no", "not", "of", "on", "one", "only",
    "or", "other", "our", "out", "please", "should", "so", "some", "than", "that", "the", "their", "them",
    "then", "there", "these", "they", "this", "to", "up", "us", "use", "very", "was", "we", "were", "what",
    "when", "where", "which", "who", "will", "with", "would", "you", "your",
))  # fmt: skip
_LEAST_WORDS, _LEAST_SHARE = 6, 0.3
_LONGEST = 4000
"""Characters of a paragraph; nobody writes longer ones, and what is hostile is."""

Span = tuple[int, int]


def in_prose(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` made in each paragraph of English prose. In what `change` is given, `KEPT` marks stand for the
    parts that are kept; it leaves them all in their order."""
    if _FOREIGN in text:
        return text
    out: list[str] = []
    paragraph: list[str] = []

    def flush() -> None:
        if paragraph:
            out.append(_changed("".join(paragraph), change))
            paragraph.clear()

    for line, within in _outside(text, kept_blocks(text)):
        if within or not line.strip():
            flush()
            out.append(line)
        else:
            paragraph.append(line)
    flush()
    return "".join(out)


def _outside(text: str, blocks: list[Span]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it touches a block; blocks are in their order and apart."""
    number = 0
    for at, line in lines(text):
        while number < len(blocks) and blocks[number][1] <= at:
            number += 1
        yield line, number < len(blocks) and blocks[number][0] < at + len(line)


KEPT = _FOREIGN


def kept_blocks(text: str) -> list[Span]:
    """What spans lines and is no prose: fenced code in any reading, JSON, elements, quotations, lines that are set in."""
    spans = [(fence.start, fence.end) for loose in (False, True) for fence in fences(text, loose=loose)]
    spans += _values(text)
    spans += _elements(text)
    spans += [found.span() for found in _OVER_LINES.finditer(text) if "\n" in found[0] or "\r" in found[0]]
    spans += [found.span() for found in _SET_IN.finditer(text)]
    spans = _apart(spans)
    return _apart([*spans, *_left_open(text, spans)])


def _apart(spans: list[Span]) -> list[Span]:
    """In their order, those that touch made one."""
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _left_open(text: str, blocks: list[Span]) -> list[Span]:
    """From the first line that leaves a quotation open to the last that does: which of them open one and which close it,
    nobody can say."""
    odd: list[Span] = []
    at = 0
    for line, within in _outside(text, blocks):
        if not within and line.count('"') % 2:
            odd.append((at, at + len(line)))
        at += len(line)
    return [(odd[0][0], odd[-1][1] if len(odd) % 2 == 0 else len(text))] if odd else []


def _values(text: str) -> list[Span]:
    """JSON objects and lists, and anything else between brackets."""
    spans: list[Span] = []
    at = 0
    while found := _BRACKET.search(text, at):
        try:
            _, at = _JSON.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            at = _closing(text, found.start())
        spans.append((found.start(), at))
    return spans


def _closing(text: str, start: int) -> int:
    """Behind the bracket that closes the one at `start`, whatever is between them; the end of the text if none does."""
    deep = 0
    for found in _BRACKETS.finditer(text, start):
        deep += 1 if found[0] in "{[" else -1
        if deep == 0:
            return found.end()
    return len(text)


def _elements(text: str) -> list[Span]:
    """`<name …>` up to the last `</name>`, or to the end where it is never closed."""
    closed = {found[1]: found.end() for found in _CLOSING.finditer(text)}
    spans: list[Span] = []
    at = 0
    while found := _ELEMENT.search(text, at):
        if found[1].lower() in _VOID:
            at = found.end()
        elif (closing := closed.get(found[1], 0)) >= found.end():
            at = closing
        else:
            at = len(text)
        spans.append((found.start(), at))
    return spans


def _changed(paragraph: str, change: Callable[[str], str]) -> str:
    """A paragraph after the change, or as it is when it is no prose."""
    if len(paragraph) > _LONGEST:
        return paragraph
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        part = found[0]
        if part[0] not in "`\"“‘«'" and (part in ("-", "*", "+") or _MARK.search(part) is None):
            return part
        # The stop behind a name is the sentence's.
        stop = _STOP.search(part) if part[-1] not in "`\"”’»'" else None
        end = stop.start() if stop and stop.start() else len(part)
        if not any(letter.isalnum() for letter in part):
            return part
        kept.append(part[:end])
        return _FOREIGN + part[end:]

    marked = _KEPT.sub(keep, paragraph)
    if not is_english(marked):
        return paragraph
    changed = change(marked)
    if changed.count(_FOREIGN) != len(kept):
        return paragraph
    parts = iter(kept)
    return "".join(next(parts) if each == _FOREIGN else each for each in changed)


def is_english(paragraph: str) -> bool:
    """Whether a paragraph, with marks for what is kept, reads as English prose."""
    if not all(_is_prose(line.rstrip()) for _, line in lines(paragraph)):
        return False
    words = [word.lower() for word in _WORD.findall(paragraph)]
    plain = sum(1 for word in words if word.isascii())
    common = sum(1 for word in words if word in _ENGLISH)
    return len(words) >= _LEAST_WORDS and plain >= 0.9 * len(words) and common >= _LEAST_SHARE * len(words)


def _is_prose(line: str) -> bool:
    return (
        _PROSE_LINE.fullmatch(line) is not None
        and _SETTING.fullmatch(line) is None
        and len(_QUERY.findall(line)) < 2
        and 2 * line.count(_FOREIGN) <= len(_WORD.findall(line))
    )
