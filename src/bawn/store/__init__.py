"""Where state is kept: one SQLite file, its tables' shared words, its migrations. Knows no room."""

from bawn.store.engine import Store, open_store

__all__ = ["Store", "open_store"]
