"""The dialects of all agents that report, by the name in their path."""

from __future__ import annotations

from collections.abc import Mapping

from bawn.adapters.report import Dialect

DIALECTS: Mapping[str, Dialect] = {}
