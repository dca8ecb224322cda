"""The figures of a report: what is drawn from a run, what to read in it, and its forms."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rmttheory.studies import figures
from rmttheory.studies.records import Folder, Run
from rmttheory.studies.spectrum import SpectrumStudy, study_spectrum
from rmttheory.studies.style import darkened

ENSEMBLE = {"shape": (1000, 500), "spikes": (2.0, 1.5, 1.1), "noise": "rademacher"}
"""What the spectrum in every report is drawn from: two spikes clear of the threshold 0.84, one near it."""

VERDICTS = (
    "Every verdict. The bar goes from the median to the worst trial of left side over right side: at 1 a "
    "bound is tight, far below it is loose, beyond it is violated, as a tail statement may be in the share "
    "of trials that it allows. Hollow marks are bounds that say nothing."
)
BOUNDS = (
    "Removing the noise of one layer, along a ladder of widths: the largest change of a logit and the bound "
    "on it, medians with the middle 80 % of draws shaded. Below the dotted line a change cannot alter the "
    "label of the median sample. The bound multiplies by the row sums of the readout: bounded ones let it "
    "fall, those of a standard initialisation grow as fast as the rest decays."
)
LIMITS = (
    "Limit statements: distance to the limit along a ladder of widths, log-log, medians with the middle 80 % "
    "of draws shaded, beside the claimed rate, which is drawn through the first median."
)
SPECTRUM = (
    "One draw of a spiked ensemble against the law of its bulk, with the fitted edge, the values above it, "
    "and where the theory puts each spike. Marks of single values show where these lie; their height means "
    "nothing."
)

Draw = Callable[[], figures.Figure]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure in all its forms.

    Attributes
    ----------
    name : str
        Of its files.
    caption : str
        What it shows and how to read it.
    light, dark : str
        Data URIs of its SVG forms.
    width, height : int
        In CSS pixels.
    """

    name: str
    caption: str
    light: str
    dark: str
    width: int
    height: int


def make_pictures(run: Run, folder: Folder) -> dict[str, Picture]:
    """Draw every figure of ``run`` and write it to ``figures/`` as ``.png`` and ``.pdf``.

    Raises
    ------
    NotWritten
        If a file cannot be written.
    """
    return {name: _picture(folder, name, caption, draw) for name, caption, draw in _drawings(run)}


def save_spectrum(study: SpectrumStudy, path: Path) -> None:
    """Write the figure of ``study``; the ending of ``path`` says as what.

    Raises
    ------
    NotWritten
        If it cannot be written.
    """
    with figures.appearance():
        Folder(path.parent).write(path.name, figures.encode(_spectrum(study), path.suffix[1:].lower()))


def _drawings(run: Run) -> Iterator[tuple[str, str, Draw]]:
    """Yield name, caption and drawing function of each figure."""
    if run.verdicts:
        yield "verdicts", VERDICTS, partial(figures.overview_figure, run.verdicts)
    bounds = [curve for curve in run.curves if curve.bound]
    limits = [curve for curve in run.curves if not curve.bound]
    if bounds:
        yield "bounds", BOUNDS, partial(figures.ladder_figure, bounds, ylabel="largest change of a logit")
    if limits:
        yield "limits", LIMITS, partial(figures.ladder_figure, limits, ylabel="distance to the limit")
    yield "spectrum", SPECTRUM, partial(_spectrum, study_spectrum(**ENSEMBLE, seed=run.seed))  # type: ignore[arg-type]
    for layer in run.network.examination.layers if run.network else ():
        if layer.rank == len(layer.singular_values):
            continue  # nothing is removed, so before and after are one picture
        yield (
            f"layer-{layer.index}",
            f"Singular values of layer {layer.index} of the trained network before and after its bulk is "
            "removed. Marks of single values show where these lie; their height means nothing.",
            partial(
                figures.pruning_figure,
                layer.singular_values,
                layer.shape,
                g=layer.edge.g,
                edge=layer.edge.edge,
                rank=layer.rank,
                title=f"Layer {layer.index}, {layer.shape[0]} × {layer.shape[1]}",
            ),
        )


def _spectrum(study: SpectrumStudy) -> figures.Figure:
    return figures.spectrum_figure(
        study.values,
        study.model.shape,
        g=study.estimate.g,
        edge=study.estimate.edge,
        predicted=[place for place in study.predicted if place is not None],
        title=study.title.replace(" x ", " × "),
    )


def _picture(folder: Folder, name: str, caption: str, draw: Draw) -> Picture:
    with figures.appearance():
        figure = draw()
        forms = {kind: figures.encode(figure, kind) for kind in ("png", "pdf", "svg")}
    for kind in ("png", "pdf"):
        folder.write(f"figures/{name}.{kind}", forms[kind])
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    light = forms["svg"].decode()
    return Picture(
        name=name, caption=caption, width=width, height=height, light=_uri(light), dark=_uri(darkened(light))
    )


def _uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
