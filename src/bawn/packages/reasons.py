"""Why a package is not served: a code of `errors.KINDS`, and a sentence that pip and npm print."""

from __future__ import annotations

from bawn.errors import KINDS


class Refused(Exception):
    def __init__(self, code: str, sentence: str, *, name: str = "", version: str = "") -> None:
        super().__init__(sentence)
        self.kind = KINDS[code]
        self.sentence = sentence
        self.name = name
        self.version = version

    @property
    def code(self) -> str:
        return self.kind.code

    def words(self) -> str:
        """For whoever reads what a package manager prints."""
        return f"Bawn: {self.sentence} {self.kind.remedy} [{self.code}]"
