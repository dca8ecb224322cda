r"""
Certified and true change of the loss, from width 100 to a million
==================================================================

The Pruning Theorem bounds what happens to a network when the noise :math:`R` is removed from a layer
:math:`W = S + R`, or when :math:`W` is truncated at the edge of its bulk. At the widths of real networks the
bound may be far above anything that is known without it, so that it says nothing. No one trains networks wide
enough to see where it begins to speak, but a layer with Gaussian noise need not be formed: what it does to a
batch has a law that costs no more than the batch, and here is the whole way, from width 100 to a million.

Above: the change of the mean cross-entropy when :math:`R` is removed, beside the bound of the theorem, the
same radius in the sharp form for this loss, and what the theorem credits, :math:`\lambda |R|_F^2`. Below: the
largest change of a classification confidence under truncation, beside its bound, which is our reconstruction
of the theorem of 2023, and the median confidence. Left, the readout has bounded row sums, as the theorem asks
for. Right, it is initialised as networks are, with independent entries of variance :math:`1/n`: its row sums
grow like :math:`\sqrt n`, and the bounds do not fall.

Run ``python simulations/certified_width.py [--preset quick|paper] [--jobs N] [--out DIR]``. ``quick`` goes to
width 10,000 in half a minute, ``paper`` to a million in about six minutes of one core.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory import Stream
from rmttheory.networks import per_sample_cross_entropy
from rmttheory.studies import figures
from rmttheory.studies.pool import compute
from rmttheory.studies.style import LIGHT, number
from rmttheory.theorem import find_claim
from rmttheory.theorem.certificates import loss_change_bounds
from rmttheory.theorem.claims import Claim
from rmttheory.theorem.verdicts import Outcome

DELTA, DECAY = 0.05, 1e-4
BATCH = {"delta": DELTA, "samples": 20, "classes": 10, "strength": 3.0, "g": 1.0, "method": "band"}
READOUTS = ("bounded", "standard")
PRESETS = {"quick": (range(4, 9), 5), "paper": (range(4, 13), 25)}
"""Widths as exponents of the root of ten, and draws for each."""
SPOKEN = {
    "finite_confidence": "some label is safe, $R$ removed",
    "loss_reduction_gaussian": "the loss falls, $R$ removed",
    "pruning_theorem_confidence": "some label is safe, truncated",
}
"""What each claim says where it speaks."""


def cell_of(claim: Claim, n: int, readout: str) -> dict[str, Any]:
    known = {parameter.name for parameter in claim.parameters}
    given = {**BATCH, "n": n, "readout": readout, "decay": DECAY}
    return claim.cell(**{name: value for name, value in given.items() if name in known})


def draw_case(claim: Claim, n: int, readout: str, trial: int) -> Any:
    return claim.draw(cell_of(claim, n, readout), Stream(1).child(claim.id, n, readout, trial))


# %%
# Removal of the noise itself: the theorem's bound on the mean cross-entropy is twice the mean radius, since
# the loss is 2-Lipschitz; a radius also bounds the loss through the probability of the right class, which is
# sharper wherever the network is sure.


def removal(n: int, readout: str, trial: int) -> list[float]:
    """True, certified and sharply certified change of the mean cross-entropy, and the credit for the norm."""
    case = draw_case(find_claim("loss_reduction_gaussian"), n, readout, trial)
    radius, losses = case.radius(DELTA), per_sample_cross_entropy(case.before, case.labels)
    sharp = np.mean(loss_change_bounds(losses, radius)[1])
    return [abs(case.loss_change), 2 * float(np.mean(radius)), float(sharp), DECAY * case.noise_energy]


def truncation(n: int, readout: str, trial: int) -> list[float]:
    """Largest true change of a confidence, the largest bound on one, and the median confidence."""
    case = draw_case(find_claim("pruning_theorem_confidence"), n, readout, trial)
    before, after = case.confidence
    bound = 2 * (case.lipschitz * case.lost_signal + case.radius(DELTA))
    return [float(np.max(np.abs(after - before))), float(np.max(bound)), float(np.median(before))]


# %%
# A bound speaks where it is below what is known without it. The least width at which it does in most of five
# draws is found by doubling and bisection, to three per cent; if there is none on the ladder, the claim says
# where its formula would get there, with norms and margins as they are at the end of it.


def speaking_width(name: str, readout: str, widest: int) -> tuple[float, bool]:
    """Least width at which the claim speaks, and whether it was seen to."""
    claim = find_claim(name)

    def speaks(n: int) -> bool:
        cases = (draw_case(claim, n, readout, trial) for trial in range(5))
        return sum(claim.right(case) < claim.trivial(case) for case in cases) >= 3

    low, high = 16, 32
    while not speaks(high):
        if high == widest:
            return float(claim.speaks_at(draw_case(claim, widest, readout, 0))), False
        low, high = high, min(2 * high, widest)
    while high - low > max(1, 0.03 * low):
        middle = round(math.sqrt(low * high))
        low, high = (low, middle) if speaks(middle) else (middle, high)
    return float(high), True


def measure(preset: str, jobs: int = 1) -> dict[str, Any]:
    """Quantiles 0.1, 0.5, 0.9 of everything at each width and readout, and where each bound speaks."""
    exponents, trials = PRESETS[preset]
    widths = [round(10 ** (e / 2)) for e in exponents]
    plan = list(itertools.product((removal, truncation), READOUTS, widths))
    tasks: list[Any] = [(what, (n, readout, i)) for what, readout, n in plan for i in range(trials)]
    asked = list(itertools.product(SPOKEN, READOUTS))
    tasks += [(speaking_width, (name, readout, widths[-1])) for name, readout in asked]
    results = [result for _, result in sorted(compute(tasks, workers=jobs))]
    found: dict[str, Any] = {"widths": widths, "trials": trials, "delta": DELTA, "decay": DECAY, "speaks": {}}
    for i, (what, readout, _) in enumerate(plan):
        rows = np.array(results[i * trials : (i + 1) * trials])
        found.setdefault(f"{what.__name__}, {readout}", []).append(
            np.quantile(rows, (0.1, 0.5, 0.9), axis=0).tolist()
        )
    for (name, readout), (n, seen) in zip(asked, results[len(plan) * trials :]):
        found["speaks"][f"{name}, {readout}"] = {"width": n if math.isfinite(n) else None, "seen": seen}
    return found


# %%
# Bands hold the middle 80 % of the draws.

LINES = {
    "removal": (
        ("true change", LIGHT.law, "o-"),
        (r"certified: $2 \times$ mean radius", LIGHT.bound, "s-"),
        ("certified, sharp form", LIGHT.outcomes[Outcome.CERTIFIED], "D-"),
        (r"credit $\lambda |R|_F^2$", LIGHT.ink, ":"),
    ),
    "truncation": (
        ("true change", LIGHT.law, "o-"),
        ("certified (reconstruction)", LIGHT.bound, "s-"),
        ("median confidence", LIGHT.ink, ":"),
    ),
}
TITLES = {"removal": "mean cross-entropy, $R$ removed", "truncation": "confidence, truncated at the edge"}


def draw(found: dict[str, Any]) -> figures.Figure:
    with figures.appearance():
        figure = figures.Figure(figsize=(1.75 * figures.WIDTH, 7.6))
        panels = figure.subplots(2, 2, sharex=True, sharey="row")
        for (row, what), (column, readout) in itertools.product(enumerate(LINES), enumerate(READOUTS)):
            axes = panels[row, column]
            curves = np.array(found[f"{what}, {readout}"])
            for i, (label, color, form) in enumerate(LINES[what]):
                low, middle, high = curves[:, :, i].T
                axes.fill_between(found["widths"], low, high, color=color, alpha=0.2, linewidth=0)
                axes.plot(found["widths"], middle, form, color=color, markersize=4, label=label)
            axes.set(xscale="log", yscale="log")
            axes.set_title(f"{TITLES[what]}\n{readout} readout", fontsize=10)
            axes.grid()
            marks = [name for name in SPOKEN if name.startswith("pruning") == (what == "truncation")]
            for height, name in zip((0.04, 0.13), marks):
                mark(axes, found["speaks"][f"{name}, {readout}"], SPOKEN[name], height, found["widths"][-1])
        for (left, right), height in zip(panels, (0.55, 0.72)):
            low, high = left.get_ylim()
            left.set(ylabel="change", ylim=(low / 8, high))  # room for what the marks say
            right.legend(fontsize=8.5, loc=(0.0, height))
        for axes in panels[1]:
            axes.set_xlabel("width $n$")
    return figure


def mark(axes: Any, spoken: dict[str, Any], text: str, height: float, widest: int) -> None:
    """Mark the width from which a bound speaks, or say that it does not."""
    n = spoken["width"]
    if spoken["seen"]:
        axes.axvline(n, color=LIGHT.muted, linestyle="--", linewidth=1, zorder=1)
        where = f"from $n$ = {number(n)}"
    else:
        where = "at no width" if n is None else f"from $n$ = {number(n)}, by its formula"
        n = widest
    left = n > 2 * math.sqrt(widest)
    axes.annotate(
        f"{text}: {where}",
        (n, height),
        xytext=(-5 if left else 5, 0),
        textcoords="offset points",
        xycoords=axes.get_xaxis_transform(),
        ha="right" if left else "left",
        fontsize=8,
        bbox={"facecolor": LIGHT.paper, "edgecolor": "none", "pad": 1},
    )


def main() -> figures.Figure:
    parser = argparse.ArgumentParser(description="Certified and true change of the loss along widths.")
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, help="folder for certified_width.json, .png and .pdf")
    options = parser.parse_args()
    start = time.perf_counter()
    found = measure(options.preset, options.jobs)
    for what, readout in itertools.product(LINES, READOUTS):
        print(f"{what}, {readout} readout, medians")
        medians = np.array(found[f"{what}, {readout}"])[:, 1].T
        print(f"{'width':>34s} " + " ".join(f"{n:9,d}" for n in found["widths"]))
        for (label, *_), row in zip(LINES[what], medians):
            print(f"{label:>34s} " + " ".join(f"{value:9.2e}" for value in row))
    for name, spoken in found["speaks"].items():
        place = "at no width" if spoken["width"] is None else f"from {number(spoken['width'], 4)}"
        print(f"{name}: speaks {place}{'' if spoken['seen'] or spoken['width'] is None else ', predicted'}")
    print(f"{time.perf_counter() - start:.0f} s")
    figure = draw(found)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "certified_width.json").write_text(json.dumps(found, indent=1) + "\n")
        for kind in ("png", "pdf"):
            (options.out / f"certified_width.{kind}").write_bytes(figures.encode(figure, kind))
    return figure


if __name__ == "__main__":
    figure = main()
