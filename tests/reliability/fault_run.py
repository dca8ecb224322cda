"""Faults at random moments of sweeps: ``python tests/reliability/fault_run.py [--faults N] [--seed S]``.

A small sweep is carried out again and again by the program itself, in processes of its own. Each time
something happens to it: processes are killed, the disk fills up, records are damaged, results come twice.
After every fault the file of finished cells is read, and in the end tables are compared with that of a run
that nothing disturbed. Counted are finished cells that were there and are not any more, cells that are there
twice, cells with another result, and tables that differ; all must be 0. Linux; a full disk needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from separate import children, cluster, kill

from rmttheory.studies.sweeps import read_sweep
from rmttheory.studies.sweeps.store import NAME, Result, Store, only_writer

SPEC = """
[[grid]]
claim = "row_event_exact"
n = [32, 64]
seeds = 45
trials = 60
[[grid]]
claim = ["ce_lipschitz", "support_recovery", "ce_refined/one percent less"]
seeds = 10
trials = 100
"""
MIB = 2**20
DISK = 4 * MIB
SHARES = {
    "worker killed": 50,
    "driver killed": 35,
    "Ctrl-C once": 14,
    "Ctrl-C twice": 12,
    "terminated": 6,
    "disk full": 16,
    "records damaged": 18,
    "file damaged": 18,
    "results twice and in any order": 18,
    "clock backwards": 10,
    "folder closed to writing": 8,
    "second writer": 10,
    "Dask worker killed": 10,
    "Dask scheduler killed": 8,
    "Dask driver killed": 6,
}
"""Faults of each kind in a whole run."""

CLOCK = "import time\nnow = iter(range(2 * 10**9, 0, -1000))\ntime.time = lambda: float(next(now))\n"
"""Found as sitecustomize, it lets the clock go back by a quarter of an hour at every look."""


class Ground:
    """A disk of its own, one run on it, and what has been seen of that run."""

    def __init__(self, home: Path, random_numbers: random.Random) -> None:
        self.home, self.random = home, random_numbers
        self.disk, self.calm = home / "disk", home / "calm"
        self.spec = home / "grid.toml"
        self.spec.write_text(SPEC)
        self.cells = read_sweep(self.spec).cells
        self.counts: Counter[str] = Counter()
        self.seen: set[str] = set()
        self.runs = self.destroyed = self.tracebacks = self.unexpected = 0
        self.lost = self.twice = self.changed = self.different = 0
        (home / "clock").mkdir()
        (home / "clock" / "sitecustomize.py").write_text(CLOCK)
        self.disk.mkdir()
        self.mounted = not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", self.disk], capture_output=True
        ).returncode
        self.end(self.start("sweep", self.spec, "--out", self.calm), {0, 1})
        self.table = self.export(self.calm)
        self.expected = dict(self.rows(self.calm))
        self.begin()

    def begin(self) -> None:
        self.runs += 1
        self.seen.clear()
        self.run = self.disk / f"run{self.runs}"
        self.run.mkdir()
        (self.run / "spec.toml").write_text(SPEC)

    @property
    def wrong(self) -> int:
        counts = (self.lost, self.twice, self.changed, self.different, self.tracebacks, self.unexpected)
        return sum(counts)

    # processes

    def start(self, *arguments: Any, **environment: str) -> subprocess.Popen[str]:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process may ignore it
        return subprocess.Popen(
            [sys.executable, "-m", "rmttheory", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, **environment},
        )  # fmt: skip

    def resume(self, *options: Any, **environment: str) -> subprocess.Popen[str]:
        return self.start("resume", self.run, *(options or ("--jobs", 2)), **environment)

    def end(self, process: subprocess.Popen[str], allowed: set[int]) -> str:
        """Wait for a process; return what it said on stderr."""
        _, said = process.communicate(timeout=300)
        self.tracebacks += "Traceback" in said
        self.unexpected += process.returncode not in allowed
        if "Traceback" in said or process.returncode not in allowed:
            print(f"It ended with {process.returncode}, of {allowed}:\n{said}", flush=True)
        return said

    def wait(self, process: subprocess.Popen[str], longest: float = 5.0) -> bool:
        """Wait for a random time; return whether the process is still there."""
        deadline = time.monotonic() + self.random.uniform(0.0, longest)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        return process.poll() is None

    # what is on disk

    def rows(self, folder: Path) -> list[tuple[str, str]]:
        path = folder / NAME
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return []
            return connection.execute("SELECT key, document FROM results").fetchall()

    def audit(self) -> None:
        """Compare the file with what has been seen in it and with the undisturbed run."""
        rows = self.rows(self.run)
        keys = {key for key, _ in rows}
        self.lost += len(self.seen - keys)
        self.twice += len(rows) - len(keys)
        self.changed += sum(self.expected.get(key) != document for key, document in rows)
        self.seen = keys

    def export(self, folder: Path) -> bytes:
        table = self.home / "table.csv"
        self.end(self.start("export", folder, "--to", table), {0})
        return table.read_bytes()

    def complete(self) -> None:
        """Let the run come to its end, and compare tables."""
        said = self.end(self.resume(), {0, 1})
        self.audit()
        if len(self.seen) < len(self.cells):
            sys.exit(f"A run that ended has {len(self.seen)} of {len(self.cells)} cells:\n{said}")
        self.different += self.export(self.run) != self.table
        shutil.rmtree(self.run)
        self.begin()

    # faults; each returns whether it happened

    def kill_worker(self) -> bool:
        process, happened = self.resume(), 0
        for _ in range(self.random.randint(1, 3)):
            if self.wait(process, 3.0) and (workers := children(process.pid)):
                kill(self.random.choice(workers))
                happened += 1
        self.counts["worker killed"] += max(happened - 1, 0)
        self.end(process, {0, 1})
        return happened > 0

    def kill_driver(self) -> bool:
        process = self.resume()
        happened = self.wait(process)
        kill(process.pid)
        self.end(process, {0, 1, -signal.SIGKILL})
        return happened

    def interrupt(self, times: int) -> bool:
        process = self.resume()
        if not self.rows_grow(process):
            self.end(process, {0, 1})
            return False
        for _ in range(times):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            time.sleep(self.random.uniform(0.0, 0.3))
        self.end(process, {0, 1, 130})
        return process.returncode == 130

    def terminate(self) -> bool:
        process = self.resume()
        if self.rows_grow(process):
            process.terminate()
        self.end(process, {0, 1, 130, -signal.SIGTERM})  # the last, where it came after the last cell
        return process.returncode == 130

    def rows_grow(self, process: subprocess.Popen[str]) -> bool:
        """Wait until something is finished; return whether the process is still there."""
        before = len(self.rows(self.run))
        while process.poll() is None and len(self.rows(self.run)) == before:
            time.sleep(0.02)
        return self.wait(process, 0.5)

    def fill_disk(self) -> bool:
        if not self.mounted:
            return self.limit_files()
        filler = self.disk / "filler"
        free = shutil.disk_usage(self.disk).free
        filler.write_bytes(bytes(max(0, free - self.random.randrange(0, 120 * 1024))))
        process = self.resume()
        said = self.end(process, {0, 1, 2})
        filler.unlink()
        return process.returncode == 2 and ("Cannot write" in said)

    def limit_files(self) -> bool:
        size = (self.run / NAME).stat().st_size if (self.run / NAME).exists() else 0
        limit = size + self.random.randrange(0, 60_000)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            process = self.resume()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        self.end(process, {0, 1, 2})
        return process.returncode == 2

    def damage_records(self) -> bool:
        """Change some records; these alone may be missing afterwards."""
        self.need_results()
        keys = self.random.sample(sorted(self.seen), min(len(self.seen), self.random.randint(1, 5)))
        change = self.random.choice(
            [
                "document = replace(replace(document, '1', '2'), '0', '1')",  # still a verdict
                "document = 'rubbish'",
                "checksum = 'rubbish'",
                "position = position + 1",
            ]
        )
        with contextlib.closing(sqlite3.connect(self.run / NAME)) as connection, connection:
            for key in keys:
                connection.execute(f"UPDATE results SET {change} WHERE key = ?", (key,))
        self.seen -= set(keys)
        self.destroyed += len(keys)
        self.open_and_audit()
        return True

    def damage_file(self) -> bool:
        """Overwrite a page that holds records, or the head of the file; what was there may be missing."""
        path = self.run / NAME
        self.need_results()
        self.open_and_audit()  # one plain file, without a log
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("VACUUM")  # each record then stands in one page, and in no other from before
        data = bytearray(path.read_bytes())
        pages: dict[int, set[str]] = {}
        for key, document in self.rows(self.run):
            pages.setdefault(data.index(document.encode()) // 4096, set()).add(key)
        page = self.random.choice([0, *pages])
        data[page * 4096 : (page + 1) * 4096] = self.random.randbytes(4096)
        gone = pages.get(page, self.seen) if page else set(self.seen)
        path.write_bytes(data)
        self.seen -= gone
        self.destroyed += len(gone)
        self.open_and_audit()
        return True

    def need_results(self) -> None:
        if not self.seen:
            self.repeat_results()
            self.audit()

    def open_and_audit(self) -> None:
        with only_writer(self.run), Store(self.run, self.positions):
            pass
        self.audit()

    @property
    def positions(self) -> dict[str, int]:
        return {cell.key: place for place, cell in enumerate(self.cells)}

    def repeat_results(self) -> bool:
        """Results arrive out of order and several times, as from workers that were thought dead."""
        some = self.random.choices(list(self.expected), k=30) * 2
        self.random.shuffle(some)
        with only_writer(self.run), Store(self.run, self.positions) as store:
            for first in range(0, len(some), 7):
                store.add(
                    Result(key=key, position=self.positions[key], document=json.loads(self.expected[key]))
                    for key in some[first : first + 7]
                )
        return True

    def turn_clock(self) -> bool:
        path = os.pathsep.join([str(self.home / "clock"), os.environ.get("PYTHONPATH", "")])
        process = self.resume(PYTHONPATH=path)
        self.rows_grow(process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        self.end(process, {0, 1, 130})
        return True

    def close_folder(self) -> bool:
        if not self.mounted:
            return False
        subprocess.run(["mount", "-o", "remount,ro", self.disk], check=True)
        try:
            said = self.end(self.resume(), {2})
        finally:
            subprocess.run(["mount", "-o", f"remount,rw,size={DISK}", self.disk], check=True)
        return "Cannot write to the folder" in said

    def write_twice(self) -> bool:
        first = self.resume()
        happened = self.rows_grow(first)
        if happened:
            second = self.resume()
            said = self.end(second, {0, 1, 2})
            happened = f"is being written by process {first.pid} on" in said
        self.end(first, {0, 1})
        return happened

    # a cluster

    def kill_on_cluster(self, victim: str) -> bool:
        with cluster() as (file, scheduler, workers):
            process = self.resume("--scheduler-file", file)
            happened = self.rows_grow(process) if self.random.random() < 0.7 else self.wait(process, 2.0)
            if victim == "worker":
                own = children(self.random.choice(workers).pid)
                happened = happened and bool(own)
                if own:
                    kill(own[0])  # its nanny starts another
            else:
                kill(scheduler.pid if victim == "scheduler" else process.pid)
            allowed = {"worker": {0, 1}, "scheduler": {0, 1, 2}, "driver": {0, 1, -signal.SIGKILL}}[victim]
            self.end(process, allowed)
        return happened


def main(arguments: list[str] | None = None) -> int:
    """Let faults happen until there were enough of each kind; return how many things were wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=sum(SHARES.values()), help="about so many")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    share = options.faults / sum(SHARES.values())
    home = Path(tempfile.mkdtemp())
    ground, start = Ground(home, random.Random(options.seed)), time.monotonic()
    kinds: dict[str, Callable[[], bool]] = {
        "worker killed": ground.kill_worker,
        "driver killed": ground.kill_driver,
        "Ctrl-C once": lambda: ground.interrupt(1),
        "Ctrl-C twice": lambda: ground.interrupt(2),
        "terminated": ground.terminate,
        "disk full": ground.fill_disk,
        "records damaged": ground.damage_records,
        "file damaged": ground.damage_file,
        "results twice and in any order": ground.repeat_results,
        "clock backwards": ground.turn_clock,
        "folder closed to writing": ground.close_folder,
        "second writer": ground.write_twice,
        "Dask worker killed": lambda: ground.kill_on_cluster("worker"),
        "Dask scheduler killed": lambda: ground.kill_on_cluster("scheduler"),
        "Dask driver killed": lambda: ground.kill_on_cluster("driver"),
    }
    wanted = {kind: max(1, round(SHARES[kind] * share)) for kind in kinds}
    if not ground.mounted:
        print("Mounting is not allowed here: a full disk is a limit on files, and no folder is closed.")
        del wanted["folder closed to writing"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while left := [kind for kind in wanted for _ in range(wanted[kind] - ground.counts[kind])]:
            if len(ground.seen) == len(ground.cells):
                ground.complete()
            kind = ground.random.choice(left)
            before = ground.wrong
            ground.counts[kind] += kinds[kind]()
            ground.audit()
            if ground.wrong > before:
                print(f"Something is wrong after: {kind}.", flush=True)
            print(f"\r{ground.counts.total()} faults ", end="", file=sys.stderr, flush=True)
        ground.complete()
    except KeyboardInterrupt:
        print("\nStopped before there were enough; so far:")
    finally:
        if ground.mounted:
            subprocess.run(["umount", "--lazy", ground.disk], check=True)
        shutil.rmtree(home, ignore_errors=True)
    return report(ground, wanted, time.monotonic() - start)


def report(ground: Ground, wanted: Iterable[str], seconds: float) -> int:
    """Print what happened and what was wrong; return how much was."""
    for kind in wanted:
        print(f"{kind + ':':<33}{ground.counts[kind]:>4}")
    print(
        f"{ground.counts.total()} faults in {ground.runs - 1} runs of {len(ground.cells)} cells: "
        f"{seconds:.0f} s\n"
        f"finished cells lost: {ground.lost}\n"
        f"cells counted twice: {ground.twice}\n"
        f"cells with another result: {ground.changed}\n"
        f"final tables that differ from the undisturbed run's: {ground.different} of {ground.runs - 1}\n"
        f"tracebacks, ends that are not documented: {ground.tracebacks}, {ground.unexpected}\n"
        f"records that a fault itself destroyed, all computed again: {ground.destroyed}"
    )
    wrong = (
        ground.lost,
        ground.twice,
        ground.changed,
        ground.different,
        ground.tracebacks,
        ground.unexpected,
    )
    return sum(wrong)


if __name__ == "__main__":
    sys.exit(bool(main()))
