"""What the operator may say about packages."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, field_validator

from bawn.config.section import Section
from bawn.packages.names import written


class Mode(StrEnum):
    OPEN = "open"
    LOCKED = "locked"


class Packages(Section):
    """What containers may install, once `@pip` or `@npm` opens the packages door for them."""

    mode: Mode = Field(
        default=Mode.OPEN,
        description="`open`: what is visible, its hash kept for the project. `locked`: what the project's lock file names.",
    )
    cooldown_days: float = Field(default=7, ge=0, le=3650, description="Versions younger than this are not visible.")
    trust_undated: bool = Field(
        default=False, description="Whether versions are visible of which the registry does not say how old they are."
    )
    allow: tuple[str, ...] | None = Field(
        default=None,
        description="Only these names (`name`, `pip:name`, `npm:name`, `@scope/*`); none said means every name.",
    )
    advisories: str | None = Field(
        default=None, description="A folder or zip of OSV files; what they call malware (`MAL-…`) is refused."
    )
    advisories_all: bool = Field(
        default=False, description="Whether files that the other advisories speak against are refused as well."
    )
    cooldown_exempt: tuple[str, ...] = Field(
        default=(), description="Packages whose young versions are visible, such as your own."
    )
    code_at_start: tuple[str, ...] = Field(
        default=(), description="Packages whose wheels may run code at every start of Python."
    )
    disk_bytes: int = Field(
        default=20 * 2**30, ge=2**20, description="Size of the files that are kept; the longest unused goes first."
    )

    @field_validator("allow", "cooldown_exempt", "code_at_start")
    @classmethod
    def _are_names(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            if not written(name):
                raise ValueError("one of these is not the name of a package")
        return names
