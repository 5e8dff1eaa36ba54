"""What the user says in more words than it takes is said in fewer: runs of blanks, pleasantries, long-winded phrases.

Only English prose of the user is changed (`prose.py` says what that is), never what tools, the system or the assistant
said, nor documents. The same text always comes out the same, so a provider's cache of a conversation stays of use.
"""

from __future__ import annotations

import asyncio
import re

from pydantic import Field

from bawn.config.section import Section
from bawn.stages.asked import Asked
from bawn.stages.stage import Ending, Given, View
from bawn.transforms.counts import Counts
from bawn.transforms.dedupe import AT_ONCE, Saved, size
from bawn.transforms.prose import in_prose
from bawn.wire.document import RequestDocument, Said

_LOOKED_AT = 400_000
"""Characters of a request that are looked at, from its beginning: no user has written more."""


class Compress(Section):
    """Prose of the user is said in fewer words."""

    pleasantries: bool = Field(default=True, description="Whether greetings, thanks and `please` are left out.")
    wordy: bool = Field(default=True, description="Whether long-winded phrases become short ones of the same meaning.")
    articles: bool = Field(default=False, description="Whether `the`, `a` and `an` are left out.")


class Compression:
    """The stage."""

    name = "compress"

    def __init__(self, settings: Compress, counts: Counts | None = None) -> None:
        self._settings = settings
        self.counts = counts or Counts()

    async def request(self, asked: Asked) -> Given | None:
        document = asked.document
        if document is not None and (saved := await self._compressed(asked, document)).bytes:
            asked.notes.append(("compress.tokens_saved", str(saved.tokens)))
            self.counts.add("requests")
            self.counts.add("bytes_saved", saved.bytes)
            self.counts.add("tokens_saved", saved.tokens)
        return None

    async def _compressed(self, asked: Asked, document: RequestDocument) -> Saved:
        if len(asked.exchange.body) < AT_ONCE:
            return compress(document, self._settings)
        return await asyncio.to_thread(compress, document, self._settings)

    def view(self, asked: Asked) -> View | None:
        return None

    def over(self, asked: Asked, ending: Ending) -> None:
        return None


def compress(document: RequestDocument, settings: Compress) -> Saved:
    """Say what the user says in a document in fewer words."""
    texts = saved = looked_at = 0
    for spot in document.spots:
        if spot.said is Said.USER and not spot.attached:
            looked_at += len(spot.text)
            if looked_at > _LOOKED_AT:
                break
            shorter = compressed(spot.text, settings)
            if len(shorter) < len(spot.text) and shorter.strip():
                document.set_text(spot, shorter)
                texts += 1
                saved += size(spot.text) - size(shorter)
    return Saved(texts, saved)


def compressed(text: str, settings: Compress) -> str:
    """A text in fewer words."""
    return in_prose(text, lambda paragraph: _shorter(paragraph, settings))


_START = r"(?:(?<=\A)|(?<=\n)|(?<=[.!?] )|(?<=, )|(?<=; )|(?<=\band )|(?<=\bso )|(?<=\bThen )|(?<=\bthen ))"
"""Where a clause begins. Elsewhere the same words may be part of what is meant ("how could you", "speak kindly")."""
_ALONE = (
    r"(?:hi|hello|hey|greetings|good (?:morning|afternoon|evening|day))(?: there| everyone| all| team| again)?[,.!]+|"
    r"(?:many thanks|thanks|thank you)(?: (?:so|very) much| a lot)?(?: in advance)?"
    r"(?: for (?:your|the|any|all)(?: \w+){1,3})?[.!]+|"
    r"i (?:really |truly |would really |would )?appreciate (?:it|your help|your time|any help)(?: \w+){0,3}[.!]+|"
    r"i hope (?:you are|you're|this finds you|that you are) (?:doing )?(?:well|fine|great)(?: today)?[.!,]+"
)
"""Sentences that ask for nothing."""
_ASKED = (
    r"(?:it is important to|please) note that|"
    r"as you (?:may|might|probably) (?:already )?know,?|"
    r"needless to say,?|"
    r"i was (?:just )?wondering (?:if|whether) you (?:could|would|might be able to)(?: please| kindly| possibly)?|"
    r"(?:it would be|that would be|it'd be) (?:great|nice|wonderful|helpful|lovely|very helpful|really helpful)"
    r" if you (?:could|would|can)(?: please| kindly| possibly)?|"
    r"i (?:would|'d) (?:really |very much )?(?:like|love) (?:for )?you to(?: please| kindly)?|"
    r"i(?:'d| would) appreciate it if you (?:could|would)(?: please| kindly)?|"
    r"if you (?:do not|don't|wouldn't) mind,?|"
    r"(?:could|would|can|will) you(?: please| kindly| possibly| maybe| perhaps)+|"
    r"(?:could|would) you(?= \w+ (?:the|a|an|this|that|these|those|my|our|it|me|all|every|each|how|why|what|whether)\b)|"
    r"(?:please|kindly)(?: please| kindly| do)?,?"
)
"""Beginnings of a request, or of a sentence, without which it says the same."""
_WORDY = [
    (r"in order to", "to"),
    (r"due to the fact that", "because"),
    (r"in spite of the fact that", "although"),
    (r"at this point in time", "now"),
    (r"at the present time", "now"),
    (r"in the event that", "if"),
    (r"for the purpose of", "for"),
    (r"with regards? to", "about"),
    (r"in regards? to", "about"),
    (r"a (?:large|great) number of", "many"),
    (r"the majority of", "most of"),
    (r"has the ability to", "can"),
    (r"have the ability to", "can"),
    (r"is able to", "can"),
    (r"are able to", "can"),
    (r"make sure that", "ensure"),
    (r"as a matter of fact,?", "in fact"),
]


_GREETING = re.compile(r"(?:(?<=\A)|(?<=\n)|(?<=[.!?] ))(?:" + _ALONE + r")(?:[ ]+|(?=\n)|\Z)", re.IGNORECASE)
_REQUEST = re.compile(_START + "(" + _ASKED + r")[ ]+([^\W\d_]|\uE000)", re.IGNORECASE)
_PLEASE_LAST = re.compile(r",? (?:please|kindly)(?=[.?!](?:\s|\Z))", re.IGNORECASE)
_PLEASE_WITHIN = re.compile(r"(?<=\balso )(?:please|kindly) ", re.IGNORECASE)
_LONG = re.compile("|".join(rf"\b({long})(?=[ ,.]|\Z)" for long, _ in _WORDY), re.IGNORECASE)
_ARTICLE = re.compile(
    r"(?<![-'’.\w])(the|an?) (?!(?:to|and|or|is|in|of|for|on|at|by|with|as|are|was|if|has|will)\b)([a-z])(?=[a-z])",
    re.IGNORECASE,
)
_NAME_BEFORE = re.compile(
    r"\b(?:option|plan|point|part|class|type|group|grade|vitamin|team|step|case|version|section) \Z", re.I
)
_BLANKS = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)")
_TRAILING = re.compile(r"(?<![ \t])[ \t]+(?=\r?\n|\r|\Z)")


def _shorter(paragraph: str, settings: Compress) -> str:
    text = _TRAILING.sub("", _BLANKS.sub(" ", paragraph))
    if settings.pleasantries:
        text = _GREETING.sub("", text)
        for _ in range(2):
            # What stands behind one of them may be another: "As you may know, please".
            text = _REQUEST.sub(lambda found: _as(found[1], found[2]), text)
        text = _PLEASE_WITHIN.sub("", _PLEASE_LAST.sub("", text))
    if settings.wordy:
        text = _LONG.sub(lambda found: _as(found[0], _WORDY[(found.lastindex or 1) - 1][1]), text)
    if settings.articles:
        text = _ARTICLE.sub(_without_article, text)
    if paragraph[:1].isupper() and text[:1].islower():
        text = text[0].upper() + text[1:]
    return text


def _as(gone: str, comes: str) -> str:
    """What comes in the place of something, with a capital where that had one."""
    return comes[:1].upper() + comes[1:] if gone[0].isupper() else comes


def _without_article(found: re.Match[str]) -> str:
    before = found.string[max(0, found.start() - 20) : found.start()]
    if found[2].isupper() or (found[1].lower() != "the" and _NAME_BEFORE.search(before)):
        return found[0]
    return _as(found[1], found[2])
