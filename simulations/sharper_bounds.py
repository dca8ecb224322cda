"""How far sharper statements go: ``python simulations/sharper_bounds.py [--preset quick|paper]``.

One network of width 256 with Gaussian noise in its middle layer, whose last layer has row sums of 1 or is
initialised as networks are. Each row certifies labels by another bound on how far removing the noise moves
the logits, from the paper's own to what is realised; the width is the power of two from which it would
certify the median sample. Below, for every statement that can be vacuous: how tight it is and at which width
it speaks, over readouts and strengths of the signal. About half a minute; ``quick`` draws each network once.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from rmttheory import Stream
from rmttheory.networks.losses import margins
from rmttheory.studies.style import number
from rmttheory.theorem import Verdict, claims, verify
from rmttheory.theorem.implicit import draw_network
from rmttheory.theorem.planted import NetworkCase

WIDTH, DELTA = 256, 0.05
CELL = {
    "n": WIDTH,
    "delta": DELTA,
    "samples": 100,
    "classes": 10,
    "g": 1.0,
    "noise": "gaussian",
    "method": "dense",
}


def paper(n: int, case: NetworkCase) -> float:  # noqa: ARG001
    """2 sqrt(2) sqrt(log(2n) / n): one sample, with probability 1 - 1/n."""
    return math.sqrt(8 * math.log(2 * n) / n)


def confident(n: int, case: NetworkCase) -> float:
    """All samples at once with probability 1 - delta, by the union bound."""
    return math.sqrt(2 * math.log(2 * n * len(case.v) / DELTA) / n)


def exact(n: int, case: NetworkCase) -> float:
    """The same by the exact law of a row event, joined over samples only."""
    tail = -math.expm1(math.log1p(-DELTA / len(case.v)) / n) / 2
    return -float(ndtri(tail)) / math.sqrt(n)


def read_rows(n: int, case: NetworkCase) -> float:
    """The logits of a bounded readout read as many neurons as there are classes: only their rows count."""
    rows = case.network.sizes[-1] if case.cell["readout"] == "bounded" else n
    tail = -math.expm1(math.log1p(-DELTA / len(case.v)) / rows) / 2
    return -float(ndtri(tail)) / math.sqrt(n)


RADII: tuple[tuple[str, Callable[[int, NetworkCase], float]], ...] = (
    ("the paper's radius, probability 1 - 1/n a sample", paper),
    ("all samples at once, union bound", confident),
    ("exact law of the row event", exact),
    ("only rows that are read", read_rows),
)


def pairwise_stretch(case: NetworkCase) -> np.ndarray:
    """Largest row sum of differences of two readout rows, for the label of each sample: at most 2 L."""
    readout = case.network.layers[2].weight
    best = np.argmax(case.before, axis=1)
    sums = np.sum(np.abs(readout[:, None] - readout[None]), axis=2)
    return np.max(sums, axis=1)[best]


Certified = tuple[str, np.ndarray, Callable[[int, NetworkCase], float] | None]
"""Name of a bound, what it lets the difference of two logits move, and the radius that gives its decay."""


def certified(case: NetworkCase) -> list[Certified]:
    """Return every bound on one network."""
    twice, norms, pair = 2 * case.lipschitz, case.norms, pairwise_stretch(case)
    found: list[Certified] = [(name, twice * radius(WIDTH, case) * norms, radius) for name, radius in RADII]
    reach = pair * read_rows(WIDTH, case) * norms
    found.append(("and differences of two logits instead of 2 L", reach, read_rows))
    images = np.max(np.abs(case.removed_images), axis=1)
    found.append(("realised change of the layer (deterministic)", twice * images, None))
    found.append(("the same, differences of two logits", pair * images, None))
    found.append(("realised change of the logits", 2 * case.change, None))
    best = np.argmax(case.before, axis=1)
    change = case.after - case.before
    moved = change - change[np.arange(len(best)), best][:, None]
    found.append(("realised change of two logits", np.max(np.abs(moved), axis=1), None))
    return found


def steps(readout: str, strength: float, draws: int) -> None:
    """Print what each bound certifies."""
    rows: dict[str, list[tuple[float, float, float]]] = {}
    cell = {**CELL, "readout": readout, "strength": strength}
    for draw in range(draws):
        case = draw_network(cell, Stream(1).child("sharper", readout, draw))
        lead = margins(case.before, np.argmax(case.before, axis=1))
        for name, reach, radius in certified(case):
            width = math.nan
            if radius and readout == "bounded":
                ratio = float(np.median(reach / lead)) / radius(WIDTH, case)
                widths = (2**k for k in range(4, 60))
                width = next((n for n in widths if ratio * radius(n, case) < 1), math.inf)
            rows.setdefault(name, []).append(
                (float(np.mean(reach < lead)), float(np.median(reach / lead)), width)
            )
    print(f"\n{readout} readout, signal {strength:g}:\n")
    print("| bound | labels certified | median of bound / margin | from width |")
    print("|---|---|---|---|")
    for name, found in rows.items():
        share, ratio, width = (float(np.median(column)) for column in zip(*found))
        at = "-" if math.isnan(width) else f"{width:,.0f}"
        print(f"| {name} | {100 * share:.0f} % | {number(ratio)} | {at} |")


def table() -> None:
    """Print how tight each statement is that can be vacuous, and at which width it speaks."""
    print("\n| statement | readout | signal | worst left / right | at width 256 | speaks from width |")
    print("|---|---|---|---|---|---|")
    for claim in claims():
        known = {p.name for p in claim.parameters}
        if claim.speaks_at is None or not {"readout", "strength"} <= known:
            continue
        for readout in ("bounded", "standard"):
            for strength in (0.5, 3.0):
                verdict = verify(claim.id, trials=20, alpha=0.01, readout=readout, strength=strength, n=WIDTH)
                print(f"| {claim.id} | {readout} | {strength:g} | {' | '.join(seen(verdict))} |")


def seen(verdict: Verdict) -> tuple[str, str, str]:
    """Return tightness, outcome, and the width from which the statement says something."""
    worst = "-" if verdict.worst_ratio is None else number(max(verdict.worst_ratio, 0.0))
    if verdict.informative:
        return worst, "speaks", "here"
    return worst, verdict.outcome.value, "-" if verdict.speaks_at is None else number(verdict.speaks_at, 2)


PRESETS = {"quick": 1, "paper": 5}
"""Draws of each network."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="paper")
    draws = PRESETS[parser.parse_args().preset]
    for readout, strength in (("bounded", 1.5), ("standard", 3.0)):
        steps(readout, strength, draws)
    table()


if __name__ == "__main__":
    main()
