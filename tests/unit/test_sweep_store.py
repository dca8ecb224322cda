"""The file of finished cells: each once, whole, and found damaged where it is."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rmttheory.arrays import InvalidInput
from rmttheory.studies.records import NotWritten
from rmttheory.studies.sweeps import store as stores
from rmttheory.studies.sweeps.keys import canonical, digest
from rmttheory.studies.sweeps.store import NAME, Result, Store, on_network, only_writer, read_results

CELLS = 12
POSITIONS = {f"key {place}": place for place in range(CELLS)}


def result(place: int, value: float = 0.5) -> Result:
    return Result(key=f"key {place}", position=place, document={"outcome": "consistent", "value": value})


def new_folder() -> Path:
    """In memory where it can be: nothing here is about power cuts, and a disk takes its time."""
    return Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))


def places(folder: Path) -> list[int]:
    return [found.position for found in read_results(folder)[0]]


class AnyOrder(RuleBasedStateMachine):
    """Whatever is added, twice, in any order, damaged and reopened: the table is that of a dictionary."""

    @initialize()
    def begin(self) -> None:
        self.folder = new_folder()
        self.model: dict[int, float] = {}
        self.store = Store(self.folder, POSITIONS)

    @rule(batch=st.lists(st.tuples(st.integers(0, CELLS - 1), st.floats(allow_nan=False)), max_size=5))
    def add(self, batch: list[tuple[int, float]]) -> None:
        batch = [(place, min(max(value, -1e300), 1e300)) for place, value in batch]
        self.store.add([result(*one) for one in batch])
        for place, value in batch:
            self.model.setdefault(place, value)

    @rule(batch=st.sets(st.integers(0, CELLS - 1), max_size=3))
    def forget(self, batch: set[int]) -> None:
        self.store.forget([f"key {place}" for place in batch])
        for place in batch:
            self.model.pop(place, None)

    @rule()
    def reopen(self) -> None:
        self.store.__exit__()
        self.store = Store(self.folder, POSITIONS)
        assert not self.store.notes

    @rule()
    def die(self) -> None:
        """A process that is killed leaves the file with its log, as they stand."""
        copy = new_folder()
        for file in self.folder.glob(f"{NAME}*"):
            shutil.copy(file, copy)
        self.close()
        self.folder = copy
        self.store = Store(copy, POSITIONS)

    @rule(
        place=st.integers(0, CELLS - 1),
        column=st.sampled_from(["document", "checksum", "position", "key"]),
        rubbish=st.sampled_from(["", "{}", "x", b"\xff", 7]),
    )
    def damage(self, place: int, column: str, rubbish: object) -> None:
        self.store.__exit__()
        with contextlib.closing(sqlite3.connect(self.folder / NAME)) as raw, raw:
            changed = raw.execute(f"UPDATE results SET {column} = ? WHERE key = ?", (rubbish, f"key {place}"))
            count = changed.rowcount if rubbish != 7 or column != "position" or place != 7 else 0
        self.store = Store(self.folder, POSITIONS)
        assert len(self.store.notes) == min(count, 1)
        if count:
            del self.model[place]

    @invariant()
    def same_as_model(self) -> None:
        if hasattr(self, "store"):
            assert {found.position: found.document["value"] for found in self.store} == self.model
            assert places(self.folder) == sorted(self.model)

    def close(self) -> None:
        self.store.__exit__()
        shutil.rmtree(self.folder)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.close()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


def test_a_result_stands_as_it_came_first(tmp_path: Path) -> None:
    with Store(tmp_path, POSITIONS) as store:
        store.add([result(3, 1.0)])
        store.add([result(3, 2.0), result(1)])
    found, damaged = read_results(tmp_path)
    assert [(one.position, one.document["value"]) for one in found] == [(1, 0.5), (3, 1.0)]
    assert damaged == 0


def test_a_batch_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    with Store(tmp_path, POSITIONS) as store:
        bad = Result(key="key 2", position=2, document={"value": float("nan")})
        with pytest.raises(ValueError, match="Out of range float"):
            store.add([result(1), bad])
        assert list(store) == []


def test_results_of_another_sweep_are_refused(tmp_path: Path) -> None:
    with Store(tmp_path, POSITIONS) as store:
        store.add([result(3)])
    for other in ({}, {"key 3": 4}):
        with pytest.raises(InvalidInput, match="another sweep or of another version"):
            Store(tmp_path, other)
    assert places(tmp_path) == [3]


HOLD = """
import sys, time
from pathlib import Path
from rmttheory.studies.sweeps.store import Store, only_writer
with only_writer(Path(sys.argv[1])), Store(Path(sys.argv[1]), {}):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_told_who_the_first_is_and_readers_are_let_in(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(InvalidInput, match=f"being written by process {first.pid} on "),
            only_writer(tmp_path),
        ):
            pass
        assert read_results(tmp_path) == ([], 0)
    finally:
        first.kill()
        first.communicate()
    with only_writer(tmp_path):  # whoever was killed holds nothing
        pass


@pytest.mark.parametrize("damage", ["cut", "overwritten", "headless", "emptied"])
def test_a_damaged_file_gives_what_can_be_read_and_is_kept(tmp_path: Path, damage: str) -> None:
    many = {f"key {place}": place for place in range(2000)}
    with Store(tmp_path, many) as store:
        store.add(result(place) for place in range(2000))
    path = tmp_path / NAME
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "overwritten":
        data[len(data) // 2 : len(data) // 2 + 8192] = os.urandom(8192)
    elif damage == "headless":
        data[:100] = bytes(100)
    else:
        data[:] = b"SQLite format 3\0"
    path.write_bytes(data)
    with Store(tmp_path, many) as store:
        assert f"{path} was damaged" in store.notes[0]
        kept = list(store)
        assert len({one.key for one in kept}) == len(kept) < 2000
        assert all(one == result(one.position) for one in kept)
        if damage == "overwritten":
            assert len(kept) > 1000
        store.add(result(place) for place in range(2000))
    assert places(tmp_path) == list(range(2000))
    assert (tmp_path / f"{NAME}.damaged").read_bytes() == bytes(data)


def test_of_a_file_with_a_damaged_page_everything_else_is_saved(tmp_path: Path) -> None:
    many = {f"key {place}": place for place in range(60)}
    with Store(tmp_path, many) as store:
        store.add(
            Result(key=f"key {i}", position=i, document={"value": f"{i} {'x' * 700}"}) for i in range(60)
        )
    path = tmp_path / NAME
    data = bytearray(path.read_bytes())
    pages = [data.index(f'"{i} xxx'.encode()) // 4096 for i in range(60)]
    page = pages[30]
    data[page * 4096 : (page + 1) * 4096] = os.urandom(4096)
    path.write_bytes(data)
    with Store(tmp_path, many) as store:
        assert {one.position for one in store} == {i for i in range(60) if pages[i] != page}


def test_a_damaged_file_is_no_traceback_to_readers(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(InvalidInput, match=r"Cannot read .*`rmttheory resume .*` saves what can be saved"):
        read_results(tmp_path)
    with pytest.raises(InvalidInput, match="There is no run in"):
        read_results(tmp_path / "nowhere")


FIRST = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE results (
    key TEXT PRIMARY KEY, position INTEGER NOT NULL, document TEXT NOT NULL, checksum TEXT NOT NULL
);
PRAGMA user_version = 1;
"""


def test_a_file_of_the_first_schema_is_read_and_brought_up_to_date(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as old, old:
        old.executescript(FIRST)
        for place in (2, 5):
            document = canonical(result(place).document)
            row = (f"key {place}", place, document, digest(f"key {place} {place} {document}"))
            old.execute("INSERT INTO results VALUES (?, ?, ?, ?)", row)
    assert places(tmp_path) == [2, 5]  # without being changed
    with Store(tmp_path, POSITIONS) as store:
        assert list(store) == [result(2), result(5)]
        store.add([dataclasses.replace(result(7), seconds=1.5)])
    found, damaged = read_results(tmp_path)
    assert ([(one.position, one.seconds) for one in found], damaged) == ([(2, 0.0), (5, 0.0), (7, 1.5)], 0)
    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path, POSITIONS):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / NAME)) as raw:
        raw.execute("PRAGMA user_version = 99")
    for reading in (lambda: Store(tmp_path, POSITIONS), lambda: read_results(tmp_path)):
        with pytest.raises(InvalidInput, match="has schema 99"):
            reading()


def test_a_file_that_cannot_grow_keeps_what_it_has(tmp_path: Path) -> None:
    with Store(tmp_path, POSITIONS) as store:
        store.add([result(1)])
        store._connection.execute("PRAGMA max_page_count = 1")
        large = [
            Result(key=f"key {place}", position=place, document={"value": "x" * 4000}) for place in (2, 3)
        ]
        with pytest.raises(NotWritten, match=r"Cannot write .*: database or disk is full\."):
            store.add(large)
    assert places(tmp_path) == [1]


def test_the_log_is_used_on_local_disks_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def journal() -> str:
        with Store(tmp_path, POSITIONS) as store:
            return str(store._connection.execute("PRAGMA journal_mode").fetchone()[0])

    assert journal() == "wal"
    assert not (tmp_path / f"{NAME}-wal").exists()
    mounts = f"disk / ext4 rw 0 0\nserver:/home {tmp_path} nfs4 rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda _: mounts)
    assert on_network(tmp_path / "run")
    assert not on_network(tmp_path.parent)
    assert journal() == "delete"
    monkeypatch.setattr(stores, "NETWORK", ("ext4",))
    assert on_network(tmp_path.parent)
