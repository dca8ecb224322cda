"""Finished cells in one SQLite file: written by one process, each kept once, checked whenever they are read.

``results(key, position, document, checksum, seconds)`` has a row for each finished cell, whose document is
JSON and whose checksum covers what comes before it; ``facts(name, value)`` says what computed them. Schema 1
had no seconds; writers bring older files up to date.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmttheory.arrays import InvalidInput
from rmttheory.studies.records import NotWritten, environment
from rmttheory.studies.sweeps.keys import canonical, digest

SCHEMA = 2
NAME = "cells.sqlite"

NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs", "gluster", "pvfs", "fuse.")
"""How the types of file systems begin on which two hosts may meet."""

_TABLES = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE results (key TEXT PRIMARY KEY, position INTEGER NOT NULL, document TEXT NOT NULL, "
    "checksum TEXT NOT NULL, seconds REAL NOT NULL)",
)
_MIGRATIONS = {1: "ALTER TABLE results ADD COLUMN seconds REAL NOT NULL DEFAULT 0"}
"""What makes each schema the next one."""
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished cell.

    Attributes
    ----------
    key : str
        Of the cell.
    position : int
        Of the cell in its sweep.
    document : mapping
        Plain values; ``failed`` among them, a sentence, if the cell could not be computed.
    seconds : float
        What it took of one core; no part of the result.
    """

    key: str
    position: int
    document: Mapping[str, Any]
    seconds: float = field(default=0.0, compare=False)

    @property
    def failed(self) -> bool:
        """Whether the cell could not be computed."""
        return "failed" in self.document


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder for this process while the body runs; the system lets go of it however we end.

    Raises
    ------
    InvalidInput
        If another process holds it.
    NotWritten
        If the disk is full.
    """
    lock = sqlite3.connect(folder / "writer.sqlite", timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        if error.sqlite_errorname != "SQLITE_BUSY":
            raise _unwritten(folder, error) from None
        writer = "another process"
        with contextlib.suppress(InvalidInput):
            writer = read_facts(folder).get("writer", writer)
        msg = f"{folder} is being written by {writer}: wait until that ends, or name another folder."
        raise InvalidInput(msg) from None
    try:
        yield
    finally:
        lock.close()


class Store:
    """The finished cells of a folder that this process holds, see `only_writer`; a context.

    Parameters
    ----------
    folder : path
    positions : mapping of str to int
        Keys of all cells of the sweep, with their places.

    Attributes
    ----------
    notes : list of str
        What was wrong with the file, in sentences; cells whose records were damaged count as not computed.
    facts : dict
        What computed the first of the results, and who writes now.

    Raises
    ------
    InvalidInput
        If the file holds other cells too, or is of a later version.
    NotWritten
        If it cannot be written.
    """

    def __init__(self, folder: Path, positions: Mapping[str, int]) -> None:
        self.path, self.notes = folder / NAME, list[str]()
        with self._writing():
            self._connection = self._opened()
            try:
                self._begin(positions)
                self.facts = dict(self._connection.execute("SELECT name, value FROM facts"))
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(sqlite3.Error):  # on a full disk what is committed stays in the log beside
            self._connection.execute("PRAGMA journal_mode=DELETE")  # one file, readable from a closed folder
        self._connection.close()

    def __iter__(self) -> Iterator[Result]:
        return (found for _, found in _rows(self._connection) if found)

    def add(self, results: Iterable[Result]) -> None:
        """Keep results, all or none of them; those that are there already stay as they are.

        Raises
        ------
        NotWritten
            If the file cannot be written.
        """
        with self._writing(), self._connection:
            _insert(self._connection, results)

    def forget(self, keys: Iterable[str]) -> None:
        """Remove results, to be computed again; raises as `add` does."""
        with self._writing(), self._connection:
            self._connection.executemany("DELETE FROM results WHERE key = ?", ((key,) for key in keys))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _unwritten(self.path, error) from None

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path)
        try:
            if not _sound(connection):
                kept = list(_readable(connection))
                connection.close()
                _replace_damaged(self.path, kept)
                self.notes.append(
                    f"{self.path} was damaged: {len(kept)} results were saved from it, the other cells are "
                    f"computed again. The damaged file is kept as {self.path.name}.damaged."
                )
                connection = sqlite3.connect(self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self, positions: Mapping[str, int]) -> None:
        """Check what is there and make what is not."""
        connection = self._connection
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _create(connection)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for schema in range(_schema(self.path, connection), SCHEMA):
                connection.execute(_MIGRATIONS[schema])
            connection.execute(f"PRAGMA user_version={SCHEMA}")
        connection.execute(f"PRAGMA journal_mode={'DELETE' if on_network(self.path.parent) else 'WAL'}")
        connection.execute("PRAGMA synchronous=FULL")
        damaged = []
        for row, found in _rows(connection):
            if not found:
                damaged.append((row,))
            elif positions.get(found.key) != found.position:
                msg = (
                    f"{self.path} holds results of another sweep or of another version of rmttheory (this is "
                    f"{environment()['rmttheory']}): name another folder."
                )
                raise InvalidInput(msg)
        if damaged:
            self.notes.append(
                f"{len(damaged)} records in {self.path} were damaged; their cells are computed again."
            )
        with connection:
            connection.executemany("DELETE FROM results WHERE rowid = ?", damaged)
            writer = f"process {os.getpid()} on {socket.gethostname()}"
            connection.execute("INSERT OR REPLACE INTO facts VALUES ('writer', ?)", (writer,))


def read_facts(folder: Path) -> dict[str, str]:
    """Return what a store says of itself; raises as `read_results` does."""
    with _reading(folder) as connection:
        return dict(connection.execute("SELECT name, value FROM facts"))


def read_results(folder: Path) -> tuple[list[Result], int]:
    """Return the results in a folder, in the order of their cells, and how many records are damaged.

    Raises
    ------
    InvalidInput
        If the file cannot be read.
    """
    with _reading(folder) as connection:
        _schema(folder / NAME, connection)
        found = [result for _, result in _rows(connection)]
    kept = [result for result in found if result]
    return sorted(kept, key=lambda result: result.position), len(found) - len(kept)


def on_network(folder: Path) -> bool:
    """Whether a folder lies where two hosts may meet, as far as Linux says: SQLite's log cannot be there."""
    where, kind = folder.resolve(), ""
    with contextlib.suppress(OSError):
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
        holding = [(len(place), name) for place, name in mounts if where.is_relative_to(place)]
        kind = max(holding, default=(0, ""))[1]
    return kind.startswith(NETWORK)


def _create(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("BEGIN")
        for table in _TABLES:
            connection.execute(table)
        connection.executemany("INSERT INTO facts VALUES (?, ?)", environment().items())
        connection.execute(f"PRAGMA user_version={SCHEMA}")


def _schema(path: Path, connection: sqlite3.Connection) -> int:
    schema = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if not 1 <= schema <= SCHEMA:
        msg = f"{path} has schema {schema}, this version of rmttheory knows 1 to {SCHEMA}: use a later one."
        raise InvalidInput(msg)
    return schema


def _rows(connection: sqlite3.Connection) -> Iterator[tuple[int, Result | None]]:
    """Yield every row by its number, with None for one that is damaged."""
    return map(_checked, connection.execute("SELECT rowid, * FROM results"))


def _checked(columns: tuple[Any, ...]) -> tuple[int, Result | None]:
    row, key, position, document, checksum, *seconds = columns
    if checksum != digest(f"{key} {position} {document}"):
        return row, None
    spent = next((value for value in seconds if isinstance(value, float)), 0.0)
    return row, Result(key=key, position=position, document=json.loads(document), seconds=spent)


def _insert(connection: sqlite3.Connection, results: Iterable[Result]) -> None:
    rows = []
    for result in results:
        document = canonical(result.document)
        checksum = digest(f"{result.key} {result.position} {document}")
        rows.append((result.key, result.position, document, checksum, result.seconds))
    connection.executemany("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?)", rows)


def _sound(connection: sqlite3.Connection) -> bool:
    connection.text_factory = lambda data: data.decode(errors="replace")  # what is no text is damage too
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if not error.sqlite_errorname.startswith(_DAMAGE):
            raise
        return False


def _readable(connection: sqlite3.Connection) -> Iterator[Result]:
    """Yield the whole results of a damaged file, from both ends up to where it cannot be read.

    One by one: who asks for several gets none of those read before the damage is met.
    """
    for beyond, order, row in ((">", "ASC", -1), ("<", "DESC", 2**63 - 1)):
        one = f"SELECT rowid, * FROM results WHERE rowid {beyond} ? ORDER BY rowid {order} LIMIT 1"
        with contextlib.suppress(sqlite3.DatabaseError):
            while columns := connection.execute(one, (row,)).fetchone():
                row, found = _checked(columns)
                if found:
                    yield found


def _replace_damaged(path: Path, kept: Iterable[Result]) -> None:
    partial = path.with_name(f"{path.name}.part")
    partial.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(partial)) as connection:
        _create(connection)
        with connection:
            _insert(connection, kept)
    shutil.copyfile(path, path.with_name(f"{path.name}.damaged"))
    for ending in ("-wal", "-shm", "-journal"):  # of the damaged file; they must not meet the new one
        path.with_name(path.name + ending).unlink(missing_ok=True)
    os.replace(partial, path)


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection]:
    path = folder / NAME
    if not path.is_file():
        msg = f"There is no run in {folder}: it has no {NAME}."
        raise InvalidInput(msg)
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.text_factory = lambda data: data.decode(errors="replace")
            yield connection
    except sqlite3.Error as error:
        msg = f"Cannot read {path}: {error}. `rmttheory resume {folder}` saves what can be saved of it."
        raise InvalidInput(msg) from None


def _unwritten(path: Path, error: sqlite3.Error) -> NotWritten:
    return NotWritten(f"Cannot write {path}: {error}.")
