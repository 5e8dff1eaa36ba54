"""Secrets taken out of what is written, whoever wrote them.

Two kinds are known. *Forms*: texts that look like the keys of known services. *Values*: what the vault
holds, learnt exactly, and found also when they come base64-encoded, percent-encoded, in hexadecimal or
escaped in JSON. Redaction comes before anything is written, hashed or sent to a log; what was
redacted leaves a mark and is otherwise gone.

Cheap tests for fixed letters come before each pattern: almost every text has none of them. Patterns are
for plain text; what is encoded is asked `suspects` first and redacted before encoding when it answers yes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from functools import partial
from urllib.parse import quote, quote_plus

VALUE_MARK = "[redacted]"
SHORTEST_VALUE = 8
"""Shorter values are not learnt: taking out every `key1` would destroy more than it hides."""
CLEAN_TEXTS, CLEAN_LENGTH = 512, 128
"""How many texts are remembered as clean, and how long ones."""

# A form: its name in the mark, letters that every text of this form has, and the pattern. The part to take
# out is the group `secret` where there is one, else the whole.
_FORMS: tuple[tuple[str, str, re.Pattern[str]], ...] = tuple(
    (name, letters, re.compile(pattern, re.DOTALL))
    for name, letters, pattern in (
        ("private-key", "PRIVATE KEY", r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY.*?(?:-----END [A-Z0-9 ]{7,40}-----|\Z)"),
        ("anthropic-key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{8,}"),
        ("openai-key", "sk-", r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}"),
        ("aws-key", "AKIA", r"(?<![A-Z0-9])AKIA[A-Z0-9]{16}(?![A-Z0-9])"),
        ("aws-key", "ASIA", r"(?<![A-Z0-9])ASIA[A-Z0-9]{16}(?![A-Z0-9])"),
        ("github-token", "ghp_", r"(?<![A-Za-z0-9])ghp_[A-Za-z0-9]{20,}"),
        ("github-token", "gho_", r"(?<![A-Za-z0-9])gho_[A-Za-z0-9]{20,}"),
        ("github-token", "ghu_", r"(?<![A-Za-z0-9])ghu_[A-Za-z0-9]{20,}"),
        ("github-token", "ghs_", r"(?<![A-Za-z0-9])ghs_[A-Za-z0-9]{20,}"),
        ("github-token", "ghr_", r"(?<![A-Za-z0-9])ghr_[A-Za-z0-9]{20,}"),
        ("github-token", "github_pat_", r"github_pat_[A-Za-z0-9_]{20,}"),
        ("gitlab-token", "glpat-", r"glpat-[A-Za-z0-9_-]{16,}"),
        ("slack-token", "xox", r"xox[a-z]-[A-Za-z0-9-]{8,}"),
        ("google-key", "AIza", r"AIza[A-Za-z0-9_-]{30,}"),
        ("huggingface-token", "hf_", r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{16,}"),
        ("bawn-token", "bawn_pat_", r"bawn_pat_[0-9a-f]{16}_(?P<secret>[0-9a-f]{8,})"),
        ("jwt", "eyJ", r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"),
        ("bearer", "earer", r"[Bb]earer[ \t]+(?!container-[a-z0-9])(?P<secret>[A-Za-z0-9._~+/=-]{8,})"),
        ("basic-auth", "asic ", r"[Bb]asic[ \t]+(?P<secret>[A-Za-z0-9+/=]{12,})"),
        ("url-password", "://", r"[a-zA-Z][a-zA-Z0-9+.-]{0,20}://[^\s/?#@:]{0,200}:(?P<secret>[^\s/?#@]{1,200})@"),
    )
)  # fmt: skip


_EVER_NEW = re.compile("call_[0-9a-f]{1,40}|(?:read|changed|answered) [0-9]{1,12} us")
"""The id of a call, and what a stage did in which time: no form can be spelled with these letters."""
_LETTERS = tuple(sorted({letters for _, letters, _ in _FORMS}))


class Redactor:
    """Knows the forms from the start and learns values; what was learnt is never forgotten while it lives."""

    def __init__(self) -> None:
        self._values: tuple[str, ...] = ()
        self._bytes: tuple[bytes, ...] = ()
        self._clean: set[str] = set()
        """Texts in which there was nothing to take out; of no use any more once another value is learnt."""

    def learn(self, values: Iterable[str]) -> None:
        """These values, in all their forms, from now on."""
        known = set(self._values)
        for value in values:
            if len(value) >= SHORTEST_VALUE:
                known |= disguises(value)
        # Longest first, so that a value which contains another goes as a whole.
        self._values = tuple(sorted(known, key=lambda value: (-len(value), value)))
        self._bytes = tuple(value.encode("utf-8", "surrogatepass") for value in self._values)
        self._clean.clear()

    def text(self, text: str) -> str:
        """The text without the values and without anything of a known form."""
        for value in self._values:
            if value in text:
                text = text.replace(value, VALUE_MARK)
        for name, letters, pattern in _FORMS:
            if letters in text:
                text = pattern.sub(partial(_marked, f"[redacted:{name}]"), text)
        return text

    def suspects(self, encoded: str) -> bool:
        """Whether there may be something to take out, also when the text is encoded as JSON."""
        return any(map(encoded.__contains__, self._values)) or any(map(encoded.__contains__, _LETTERS))

    def clean(self, texts: tuple[str, ...]) -> bool:
        """Whether there is surely nothing to take out of any of these texts; most of them come with every record."""
        new = [text for text in texts if text not in self._clean]
        for text in new:
            # Few texts are new in most records, and those have no form.
            if any(map(text.__contains__, self._values)) if _EVER_NEW.fullmatch(text) else self.suspects(text):
                return False
        if len(self._clean) > CLEAN_TEXTS:
            self._clean.clear()
        self._clean.update(text for text in new if len(text) <= CLEAN_LENGTH)
        return True

    def bytes(self, data: bytes) -> bytes:
        """A provider's answer without the learnt values; forms stay, a model may well explain what a key looks like."""
        for value in self._bytes:
            if value in data:
                data = data.replace(value, VALUE_MARK.encode())
        return data

    def scrubber(self) -> StreamScrubber:
        """For one stream of a provider's answer, with what is known now."""
        return StreamScrubber(self._bytes)


class StreamScrubber:
    """`Redactor.bytes` over chunks: also finds a value that is cut by a chunk's border.

    Held back is only the end of a chunk that begins a learnt value, so that text without such a beginning
    flows on at once.
    """

    __slots__ = ("_firsts", "_held", "_longest", "_values")

    def __init__(self, values: tuple[bytes, ...]) -> None:
        self._values = values
        self._firsts = [(value[:1], value) for value in values]
        self._longest = max(map(len, values), default=0)
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What may go out now."""
        data = self._held + chunk if self._held else chunk
        for value in self._values:
            if value in data:
                data = data.replace(value, VALUE_MARK.encode())
        keep = self._beginning(data)
        self._held = data[len(data) - keep :] if keep else b""
        return data[: len(data) - keep] if keep else data

    def end(self) -> bytes:
        """The rest, once the stream is over: it was no value after all."""
        rest, self._held = self._held, b""
        return rest

    def _beginning(self, data: bytes) -> int:
        """How many bytes at the end of `data` could begin a value."""
        longest = 0
        tail = data[-(self._longest - 1) :] if self._longest > 1 else b""
        for first, value in self._firsts:
            at = tail.find(first, max(0, len(tail) - len(value) + 1))
            while at != -1 and len(tail) - at > longest:
                if value.startswith(tail[at:]):
                    longest = len(tail) - at
                    break
                at = tail.find(first, at + 1)
        return longest


def disguises(value: str) -> set[str]:
    """A value and the forms in which it may come back."""
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], raw.hex(), raw.hex().upper()}
    forms |= {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # Inside a longer text a value can begin at each of three places of a base64 group; the characters
        # at both ends depend on the neighbours and are left out.
        for before in range(3):
            encoded = encode(bytes(before) + raw).decode().rstrip("=")
            begin = (0, 2, 3)[before]
            end = len(encoded) if (before + len(raw)) % 3 == 0 else len(encoded) - 1
            forms.add(encoded[begin:end])
    return {form for form in forms if len(form) >= SHORTEST_VALUE}


def _marked(mark: str, found: re.Match[str]) -> str:
    if "secret" not in found.re.groupindex:
        return mark
    begin, end = found.span("secret")
    return found.string[found.start() : begin] + mark + found.string[end : found.end()]
