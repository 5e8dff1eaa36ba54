"""Bawn, the walled yard for AI agents."""

__version__ = "0.1.0"
