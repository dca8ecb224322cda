"""An experiment of the papers as a script: cells, a trial of each, a summary, a figure.

A script in ``simulations/`` says what its cells are, computes one, and reads the results; `run_script` does
the rest. Each cell is kept on disk as it ends, so that the same command goes on where it was stopped::

    EXPERIMENT = Experiment(
        name="edge_of_noise",
        title="The edge of noise",
        presets={"quick": grid(n=[100, 200], seed=range(5)), "paper": grid(n=[1000], seed=range(50))},
        trial=trial,
        summarise=summarise,
        draw=draw,
    )

    if __name__ == "__main__":
        figure = run_script(EXPERIMENT)

In the gallery the script draws what ``--preset paper`` left in ``docs/experiments/NAME.json``, and is found
there by that record: nothing is computed when the documentation is built.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rmttheory
from rmttheory.arrays import InvalidInput, Placement, RmtError, find_placement
from rmttheory.arrays.devices import DEVICES, describe
from rmttheory.studies.pool import compute
from rmttheory.studies.records import Folder, environment
from rmttheory.theorem.verdicts import plain

SCHEMA = 1

Cell = Mapping[str, Any]
"""Parameters of one trial: plain values, the seed among them."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the paper reports of one quantity, and what was found.

    Attributes
    ----------
    quantity, paper, ours : str
        With units and, for ours, an interval; ``paper`` is "-" where it reports nothing.
    agrees : bool or None
        Whether what the paper says of it was seen; None where that cannot be compared.
    """

    quantity: str
    paper: str
    ours: str
    agrees: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the results of an experiment say.

    Attributes
    ----------
    verdict : str
        One sentence.
    rows : tuple of Row
    series : mapping
        Plain values that the figure is drawn from.
    """

    verdict: str
    rows: tuple[Row, ...] = ()
    series: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment: what is computed, and how it is read.

    Attributes
    ----------
    name, title : str
        The name is that of the script and of the files it writes.
    presets : mapping from "quick" and "paper" to a sequence of cells
        Quick ends within two minutes on one core.
    trial : callable
        ``(cell, placement)`` to plain values: a pure function of a module, whose random numbers come from the
        seed in the cell. The placement names the library that ``--device`` asked for.
    summarise : callable
        ``(cells, results)`` to a `Summary`.
    draw : callable
        ``(summary)`` to a Figure; called with the appearance of the package.
    """

    name: str
    title: str
    presets: Mapping[str, Sequence[Cell]]
    trial: Callable[[Cell, Placement], Any]
    summarise: Callable[[Sequence[Cell], Sequence[Any]], Summary]
    draw: Callable[[Summary], Any]


def grid(**values: Iterable[Any]) -> tuple[dict[str, Any], ...]:
    """Return every combination of the values, the last parameter varying fastest."""
    return tuple(dict(zip(values, one)) for one in itertools.product(*values.values()))


def run(
    experiment: Experiment,
    *,
    preset: str = "quick",
    out: str | Path,
    device: str = "cpu",
    workers: int = 1,
    say: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Compute the cells of a preset that ``out`` does not hold yet, and write record and figure there.

    Parameters
    ----------
    experiment : Experiment
    preset : str
    out : path
        Folder for a file of each finished cell, then for ``NAME.json``, ``NAME.png`` and ``NAME.pdf``.
    device : {"cpu", "cuda"}
    workers : int
        Processes.
    say : callable, optional
        Told in a sentence what goes on.

    Returns
    -------
    dict
        The record, as in ``NAME.json``: preset, environment of the end of the run, machines that computed
        cells, cells, results, verdict, rows and series.

    Raises
    ------
    InvalidInput
        If there is no such preset or device, or the folder cannot be written to.
    Unavailable
        If ``device`` is a GPU that is not there.
    """
    if preset not in experiment.presets:
        msg = f"`preset` must be {' or '.join(experiment.presets)}, not {preset!r}."
        raise InvalidInput(msg)
    say = say or (lambda _: None)
    folder = Folder(out)
    cells = [dict(cell) for cell in experiment.presets[preset]]
    names = [f"cells/{_key(experiment, cell, device)}.json" for cell in cells]
    results = {i: _kept(folder.path / name) for i, name in enumerate(names) if (folder.path / name).is_file()}
    if results:
        say(f"{len(results)} of {len(cells)} cells are in {folder.path} already.")
    missing = [i for i in range(len(cells)) if i not in results]
    place = find_placement(device) if missing else Placement()  # a finished run is read on any machine
    tasks = [(_timed, (experiment.trial, cells[i], place)) for i in missing]
    start = time.perf_counter()
    for done, (index, kept) in enumerate(compute(tasks, workers=workers, note=say), 1):
        i = missing[index]
        folder.write(names[i], json.dumps({"cell": cells[i], **kept}, allow_nan=False) + "\n")
        results[i] = kept
        left = (time.perf_counter() - start) / done * (len(missing) - done)
        text = ", ".join(f"{name}={value}" for name, value in cells[i].items())
        say(f"{len(results)} of {len(cells)}: {text}: {kept['seconds']:.1f} s; about {left:.0f} s left")
    found = [results[i]["result"] for i in range(len(cells))]
    summary = experiment.summarise(cells, found)
    on = "" if device == "cpu" else f" --device {device}"
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "experiment": experiment.name,
        "title": experiment.title,
        "command": f"python simulations/{experiment.name}.py --preset {preset}{on}",
        "preset": preset,
        "device": device,
        "environment": environment(),
        "machines": sorted({results[i]["machine"] for i in range(len(cells))}),
        "seconds": sum(results[i]["seconds"] for i in range(len(cells))),
        **plain(summary),
        "cells": cells,
        "results": found,
    }
    folder.write(f"{experiment.name}.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    figure = _figure(experiment, summary)
    from rmttheory.studies import figures

    for kind in ("png", "pdf"):
        folder.write(f"{experiment.name}.{kind}", figures.encode(figure, kind))
    return record


def read_record(path: str | Path) -> dict[str, Any]:
    """Return a record that `run` wrote.

    Raises
    ------
    InvalidInput
        If the file cannot be read or is none.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        known = record["schema"] == SCHEMA and isinstance(record["rows"], list)
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if not known:
        msg = f"{path} is no record of an experiment: it must be the NAME.json of a finished run."
        raise InvalidInput(msg)
    return dict(record)


def table(record: Mapping[str, Any]) -> str:
    """Return the paper's values beside ours, as a Markdown table, with the verdict above it."""
    seen = {True: "yes", False: "no", None: "-"}
    lines = ["| quantity | paper | here | as the paper says |", "|---|---|---|---|"]
    lines += [
        f"| {r['quantity']} | {r['paper']} | {r['ours']} | {seen[r['agrees']]} |" for r in record["rows"]
    ]
    return "\n".join([record["verdict"], "", *(lines if record["rows"] else ())])


def run_script(experiment: Experiment, arguments: Sequence[str] | None = None) -> Any:
    """Do what the arguments of a script say, print the table, and return the figure.

    Exits with 2 after bad input, and with 130 after Ctrl-C, which keeps every finished cell.
    """
    parser = argparse.ArgumentParser(prog=f"{experiment.name}.py", description=experiment.title)
    parser.add_argument("--preset", choices=tuple(experiment.presets), default="quick")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--out", help="folder for cells, record and figure (default: results/NAME-PRESET)")
    parser.add_argument("--record", help="draw this record instead of computing one")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    options = parser.parse_args(arguments)
    out = options.out or f"results/{experiment.name}-{options.preset}"
    try:
        if options.record:
            record = read_record(options.record)
        else:
            record = run(
                experiment,
                preset=options.preset,
                out=out,
                device=options.device,
                workers=max(1, options.jobs),
                say=None if options.quiet else lambda text: print(text, file=sys.stderr, flush=True),
            )
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to stop while Python leaves
        print(f"\nInterrupted: finished cells are kept in {out}; the same command goes on.", file=sys.stderr)
        sys.exit(130)
    except RmtError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    print(table(record))
    print(f"\n`{record['command']}`, {record['seconds']:.0f} s of computing.")
    rows = tuple(Row(**row) for row in record["rows"])
    return _figure(experiment, Summary(verdict=record["verdict"], rows=rows, series=record["series"]))


def _figure(experiment: Experiment, summary: Summary) -> Any:
    from rmttheory.studies import figures

    with figures.appearance():
        return experiment.draw(summary)


def _timed(trial: Callable[[Cell, Placement], Any], cell: Cell, place: Placement) -> dict[str, Any]:
    """Return what a file gives back exactly: a resumed run then sees the same numbers as any other."""
    start = time.perf_counter()
    result = json.loads(json.dumps(plain(trial(cell, place))))
    return {"result": result, "seconds": time.perf_counter() - start, "machine": _machine(place)}


def _machine(place: Placement) -> str:
    """Name the processor of this process, and the accelerator if one is used: numbers may depend on them."""
    named = f"{platform.system()} {platform.machine()}"
    card = describe(place).get("device")
    return f"{named}, {card}" if card else named


def _key(experiment: Experiment, cell: Cell, device: str) -> str:
    """Name a cell by its content, so that a changed grid finds what it has in common with the old one."""
    content = [SCHEMA, rmttheory.__version__, experiment.name, device, cell]
    text = json.dumps(plain(content), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def _kept(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {"result": kept["result"], "seconds": float(kept["seconds"]), "machine": str(kept["machine"])}
    except (OSError, ValueError, KeyError, TypeError):
        msg = f"{path} is damaged: remove it, and the same command computes that cell again."
        raise InvalidInput(msg) from None
