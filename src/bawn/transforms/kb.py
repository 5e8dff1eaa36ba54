"""Knowledge bases: passages of files that the operator has added, found again by their words, or by their meaning.

One SQLite file holds all bases. A folder is added under the name of a base; added again, what has changed in it is replaced
and what is gone is gone. Only text is taken: hidden files, links and what is no UTF-8 are not. Passages are searched by
BM25 (SQLite's FTS5, sqlite.org/fts5.html) for the words of a question, each of them quoted, so that no question is ever
read as an expression of the search. Where vectors are kept for the passages, those nearest to the question's are found too
(cosine), and both orders are made one by the ranks (reciprocal rank fusion, Cormack et al. 2009).

Everything here waits for the disk: it is called from threads.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import mul
from pathlib import Path

from bawn.errors import Fault, quoted
from bawn.terms.value import Value
from bawn.transforms.chunks import chunks

ENDINGS = frozenset((
    ".md", ".markdown", ".rst", ".txt", ".text", ".adoc", ".org", ".tex", ".csv", ".json", ".yaml", ".yml", ".toml", ".ini",
    ".cfg", ".html", ".css", ".py", ".js", ".mjs", ".ts", ".tsx", ".jsx", ".go", ".rs", ".java", ".kt", ".c", ".h", ".cc",
    ".cpp", ".hpp", ".cs", ".rb", ".php", ".swift", ".scala", ".sh", ".sql", ".proto", ".lua", ".r", ".jl", ".ex", ".hs",
))  # fmt: skip
MOST_BYTES = 2 * 2**20
"""Of one file; what is larger is hardly written by people."""
_SKIPPED = frozenset(("node_modules", "__pycache__", "dist", "build", "target", "vendor", "venv"))
NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""What a base may be called."""
_TERM = re.compile(r"\w{2,40}")
_MOST_TERMS = 32
_ASKED = 20_000
"""Characters of a question that are looked at."""
_RANKED = 60
"""What is added to each rank, as Cormack et al. have it: no single order decides."""
_COMMON = frozenset((
    "the", "and", "for", "are", "but", "not", "you", "all", "any", "can", "had", "has", "have", "was", "our", "out", "how",
    "who", "why", "what", "when", "where", "which", "will", "with", "this", "that", "these", "those", "from", "they", "them",
    "then", "there", "their", "your", "is", "it", "in", "on", "of", "to", "do", "does", "did", "be", "as", "at", "by", "an",
    "or", "if", "we", "me", "my", "so", "up", "us", "no", "please", "could", "would", "should", "about", "into",
))  # fmt: skip
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
  id INTEGER PRIMARY KEY, base TEXT NOT NULL, folder TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL,
  UNIQUE (base, folder, path)
);
CREATE TABLE IF NOT EXISTS passages (
  id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, first_line INTEGER NOT NULL,
  last_line INTEGER NOT NULL, path TEXT NOT NULL, text TEXT NOT NULL, model TEXT NOT NULL DEFAULT '', vector BLOB
);
CREATE INDEX IF NOT EXISTS passages_by_file ON passages (file);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (
  text, path, content='passages', content_rowid='id', tokenize='porter unicode61'
);
CREATE TRIGGER IF NOT EXISTS passage_comes AFTER INSERT ON passages BEGIN
  INSERT INTO words (rowid, text, path) VALUES (new.id, new.text, new.path);
END;
CREATE TRIGGER IF NOT EXISTS passage_goes AFTER DELETE ON passages BEGIN
  INSERT INTO words (words, rowid, text, path) VALUES ('delete', old.id, old.text, old.path);
END;
"""


class Passage(Value, frozen=True):
    base: str
    source: str
    """Name of the folder and the path within it."""
    first_line: int
    last_line: int
    text: str


class Added(Value, frozen=True):
    """What adding a folder has done."""

    files: int
    """Of the folder that are in the base now."""
    changed: int
    gone: int
    skipped: tuple[str, ...]
    """Paths of files that were not taken although their names look like text."""


class BaseInfo(Value, frozen=True):
    name: str
    folders: tuple[str, ...]
    files: int
    passages: int


class KnowledgeBases:
    """The file with all bases; made when it is first written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, base: str, folder: Path) -> Added:
        """Take a folder into a base. Fault `api.invalid` when there is no such folder, or no such name can be."""
        if not re.fullmatch(NAME, base):
            raise Fault(
                "api.invalid", f"{quoted(base)} is no name of a knowledge base: small letters, digits and dashes."
            )
        try:
            folder = folder.resolve(strict=True)
        except OSError:
            folder = Path()
        if not folder.is_absolute() or not folder.is_dir():
            raise Fault("api.invalid", "There is no such folder.")
        with self._open() as store:
            have = dict(
                store.execute("SELECT path, digest FROM files WHERE base = ? AND folder = ?", (base, str(folder)))
            )
        # Read before anything is written, so that nobody who asks waits for a slow folder.
        read = {file.relative_to(folder).as_posix(): _text(file) for file in _files(folder)}
        texts = {path: text for path, text in read.items() if text is not None}
        changed = [path for path, text in texts.items() if have.get(path) != _digest(text)]
        gone = [path for path in have if path not in texts]
        with self._open() as store:
            for path in (*gone, *changed):
                store.execute("DELETE FROM files WHERE base = ? AND folder = ? AND path = ?", (base, str(folder), path))
            for path in changed:
                _put(store, base, folder, path, texts[path])
        skipped = tuple(path for path, text in read.items() if text is None)
        return Added(len(texts), len(changed), len(gone), skipped)

    def remove(self, base: str) -> int:
        """Take a base away with all its passages; the number of its files."""
        with self._open() as store:
            return store.execute("DELETE FROM files WHERE base = ?", (base,)).rowcount

    def all(self) -> list[BaseInfo]:
        with self._open() as store:
            rows = store.execute(
                "SELECT base, json_group_array(DISTINCT folder), count(DISTINCT files.id), count(passages.id) FROM files "
                "LEFT JOIN passages ON passages.file = files.id GROUP BY base ORDER BY base"
            ).fetchall()
        return [
            BaseInfo(base, tuple(sorted(json.loads(folders))), files, count) for base, folders, files, count in rows
        ]

    def search(self, bases: Sequence[str], question: str, most: int, near: Sequence[int] = ()) -> list[Passage]:
        """The passages that fit a question best, at most `most`; `near` are those of `nearest`, best first."""
        expression = terms(question)
        with self._open() as store:
            found: list[int] = []
            if expression:
                rows = store.execute(
                    "SELECT words.rowid FROM words JOIN passages ON passages.id = words.rowid "
                    "JOIN files ON files.id = passages.file "
                    "WHERE words MATCH ? AND files.base IN (SELECT value FROM json_each(?)) "
                    "ORDER BY bm25(words), files.base, files.folder, files.path, passages.first_line LIMIT ?",
                    (expression, json.dumps(bases), most * 4),
                )
                found = [number for (number,) in rows]
            passages = (_passage(store, number) for number in _fused(found, near))
            return [passage for passage in passages if passage is not None][:most]

    def without_vector(self, bases: Sequence[str], model: str, most: int) -> list[tuple[int, str]]:
        """Passages that have no vector of this model yet, with their texts."""
        with self._open() as store:
            return store.execute(
                "SELECT passages.id, text FROM passages JOIN files ON files.id = passages.file "
                "WHERE model <> ? AND base IN (SELECT value FROM json_each(?)) ORDER BY passages.id LIMIT ?",
                (model, json.dumps(bases), most),
            ).fetchall()

    def keep_vectors(self, model: str, vectors: Iterable[tuple[int, Sequence[float]]]) -> None:
        with self._open() as store:
            store.executemany(
                "UPDATE passages SET model = ?, vector = ? WHERE id = ?",
                [(model, array("f", of_length_one(vector)).tobytes(), number) for number, vector in vectors],
            )

    def nearest(self, bases: Sequence[str], model: str, vector: Sequence[float], most: int) -> list[int]:
        """The passages whose vectors point most nearly where this one does, by their numbers."""
        with self._open() as store:
            rows = store.execute(
                "SELECT passages.id, vector FROM passages JOIN files ON files.id = passages.file "
                "WHERE model = ? AND base IN (SELECT value FROM json_each(?))",
                (model, json.dumps(bases)),
            )
            wanted = array("f", of_length_one(vector))
            ranked = sorted((-alike(wanted, array("f", data)), number) for number, data in rows)
        return [number for _, number in ranked[:most]]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction. Fault `store.unavailable` when the file or the disk is not as it has to be."""
        try:
            if not self.path.exists():
                # Only for its owner from the first moment on.
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            store = sqlite3.connect(self.path, timeout=5)
            try:
                if not _is_made(store):
                    store.execute("PRAGMA journal_mode = WAL")
                    store.executescript(_SCHEMA)
                store.execute("PRAGMA foreign_keys = ON")
                with store:
                    yield store
            finally:
                store.close()
        except (sqlite3.Error, OSError) as error:
            raise Fault("store.unavailable", "The knowledge bases cannot be read.", cause=str(error)) from None


def terms(question: str) -> str:
    """The words of a question as an expression of FTS5: each quoted, one of them enough; empty when there are none."""
    words = dict.fromkeys(word.lower() for word in _TERM.findall(question[:_ASKED]))
    wanted = [word for word in words if word not in _COMMON] or [*words]
    return " OR ".join(f'"{word}"' for word in wanted[:_MOST_TERMS])


def of_length_one(vector: Sequence[float]) -> list[float]:
    """The same direction; a vector without one stays as it is."""
    length = math.sqrt(math.fsum(each * each for each in vector))
    return [each / length for each in vector] if length else [*vector]


def alike(one: array[float], two: array[float]) -> float:
    """The cosine of two vectors of length one: 1 for the same, 0 for what cannot be compared."""
    return sum(map(mul, one, two)) if len(one) == len(two) else 0.0


def _fused(words: Sequence[int], near: Sequence[int]) -> list[int]:
    if not near:
        return [*words]
    scores: dict[int, float] = {}
    for order in (words, near):
        for rank, number in enumerate(order, 1):
            scores[number] = scores.get(number, 0.0) + 1 / (_RANKED + rank)
    return sorted(scores, key=lambda number: (-scores[number], number))


def _is_made(store: sqlite3.Connection) -> bool:
    return store.execute("SELECT 1 FROM sqlite_master WHERE name = 'passage_goes'").fetchone() is not None


def _passage(store: sqlite3.Connection, number: int) -> Passage | None:
    """None when it was replaced meanwhile."""
    row = store.execute(
        "SELECT base, folder, files.path, first_line, last_line, text FROM passages JOIN files ON files.id = passages.file "
        "WHERE passages.id = ?",
        (number,),
    ).fetchone()
    if row is None:
        return None
    base, folder, path, first, last, text = row
    return Passage(base, f"{Path(folder).name}/{path}", first, last, text)


def _put(store: sqlite3.Connection, base: str, folder: Path, path: str, text: str) -> None:
    file = store.execute(
        "INSERT INTO files (base, folder, path, digest) VALUES (?, ?, ?, ?)", (base, str(folder), path, _digest(text))
    ).lastrowid
    store.executemany(
        "INSERT INTO passages (file, first_line, last_line, path, text) VALUES (?, ?, ?, ?, ?)",
        [(file, chunk.first_line, chunk.last_line, path, chunk.text) for chunk in chunks(text)],
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """Files whose names look like text, in their order; links are not followed, so nothing outside is taken."""
    for place, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
        for name in sorted(names):
            file = Path(place, name)
            if not name.startswith(".") and file.suffix.lower() in ENDINGS and not file.is_symlink() and file.is_file():
                yield file


def _text(file: Path) -> str | None:
    """None for what is no text, or too much of it."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            data = opened.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES or b"\0" in data:
            return None
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
