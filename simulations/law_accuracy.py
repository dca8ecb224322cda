"""Accuracy and speed of the laws: ``python simulations/law_accuracy.py [--preset quick|paper]``.

Markdown tables; ``paper`` takes about a minute, ``quick`` only every fourth aspect ratio.

References share nothing with the package's formulas: for Marchenko-Pastur the density integrated by mpmath
with 30 digits, at 16 points a law of which four are 1e-8 from an edge; for Tracy-Widom the stored Fredholm
determinants, 40 points a law, and three that are computed as the script runs. Times are medians of nine
runs on one core.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf

from rmttheory.matrices.laws import MarchenkoPastur, SingularMarchenkoPastur
from rmttheory.matrices.tables import fredholm
from rmttheory.matrices.tracy_widom import TracyWidom

ASPECTS = (1e-3, 1e-2, 0.1, 0.25, 0.5, 0.999, 1.0, 1.001, 2.0, 10.0, 100.0, 1e3)
PRESETS = {"quick": ASPECTS[::4], "paper": ASPECTS}
PROBABILITIES = np.array([1e-12, 1e-6, 1e-3, 0.05, 0.2, 0.5, 0.8, 0.95, 1 - 1e-3, 1 - 1e-6, 1 - 1e-12])


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(x if isinstance(x, str) else f'{float(x):.2g}' for x in row)} |", flush=True)


def median_seconds(function: Callable[[], object]) -> float:
    function()
    times = []
    for _ in range(9):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def masses(c: float, x: Any) -> tuple[Any, Any]:
    """Mass of the continuous part of the law of eigenvalues below and above ``x``."""
    low, high = (1 - mpmath.sqrt(c)) ** 2, (1 + mpmath.sqrt(c)) ** 2

    def density(t: Any) -> Any:
        inside = max((high - t) * (t - low), mpf(0))
        return mpmath.sqrt(inside) / (2 * mp.pi * mpf(c) * t) if inside else inside

    return mpmath.quad(density, [low, x]), mpmath.quad(density, [x, high])


def marchenko_pastur_errors(law: Any, power: int, weight: Any) -> tuple[Any, Any, Any]:
    """Largest absolute error of cdf, relative error of sf, and error of ``cdf(ppf(p)) - p``."""
    low, high = law.support
    points = [low * (1 + 1e-8), low + 1e-8, high - 1e-8, high * (1 - 1e-8), *np.linspace(low, high, 14)[1:-1]]
    absolute, relative, trip = [], [], []
    for x in (x for x in points if low < x < high):
        below, above = (mass / weight for mass in masses(law.aspect, mpf(x) ** power))
        absolute.append(abs(mpf(law.cdf(x)) - (1 - (below + above)) - below))
        relative.append(abs(mpf(law.sf(x)) / above - 1))
    for p in PROBABILITIES[law.atom < PROBABILITIES]:
        _, above = masses(law.aspect, mpf(law.ppf(p)) ** power)
        trip.append(abs(1 - above / weight - mpf(p)))
    return max(absolute), max(relative), max(trip)


def marchenko_pastur_accuracy(aspects: Sequence[float]) -> Iterable[Sequence[Any]]:
    with mp.workdps(30):
        for c in aspects:
            values = marchenko_pastur_errors(MarchenkoPastur(c), 1, mpf(1))
            singular = marchenko_pastur_errors(SingularMarchenkoPastur(c), 2, min(mpf(1), 1 / mpf(c)))
            yield (f"{c:g}", *values, *singular)


def marchenko_pastur_speed() -> Iterable[Sequence[Any]]:
    u = np.random.default_rng(0).random(10**6)
    for c in (0.01, 0.25, 0.5, 1.0, 2.0):
        row = [f"{c:g}"]
        for law in (MarchenkoPastur(c), SingularMarchenkoPastur(c)):
            low, high = law.support
            x = low + (high - low) * u
            row += [f"{median_seconds(lambda: law.cdf(x)):.3f}"]  # noqa: B023
            row += [f"{median_seconds(lambda: law.ppf(u[: 10**5])):.3f}"]  # noqa: B023
        yield row


def tracy_widom_accuracy() -> Iterable[Sequence[Any]]:
    for beta in (1, 2, 4):
        law = TracyWidom(beta)
        rows = [row for row in fredholm.reference_values() if row["beta"] == beta]
        exact = [(row["s"], mpf(row["cdf"]), mpf(row["sf"])) for row in rows]
        live = [abs(mpf(law.cdf(s)) - fredholm.determinant(beta, s)) for s in (-3.0, -1.5, 0.0)]
        q = np.concatenate([np.linspace(0, 1, 10_001), 10.0 ** -np.arange(3.0, 17.0)])
        yield (
            str(beta),
            str(len(exact)),
            max(max(abs(law.cdf(s) - cdf), abs(law.sf(s) - sf)) for s, cdf, sf in exact),
            max(live),
            max(abs(law.cdf(s) / cdf - 1) for s, cdf, _ in exact),
            max(abs(law.sf(s) / sf - 1) for s, _, sf in exact),
            f"{float(min(cdf for _, cdf, _ in exact)):.0e}, {float(min(sf for _, _, sf in exact)):.0e}",
            np.max(np.abs(law.cdf(law.ppf(q)) - q)),
        )


def tracy_widom_speed() -> Iterable[Sequence[Any]]:
    q = np.random.default_rng(0).random(10**5)
    for beta in (1, 2, 4):
        law = TracyWidom(beta)
        s = law.ppf(q)
        tasks = ((law.cdf, s), (law.sf, s), (law.pdf, s), (law.ppf, q))
        yield (str(beta), *(f"{median_seconds(lambda: method(x)):.4f}" for method, x in tasks))  # noqa: B023


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="paper")
    preset = parser.parse_args().preset
    both = [f"{name}, {what}" for name in ("eigenvalues", "singular values") for what in ("{}", "{}", "{}")]
    errors = [text.format(what) for text, what in zip(both, 2 * ["cdf", "sf (relative)", "cdf(ppf(p)) - p"])]
    print_table("Marchenko-Pastur: largest error", ["c", *errors], marchenko_pastur_accuracy(PRESETS[preset]))
    head = ["eigenvalues, 1e6 cdf", "1e5 ppf", "singular values, 1e6 cdf", "1e5 ppf"]
    print_table("Marchenko-Pastur: seconds", ["c", *head], marchenko_pastur_speed())
    head = [
        "points",
        "absolute",
        "absolute, live",
        "cdf (relative)",
        "sf (relative)",
        "least cdf, sf",
        "cdf(ppf(p)) - p",
    ]
    print_table("Tracy-Widom: largest error", ["beta", *head], tracy_widom_accuracy())
    head = ["1e5 cdf", "1e5 sf", "1e5 pdf", "1e5 ppf"]
    print_table("Tracy-Widom: seconds", ["beta", *head], tracy_widom_speed())


if __name__ == "__main__":
    main()
