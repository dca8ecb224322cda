"""`rmttheory.inspect` and weightwatcher on the same matrices of one file, by turns.

    python tests/benchmarks/weightwatcher_side.py MODEL.safetensors --weightwatcher PYTHON [--pairs 3]

PYTHON is an interpreter that has weightwatcher, torch and safetensors: it pins other versions than this
package, so that it lives in an environment of its own. This file is every end of the pipes: run with
``--serve`` it answers questions, a line of JSON each, with seconds and MiB that it measured itself. Only
two-dimensional weights of dense layers are looked at, by both. Ours reads them from a file, in a fresh
process each time, so that nothing is kept of a shape; weightwatcher is given a model in memory. Imports are
not timed on either side. One BLAS thread on both: set OPENBLAS_NUM_THREADS and OMP_NUM_THREADS to 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from memory import peak_mib

SIDES = {
    "rmttheory": {"who": "rmttheory"},
    "weightwatcher": {"who": "weightwatcher", "mp_fit": False},
    "weightwatcher, mp_fit": {"who": "weightwatcher", "mp_fit": True},
}


class Worker:
    """A running Python that answers questions."""

    def __init__(self, python: str, file: str, who: str) -> None:
        command = [python, "-W", "ignore", __file__, file, "--serve", who]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question: Any) -> Any:
        """Ask one question and wait for the answer."""
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            msg = "A worker stopped: does its interpreter have what the head of this file names?"
            raise RuntimeError(msg)
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve(file: str, who: str) -> None:
    """Answer questions until there are no more."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # weightwatcher prints
    call = _ours(file) if who == "rmttheory" else _theirs(file)
    for line in sys.stdin:
        question = json.loads(line)
        measured = _Timed(call, question)
        peak = peak_mib(measured)
        answer = {"seconds": measured.seconds, "mib": peak, "rows": measured.rows}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class _Timed:
    """A call that keeps what it took and returned."""

    def __init__(self, call: Any, question: dict[str, Any]) -> None:
        self.call, self.question = call, question

    def __call__(self) -> None:
        start = time.perf_counter()
        self.rows = self.call(**self.question)
        self.seconds = time.perf_counter() - start


def _ours(file: str) -> Any:
    import rmttheory as rt

    rt.inspect_layer(_noise(20))  # loads and compiles what is loaded once; another shape, so no null is kept

    def call() -> Any:
        found = rt.inspect(file)
        return {
            layer.name: {
                "edge": layer.edge.edge,
                "spikes": layer.edge.spikes,
                "fit p": layer.edge.p_value,
                "exponent": layer.tail.exponent,
            }
            for layer in found
        }

    return call


def _noise(size: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).standard_normal((size, size))


def _theirs(file: str) -> Any:
    import torch
    import weightwatcher
    from safetensors.torch import load_file

    logging.getLogger("weightwatcher").setLevel(logging.ERROR)
    model = torch.nn.Sequential()
    names = []
    for name, weight in load_file(file).items():
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight = torch.nn.Parameter(weight)
        model.append(layer)
        names.append(name)

    def call(*, mp_fit: bool) -> Any:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            details = weightwatcher.WeightWatcher(model=model).analyze(mp_fit=mp_fit, randomize=False)
        rows = details.to_dict("records")
        return {
            name: {
                "edge": row["bulk_max"] ** 0.5 if mp_fit else None,
                "spikes": row["num_spikes"] if mp_fit else None,
                "fit p": None,
                "exponent": row["alpha"],
            }
            for name, row in zip(names, rows)
        }

    return call


def matrices_of(file: str, folder: str, planted: int = 0) -> str:
    """Write the weights of dense layers of ``file`` alone, or planted ones of their shapes; return where."""
    from safetensors.numpy import load_file, save_file

    chosen = {
        name: values
        for name, values in load_file(file).items()
        if values.ndim == 2 and min(values.shape) >= 16 and "embed" not in name
    }
    path = str(Path(folder) / "matrices.safetensors")
    save_file(
        {name: _planted(values.shape, planted, i) for i, (name, values) in enumerate(chosen.items())}
        if planted
        else chosen,
        path,
    )
    return path


def _planted(shape: tuple[int, int], count: int, seed: int) -> Any:
    """Noise of level 1 with spikes from 1.5 to 6 times the threshold."""
    import numpy as np

    rng, (n, m) = np.random.default_rng(seed), shape
    U, V = (np.linalg.qr(rng.standard_normal((size, count)))[0] for size in shape)
    W = (U * np.linspace(6.0, 1.5, count) * (m / n) ** 0.25) @ V.T + rng.standard_normal(shape) / n**0.5
    return W.astype(np.float32)


def main() -> None:
    """Measure in pairs and print a table of Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--weightwatcher", metavar="PYTHON")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument(
        "--planted", type=int, default=0, metavar="K", help="Plant K spikes in noise instead."
    )
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.file, options.serve)
        return
    found: dict[str, list[Any]] = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        file = matrices_of(options.file, folder, options.planted)
        for pair in range(options.pairs):
            for name, side in list(SIDES.items())[:: 1 if pair % 2 else -1]:
                python = sys.executable if side["who"] == "rmttheory" else options.weightwatcher
                worker = Worker(python, file, str(side["who"]))
                found[name].append(worker.ask(**{key: value for key, value in side.items() if key != "who"}))
                worker.close()
                print(name, f"{found[name][-1]['seconds']:.2f} s", file=sys.stderr)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1))
    ours = found["rmttheory"]
    print("| | seconds | ratio, median (least, most) | MiB | spikes, first eight layers |")
    print("|---|---|---|---|---|")
    for name, runs in found.items():
        ratios = [run["seconds"] / own["seconds"] for run, own in zip(runs, ours)]
        spikes = [row["spikes"] for row in runs[0]["rows"].values()][:8]
        words = " ".join("-" if count is None else f"{count:.0f}" for count in spikes)
        seconds = statistics.median(run["seconds"] for run in runs)
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})"
        print(f"| {name} | {seconds:.2f} | {ratio} | {max(run['mib'] for run in runs):.0f} | {words} |")


if __name__ == "__main__":
    main()
