"""Figures of inspected layers: a spectrum against noise and against a power law, and all layers at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rmttheory.matrices import SingularMarchenkoPastur
from rmttheory.studies.figures import WIDTH, Figure, appearance, draw_bulk, plain_numbers
from rmttheory.studies.inspection_rows import with_error
from rmttheory.studies.style import LIGHT, number

if TYPE_CHECKING:
    from rmttheory.studies.inspected import Inspection, LayerInspection

_WINDOW = 2.5
"""Edges that the upper panel shows: beyond, the bulk would shrink to a line."""
_LONGEST = 52


def layer_figure(layer: LayerInspection) -> Figure:
    """Draw one layer: its bulk with the fitted law above, its tail with power law and noise below."""
    with appearance():
        figure = Figure(figsize=(WIDTH, 6.4))
        bulk, tail = figure.subplots(2, 1, height_ratios=(3, 2.6))
        _draw_bulk(bulk, layer)
        _draw_tail(tail, layer)
        return figure


def layers_figure(inspection: Inspection) -> Figure:
    """Draw all layers in their order, a row each: what stands out, tail, and whether the rest is noise."""
    layers = inspection.layers
    rows = np.arange(len(layers))[::-1]
    with appearance():
        figure = Figure(figsize=(1.5 * WIDTH, 1.4 + 0.2 * len(layers)))
        energy, tail, fit = figure.subplots(1, 3, sharey=True)
        energy.hlines(rows, 0, [100 * layer.energy for layer in layers], color=LIGHT.spike, linewidth=3)
        energy.set(xlim=(0, 100), xlabel="energy above the edge, %")
        for row, layer in zip(rows, layers):
            tail.plot([layer.noise_exponent], [row], "|", color=LIGHT.ink, markersize=7)
            fill = "none" if layer.tail.p_value <= 0.1 else "full"
            tail.plot([layer.tail.exponent], [row], "o", color=LIGHT.law, markersize=4, fillstyle=fill)
        tail.set(xscale="log", xlabel="tail exponent (noise: |)")
        fit.plot([layer.edge.p_value for layer in layers], rows, "o", color=LIGHT.law, markersize=4)
        fit.axvline(0.01, color=LIGHT.ink, linestyle="--", linewidth=1)
        fit.set(xscale="log", xlim=(0.0015, 1.3), xlabel="p-value of the bulk")
        for axes in (tail, fit):
            plain_numbers(axes)
        energy.set_yticks(rows, [_short(layer.name, 34) for layer in layers], fontsize=8)
        energy.set_ylim(-0.7, len(layers) - 0.3)
        for axes in (energy, tail, fit):
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
        return figure


def _draw_bulk(axes: Any, layer: LayerInspection) -> None:
    fit, values = layer.edge, layer.values
    shown = values[values <= _WINDOW * fit.edge]
    draw_bulk(axes, values, layer.shape, g=fit.g, edge=fit.edge, window=_WINDOW * fit.edge)
    beyond = len(values) - len(shown)
    if beyond:
        text = f"{beyond} further, to {number(float(values[0]))} →"
        axes.annotate(text, (0.99, 0.3), xycoords="axes fraction", ha="right", color=LIGHT.spike, fontsize=9)
    axes.set(title=_short(layer.name, _LONGEST), xlabel="singular value $s$", ylabel="density")
    p = "≤ 0.002" if fit.p_value <= 0.002 else number(fit.p_value, 2)
    axes.set_ylim(top=1.4 * axes.get_ylim()[1])  # room for the legend
    legend = axes.legend(title=f"bulk: p {p}", loc="upper right", alignment="left", frameon=True)
    legend.get_frame().set(edgecolor="none", facecolor=LIGHT.paper, alpha=0.9)  # the edge may pass behind it


def _draw_tail(axes: Any, layer: LayerInspection) -> None:
    fit, tail, squares = layer.edge, layer.tail, layer.values**2
    count = len(squares)
    shares = (np.arange(count) + 0.5) / count
    axes.plot(squares, shares, ".", color=LIGHT.muted, markersize=3, label="squared singular values")
    law = SingularMarchenkoPastur(layer.aspect, fit.g)
    s = np.sqrt(np.geomspace(squares[-1], squares[0], 400))
    noise = 1.0 - law.cdf(s)
    noise = np.where(noise >= 0.3 / count, noise, np.nan)
    axes.plot(s**2, noise, color=LIGHT.law, label="Marchenko-Pastur law")
    x = np.geomspace(tail.start, squares[0], 50)
    power = tail.size / count * (x / tail.start) ** (1 - tail.exponent)
    name = f"power law, {with_error(tail.exponent, tail.exponent_error)}"
    axes.plot(x, power, "--", color=LIGHT.bound, label=name)
    axes.set(xscale="log", yscale="log", xlabel="squared singular value $s^2$", ylabel="share above")
    axes.set(ylim=(0.3 / count, 1.5), xlim=(min(squares[count // 4], tail.start) / 1.2, 1.3 * squares[0]))
    plain_numbers(axes)
    title = f"tail: p {number(tail.p_value, 2)}, noise {number(layer.noise_exponent, 2)}"
    axes.legend(title=title, loc="best", alignment="left")


def _short(name: str, most: int) -> str:
    """Return a name, or the end of a long one; between dollars Matplotlib would look for a formula."""
    short = name if len(name) <= most else f"…{name[1 - most :]}"
    return short.replace("$", r"\$")
