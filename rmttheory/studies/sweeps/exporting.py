"""The table of a run, for other programs: a row for each cell, the same bytes wherever it was computed."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rmttheory
from rmttheory.arrays import Unavailable
from rmttheory.studies.records import Folder, check_target
from rmttheory.studies.sweeps.driving import sweep_of
from rmttheory.studies.sweeps.progress import Progress, count
from rmttheory.studies.sweeps.store import read_results
from rmttheory.theorem.verdicts import Verdict

TABLES = (".csv", ".parquet", ".json")
SCHEMA = 1


def read_progress(folder: str | Path) -> Progress:
    """Return how far the run in a folder came; another process may be writing there.

    Raises
    ------
    InvalidInput
        If there is no run, or it cannot be read.
    """
    return _read(folder)[0]


def export_run(folder: str | Path, to: str | Path) -> Progress:
    """Write the finished cells of a run as a table, and return how far the run came.

    Rows are in the order of the file of grids, and hold nothing of time or machine. Values inside others have
    columns such as ``cell.n`` and ``slope.value``; a ladder of widths is JSON in its column.

    Parameters
    ----------
    folder : path
    to : path
        Ends with ``.csv``, ``.parquet`` or ``.json``; replaced if it is there.

    Raises
    ------
    InvalidInput
        If there is no run, it cannot be read, or the file cannot be written.
    Unavailable
        If Parquet is asked for and ``pyarrow`` is not installed.
    NotWritten
        If the disk is full.
    """
    target = check_target(to, TABLES)
    progress, documents = _read(folder)
    write = {".csv": _csv, ".parquet": _parquet, ".json": _json}[target.suffix.lower()]
    Folder(target.parent).write(target.name, write(documents))
    return progress


def _read(folder: str | Path) -> tuple[Progress, list[Mapping[str, Any]]]:
    sweep = sweep_of(folder)
    results, damaged = read_results(Path(folder).expanduser())
    documents = [result.document for result in results]
    seconds = sum(result.seconds for result in results)
    progress = Progress(total=len(sweep.cells), counts=count(documents), seconds=seconds, damaged=damaged)
    return progress, documents


def _csv(documents: Sequence[Mapping[str, Any]]) -> bytes:
    names, rows = _table(documents)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode()


def _json(documents: Sequence[Mapping[str, Any]]) -> bytes:
    content = {"schema": SCHEMA, "rmttheory": rmttheory.__version__, "rows": documents}
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _parquet(documents: Sequence[Mapping[str, Any]]) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        msg = "`pyarrow` is not installed; pip install 'rmttheory[export]' installs it."
        raise Unavailable(msg) from None
    names, rows = _table(documents)
    columns = {name: _typed([row[i] for row in rows]) for i, name in enumerate(names)}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


def _table(documents: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return the names of columns, in the order of the fields of a verdict, then any others, and rows."""
    flat = [_flat(document) for document in documents]
    fields = ["experiment", *(field.name for field in dataclasses.fields(Verdict))]
    rank = {field: place for place, field in enumerate(fields)}
    names = sorted(
        {name for row in flat for name in row},
        key=lambda name: (rank.get(name.split(".")[0], len(rank)), name),
    )
    return names, [[row.get(name) for name in names] for row in flat]


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}.")
        elif value is not None:
            found[before + name] = json.dumps(value) if isinstance(value, list) else value
    return found


def _typed(column: list[Any]) -> list[Any]:
    """Make a column of one type: numbers, with infinities that JSON has as text, or else text."""
    given = [value for value in column if value is not None]
    numbers = [value for value in given if isinstance(value, (int, float))]
    infinite = {"inf": math.inf, "-inf": -math.inf}
    if numbers and all(isinstance(value, (int, float)) or value in infinite for value in given):
        if all(isinstance(value, int) for value in given):
            return column
        return [None if value is None else float(infinite.get(value, value)) for value in column]
    return [None if value is None else str(value) for value in column]
