"""What a condition (`when`) may say: checked word by word before it is ever computed.

The language is CEL; of it, what a condition needs and nothing by which its cost could grow faster than what it looks at:

- One name, `event`, and of it the fields that this event has.
- `all`, `exists` and `exists_one` walk over a list, never within each other. While one walks, only the element and short
  fields can be named, so that a long list is never multiplied by a long text.
- Nothing is built up: no `map`, no `filter` (which takes time by the square of the list), few `+`.
- An expression for `matches` stands there as it is, so no message ever brings its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from bawn.config.patterns import sound
from bawn.errors import quoted

LONGEST = 2000
"""Characters. Ten times as many are still read without harm to the stack of a thread."""
_DEEPEST = 20
_MOST_SUMS = 8
_MOST_WALKS = 8
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>[rR](?:"[^"\r\n]*"|'[^'\r\n]*')|"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*')
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<sign>&&|\|\||[=!<>]=|[<>!+\-*/%?:.,()\[\]])""",
    re.VERBOSE,
)
_WORDS = frozenset(("true", "false", "null", "in"))
_FUNCTIONS = frozenset(("size", "int", "double", "string", "has"))
_METHODS = frozenset(("size", "contains", "startsWith", "endsWith", "matches"))
_WALKS = frozenset(("all", "exists", "exists_one"))
_SHORT = frozenset(
    (
        "event",
        "sessionID",
        "sessionTitle",
        "tags",
        "operatorTags",
        "container",
        "containerRole",
        "projectID",
        "directory",
    )
)
_BEFORE = _SHORT | {"toolName", "toolInput", "args"}
FIELDS = {
    "session.created": _SHORT,
    "session.idle": _SHORT,
    "session.error": _SHORT | {"error"},
    "chat.message": _SHORT | {"messageRole", "messageContent"},
    "tool.execute.before": _BEFORE,
    "tool.execute.after": _BEFORE | {"toolOutput"},
    "chat.system.transform": _SHORT | {"messageContent"},
}
"""What `event` has, by its name."""
LISTS = frozenset(("tags", "operatorTags"))
LONG = frozenset(("toolInput", "args", "toolOutput", "messageContent", "error"))
"""What may be of any length, and is not named while a list is walked over."""
MATCHES = "matchesRE2"
"""What `matches` is computed by, with the expressions of all other filters."""


class Token(Struct, frozen=True):
    kind: str
    text: str
    at: int


class Wording(Struct, frozen=True):
    source: str
    """As it is computed."""
    fields: frozenset[str]
    """Of the event."""
    operands: tuple[str, ...]
    """What is joined by `&&` and `||`, each of which has to be true or false."""


class _Open(Struct):
    """A bracket that is not closed yet."""

    walks: bool = False
    name: str = ""
    """What the element is called, while a list is walked over."""


def read(source: str, event: str) -> Wording:
    """ValueError with what is wrong, in a sentence."""
    if not source.strip() or len(source) > LONGEST:
        raise ValueError(f"a condition has 1 to {LONGEST} characters")
    tokens = _tokens(source)
    reader = _Reader(tokens, event)
    said = reader.read()
    return Wording(_text(said), frozenset(reader.fields), tuple(_text(each) for each in _operands(said)))


def _tokens(source: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None or source.startswith("//", at):
            raise ValueError(f"a condition has no {quoted(source[at : at + 2])} (at character {at + 1})")
        kind = found.lastgroup or ""
        if (
            kind == "text"
            and tokens
            and tokens[-1].kind in ("text", "name")
            and tokens[-1].at + len(tokens[-1].text) == at
        ):
            raise ValueError(f'a text is written as "…", \'…\' or r"…" (at character {at + 1})')
        if kind != "space":
            tokens.append(Token(kind, found.group(), at))
        at = found.end()
    return tokens


class _Reader:
    def __init__(self, tokens: Sequence[Token], event: str) -> None:
        self._tokens = tokens
        self._event = event
        self._open: list[_Open] = []
        self._said: list[Token] = []
        self._walks = 0
        self.fields: set[str] = set()

    def read(self) -> Sequence[Token]:
        """The same, with `matches` computed by RE2."""
        if sum(token.text == "+" for token in self._tokens) > _MOST_SUMS:
            raise ValueError(f"a condition has at most {_MOST_SUMS} `+`")
        for at, token in enumerate(self._tokens):
            self._said.append(token)
            if token.kind == "name":
                self._name(at, token)
            elif token.kind == "sign":
                self._sign(at, token)
        return self._said

    def _sign(self, at: int, token: Token) -> None:
        if token.text in "([":
            before, behind = self._at(at - 1), self._at(at + 1)
            walks = token.text == "(" and before in _WALKS and self._at(at - 2) == "."
            self._open.append(_Open(walks, behind if walks else ""))
            if len(self._open) > _DEEPEST:
                raise ValueError(f"a condition is at most {_DEEPEST} brackets deep")
        elif token.text in ")]":
            if self._open:
                self._open.pop()
        elif token.text == "!" and self._at(at - 1) == "!":
            raise ValueError("one `!` says it")  # the reader's time grows by the square of a row of them
        elif token.text == "." and (at == 0 or (self._kind(at - 1) == "sign" and self._at(at - 1) not in ")]")):
            raise ValueError("a name begins with a letter; leave out the dot before it")

    def _name(self, at: int, token: Token) -> None:
        called = self._at(at + 1) == "("
        name = token.text
        if self._at(at - 1) == ".":
            if called:
                self._method(at, name)
            return
        if called and name not in _WORDS:
            if name not in _FUNCTIONS:
                raise ValueError(_unknown(name, _FUNCTIONS))
        elif name == "event":
            self._field(at)
        elif name not in _WORDS and not any(each.walks and each.name == name for each in self._open):
            raise ValueError(f"there is no {quoted(name)}; what happened is `event`, such as `event.container`")

    def _method(self, at: int, name: str) -> None:
        if name in _WALKS:
            self._walk(at, name)
        elif name == "matches":
            self._expression(at)
            self._said[-1] = Token("name", MATCHES, at)
        elif name in ("map", "filter"):
            raise ValueError(f"a condition has no `{name}`; `exists`, `exists_one` and `all` ask about elements")
        elif name not in _METHODS:
            raise ValueError(_unknown(name, _METHODS | _WALKS))

    def _walk(self, at: int, name: str) -> None:
        element, comma = self._at(at + 2), self._at(at + 3)
        if self._kind(at + 2) != "name" or element in _WORDS | {"event"} or comma != ",":
            raise ValueError(f"`{name}` is given a name for the element and what to ask of it: `.{name}(x, x == 1)`")
        if any(each.walks for each in self._open):
            raise ValueError(f"`{name}` stands within another one; a condition walks over one list at a time")
        self._walks += 1
        if self._walks > _MOST_WALKS:
            raise ValueError(f"a condition walks over at most {_MOST_WALKS} lists")

    def _expression(self, at: int) -> None:
        if self._kind(at + 2) != "text" or self._at(at + 3) != ")":
            raise ValueError('`matches` is given an expression as it stands: `.matches("^rm ")`')
        sound(f"re:{plain(self._at(at + 2))}")

    def _field(self, at: int) -> None:
        field = self._at(at + 2) if self._at(at + 1) == "." and self._kind(at + 2) == "name" else ""
        known = FIELDS[self._event]
        if field not in known:
            what = f"has no {quoted(field)}" if field else "is named with a field"
            raise ValueError(f"`event` of {self._event} {what}: {', '.join(sorted(known))}")
        if field in LONG and any(each.walks for each in self._open):
            raise ValueError(f"`event.{field}` cannot be asked while a list is walked over, since both may be long")
        self.fields.add(field)

    def _at(self, at: int) -> str:
        return self._tokens[at].text if 0 <= at < len(self._tokens) else ""

    def _kind(self, at: int) -> str:
        return self._tokens[at].kind if 0 <= at < len(self._tokens) else ""


def plain(text: str) -> str:
    """What a text says. ValueError where it is written in a way that is not needed here."""
    if text[0] in "rR":
        return text[2:-1]
    return re.sub(r"\\(.)", _escaped, text[1:-1], flags=re.DOTALL)


def _escaped(found: re.Match[str]) -> str:
    letters = {"n": "\n", "r": "\r", "t": "\t"}
    letter = found[1]
    if letter in "\\\"'":
        return letter
    if letter in letters:
        return letters[letter]
    raise ValueError(f'write an expression with `\\{letter}` as r"…", or the backslash twice')


def _operands(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """What is joined at the outermost level; one that is in brackets as a whole, or negated, by its own operands."""
    while tokens and (tokens[0].text == "!" or _enclosed(tokens)):
        if tokens[0].text == "!" and len(_split(tokens)) > 1:
            break
        tokens = tokens[1:] if tokens[0].text == "!" else tokens[1:-1]
    parts = _split(tokens)
    return [tokens] if len(parts) == 1 else [each for part in parts for each in _operands(part)]


def _split(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    parts: list[Sequence[Token]] = []
    depth = begun = 0
    for at, token in enumerate(tokens):
        if token.kind != "sign":
            continue
        depth += (token.text in "([") - (token.text in ")]")
        if depth == 0 and token.text == "?":
            return [tokens]
        if depth == 0 and token.text in ("&&", "||"):
            parts.append(tokens[begun:at])
            begun = at + 1
    return [*parts, tokens[begun:]]


def _enclosed(tokens: Sequence[Token]) -> bool:
    """Whether the first bracket is closed by the last."""
    depth = 0
    for at, token in enumerate(tokens):
        if token.kind == "sign":
            depth += (token.text in "([") - (token.text in ")]")
        if depth == 0:
            return at > 0 and at == len(tokens) - 1 and tokens[0].text == "("
    return False


def _text(tokens: Sequence[Token]) -> str:
    return " ".join(token.text for token in tokens)


def _unknown(name: str, known: frozenset[str]) -> str:
    return f"there is no function {quoted(name)}; there are {', '.join(sorted(known))}"
