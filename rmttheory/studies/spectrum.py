"""One draw of a spiked ensemble beside what the theory predicts of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rmttheory.arrays import HostArray, InvalidInput, Stream, check_shape, find_placement
from rmttheory.matrices import (
    EdgeEstimate,
    Gaussian,
    SingularMarchenkoPastur,
    Spiked,
    fit_edge,
    kolmogorov_distance,
)
from rmttheory.studies.machine import DAY, memory
from rmttheory.studies.runner import Watcher
from rmttheory.studies.style import number, span

_LONG = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class SpectrumStudy:
    """Singular values of one layer ``W = S + R``, the bulk fitted to them, and where spikes should show.

    Attributes
    ----------
    model : Spiked
    seed : int
    values : ndarray
        Descending.
    estimate : EdgeEstimate
    predicted : tuple of float or None
        For each spike, strongest first, the singular value it should show as; None below the threshold.
    distance : float
        Kolmogorov distance of the values below the fitted edge to the fitted law.
    path : str
        How the layer was drawn: ``band`` is without the matrix, ``dense`` in full.
    """

    model: Spiked
    seed: int
    values: HostArray
    estimate: EdgeEstimate
    predicted: tuple[float | None, ...]
    distance: float
    path: str

    @property
    def seen(self) -> tuple[float, ...]:
        """Values above the fitted edge."""
        return tuple(float(s) for s in self.values[self.values > self.estimate.edge])

    @property
    def title(self) -> str:
        """One line for a figure."""
        n, m = self.model.shape
        noise = getattr(self.model.noise, "name", str(self.model.noise))
        count = len(self.model.spikes)
        spikes = f"{count or 'no'} spike{'s' * (count != 1)}"
        return f"{noise[0].upper()}{noise[1:]} noise, {n} x {m}, {spikes}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "shape": list(self.model.shape),
            "noise": getattr(self.model.noise, "name", str(self.model.noise)),
            "g": self.model.g,
            "seed": self.seed,
            "path": self.path,
            "threshold": self.model.threshold,
            "bulk_edge": self.model.edge,
            "fit": self.estimate.to_dict(),
            "distance": self.distance,
            "spikes": list(self.model.spikes),
            "predicted": list(self.predicted),
            "seen": list(self.seen),
        }


def study_spectrum(
    shape: tuple[int, int],
    *,
    spikes: Sequence[float] = (),
    noise: str = "gaussian",
    g: float = 1.0,
    seed: int = 0,
    dense: bool = False,
    device: str = "cpu",
    watcher: Watcher | None = None,
) -> SpectrumStudy:
    """Draw one layer and fit its bulk.

    Parameters
    ----------
    shape : tuple of int
        ``(n, m)``: outputs by inputs.
    spikes : sequence of float
        Singular values of the signal.
    noise : str
        As `parse_noise` takes it.
    g : float
        Entries of the noise have variance ``g / n``.
    seed : int
    dense : bool
        Draw the layer in full, also where its noise is Gaussian and its law is known without the matrix.
    device : {"cpu", "cuda"}
        Where layers drawn in full are drawn and decomposed, and bidiagonals solved. Normal numbers of a GPU
        are others of the same law (`Stream.portable`).
    watcher : Watcher, optional
        Told how long it takes, if that is long.

    Raises
    ------
    InvalidInput
        If an argument is out of range, the layer has to be drawn in full and does not fit into memory, or
        its spectrum would take more than a day.
    Unavailable
        If ``device`` is a GPU that is not there.
    """
    placement = find_placement(device)
    n, m = check_shape(shape)
    model = Spiked((n, m), spikes=tuple(spikes), noise=noise, g=g)
    band = isinstance(model.noise, Gaussian) and not dense
    if band:
        _check_time(min(n, m), len(model.spikes), watcher or Watcher())
    else:
        _check_memory(n, m)
    path: Literal["band", "dense"] = "band" if band else "dense"
    stream = Stream(seed, placement=placement, portable=device != "cpu").child("spectrum")
    values = model.singular_values(stream, method=path)[0]
    estimate = fit_edge(values, (n, m))
    below = values[values <= estimate.edge]
    return SpectrumStudy(
        model=model,
        seed=seed,
        values=values,
        estimate=estimate,
        predicted=tuple(
            place if theta > model.threshold else None for theta, place in zip(model.spikes, model.outliers)
        ),
        distance=kolmogorov_distance(below, SingularMarchenkoPastur(m / n, estimate.g)),
        path=path,
    )


def spectrum_lines(study: SpectrumStudy) -> list[str]:
    """Say what was found, one fact a line."""
    fit, model = study.estimate, study.model
    lines = [
        f"{study.title}, g = {number(model.g)}, seed {study.seed}",
        "drawn without the matrix, from the same law" if study.path == "band" else "drawn in full",
        f"fitted g: {fit.g:#.4g} +- {number(fit.g_error, 2)}",
        f"fitted edge: {number(fit.edge, 5)} (bulk edge of the model: {number(model.edge, 5)})",
        f"Kolmogorov distance of the bulk to the fitted law: {number(study.distance)}; p-value of the fit "
        f"{number(fit.p_value)}",
        f"values above the edge: {len(study.seen)}",
    ]
    for i, (theta, place) in enumerate(zip(model.spikes, study.predicted)):
        if place is None:
            hidden = f"below the threshold {number(model.threshold, 5)}, so it should not show"
            lines.append(f"spike {number(theta, 5)}: {hidden}")
        else:
            seen = f"seen at {number(study.seen[i], 5)}" if i < len(study.seen) else "not seen"
            lines.append(f"spike {number(theta, 5)}: predicted at {number(place, 5)}, {seen}")
    return lines


def _check_memory(n: int, m: int) -> None:
    """Refuse what the machine cannot hold, rather than be killed on the way."""
    needed = 8 * (4 * n * m + min(n, m) ** 2)  # W, its parts, and the Gram matrix
    if needed > memory():
        msg = (
            f"A dense matrix of shape {n} x {m} takes about {needed / 2**30:,.0f} GiB with its spectrum; "
            f"this machine has {memory() / 2**30:,.0f}. Choose a smaller shape."
        )
        raise InvalidInput(msg)


def _check_time(p: int, spikes: int, watcher: Watcher) -> None:
    """Say how long the spectrum of a band takes, and refuse what nobody waits for."""
    seconds = 2e-8 * p**2 * (1.0 + 0.15 * max(spikes - 1, 0))  # measured, p = 2000 ... 10,000
    if seconds > DAY:
        msg = (
            f"All {p:,} singular values would take about {span(seconds)}. Choose a smaller shape; "
            "`rmttheory edge` draws the largest alone."
        )
        raise InvalidInput(msg)
    if seconds > _LONG:
        watcher.note(f"All {p:,} singular values take about {span(seconds)}.")
