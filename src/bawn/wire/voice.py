"""What has been said as one text, and what is put behind it as another one."""

from __future__ import annotations

_PAUSE = "\n\n"


class Voice:
    """Clients read as one text what a choice or a candidate says piece by piece; an empty line sets texts apart in it."""

    def __init__(self, *, said: bool = False, apart: bool = False) -> None:
        self.said = said
        self.apart = apart
        """Whether what is said next is another text than what was said before."""

    def aside(self, text: str) -> str:
        """A text of its own behind what was said."""
        self.apart = True
        told = self.goes_on(text)
        self.apart = True
        return told

    def goes_on(self, text: str) -> str:
        """One more piece."""
        if not text:
            return text
        told = _PAUSE + text if self.said and self.apart else text
        self.said, self.apart = True, False
        return told
