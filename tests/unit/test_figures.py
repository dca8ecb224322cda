"""Figures say what was measured, fit on the page, and can be told apart."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from toy_claims import TOYS

from rmttheory.matrices import SingularMarchenkoPastur, Spiked
from rmttheory.studies import figures
from rmttheory.studies.curves import Curve
from rmttheory.studies.style import DARK, LIGHT, darkened, number
from rmttheory.theorem.claims import registry
from rmttheory.theorem.judging import verify
from rmttheory.theorem.verdicts import Kind, Outcome, Slope, Verdict

SHAPE = (400, 200)


@pytest.fixture(scope="module")
def values():
    return Spiked(SHAPE, spikes=(2.0, 1.5)).singular_values(rng=1, method="dense")[0]


def curve(**changes):
    slope = Slope(value=-0.5, low=-0.6, high=-0.4, claimed=-0.5)
    n = np.array([64.0, 256.0, 1024.0])
    facts = dict(
        claim="a_claim",
        label="",
        widths=(64, 256, 1024),
        low=tuple(0.8 * n**-0.5),
        median=tuple(n**-0.5),
        high=tuple(1.2 * n**-0.5),
        slope=slope,
        trials=10,
    )
    return Curve(**(facts | changes))


def verdict(**changes):
    facts = dict(
        claim="a_claim",
        kind=Kind.EXACT,
        cell={},
        outcome=Outcome.CONSISTENT,
        why="",
        trials=10,
        admissible=10,
        informative=10,
        violations=0,
        allowed=0.0,
        alpha=1e-6,
        worst_ratio=0.5,
        median_ratio=0.1,
        hypotheses={},
        seed=0,
    )
    return Verdict(**(facts | changes))


def drawings(values):
    bounded = curve(bound=(3.0, 1.5, 0.7), safe=(1.0, 1.0, 1.0), bound_slope=curve().slope, label="a label")
    kinds = [
        verdict(outcome=outcome, claim=f"a_rather_long_claim_name_{i}", worst_ratio=10.0 ** (i - 4))
        for i, outcome in enumerate(Outcome)
    ]
    kinds += [
        verdict(kind=Kind.LIMIT, slope=curve().slope, worst_ratio=None),
        verdict(kind=Kind.IDENTITY, lower=0.177, upper=0.251, allowed=0.2),
        verdict(kind=Kind.IDENTITY, worst_ratio=None),
        verdict(outcome=Outcome.INAPPLICABLE, worst_ratio=None),
    ]
    facts = {"g": 1.0, "edge": 1.75}
    yield (
        "spectrum",
        lambda: figures.spectrum_figure(values, SHAPE, **facts, predicted=(2.37, 1.99), title="A title"),
    )
    yield "pruning", lambda: figures.pruning_figure(values, SHAPE, **facts, rank=2, title="A layer")
    yield "one ladder", lambda: figures.ladder_figure([bounded], ylabel="change of a logit")
    yield "three ladders", lambda: figures.ladder_figure([curve(), bounded, curve()], ylabel="error")
    yield "overview", lambda: figures.overview_figure(kinds)


NAMES = ("spectrum", "pruning", "one ladder", "three ladders", "overview")


def draw(name, values):
    with figures.appearance():
        return dict(drawings(values))[name]()


@pytest.mark.parametrize("name", NAMES)
def test_no_text_is_cut_off_and_no_label_lies_on_another(name, values):
    """Everything written lies inside the page, and texts of one axis do not overlap."""
    with figures.appearance():
        figure = dict(drawings(values))[name]()
        figures.encode(figure, "png")
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        boxes = {
            text: text.get_window_extent(renderer)
            for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))
            if text.get_visible() and text.get_text()
        }
    shown = {text: box for text, box in boxes.items() if box.width > 0}
    assert len(shown) > 8
    page = figure.bbox
    for text, box in shown.items():
        if not any(
            text in axis.get_ticklabels() for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)
        ):
            assert page.x0 <= box.x0, text.get_text()
            assert box.x1 <= page.x1, text.get_text()
            assert page.y0 <= box.y0, text.get_text()
            assert box.y1 <= page.y1, text.get_text()
    for axes in figure.axes:
        titles = [box for text, box in shown.items() if text is axes._left_title]
        legend = axes.get_legend()
        others = [shown[text] for text in (legend.get_texts() if legend else ()) if text in shown]
        assert not [1 for a, b in itertools.product(titles, others) if a.overlaps(b)]


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_every_form_is_a_file_of_its_kind_and_the_same_twice(kind, values):
    with figures.appearance():
        once, again = (figures.encode(dict(drawings(values))["spectrum"](), kind) for _ in range(2))
    assert once == again
    assert once.startswith({"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[kind])


def test_bulk_is_drawn_as_a_share_of_all_values_and_the_law_beside_it(values):
    figure = draw("spectrum", values)
    (axes,) = figure.axes
    area = sum(bar.get_height() * bar.get_width() for bar in axes.patches)
    assert area == pytest.approx(198 / 200, abs=1e-9)  # two of the 200 values lie above the edge
    law = next(line for line in axes.lines if "Marchenko" in line.get_label())
    x, y = law.get_data()
    np.testing.assert_allclose(y, 198 / 200 * SingularMarchenkoPastur(0.5, 1.0).pdf(x))
    seen = next(line for line in axes.lines if "above" in line.get_label())
    assert list(seen.get_xdata()) == list(values[:2])


def test_pruning_shows_what_stays(values):
    _, after = draw("pruning", values).axes
    assert after.get_title(loc="left") == "After: rank 2"
    assert "198 values set to 0" in [text.get_text() for text in after.texts]


@pytest.mark.parametrize("edge", [1.75, 0.1, 9.0])
@pytest.mark.parametrize("shape", [SHAPE, (200, 400), (300, 300), (10, 384), (1, 5)])
def test_any_spectrum_can_be_drawn(shape, edge):
    values = Spiked(shape).singular_values(rng=0, method="dense")[0]
    with figures.appearance():
        figure = figures.spectrum_figure(values, shape, g=1.0, edge=edge, title="")
        figures.pruning_figure(values, shape, g=1.0, edge=edge, rank=int(np.sum(values > edge)), title="")
        figures.encode(figure, "png")


@pytest.mark.parametrize("name", NAMES)
def test_dark_form_is_the_light_one_in_other_colours(name, values):
    with figures.appearance():
        light = figures.encode(dict(drawings(values))[name](), "svg").decode()
    dark = darkened(light)
    assert LIGHT.paper in light
    assert LIGHT.ink in light
    assert not [color for color in set(LIGHT.colors.values()) - set(DARK.colors.values()) if color in dark]
    assert len(dark) == len(light)


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_colour_can_be_read(theme):
    """Contrast of at least 4.5 to 1, the level AA of WCAG 2 for text."""
    paper = luminance(theme.paper)
    for color in (theme.ink, theme.muted, *theme.outcomes.values()):
        lighter, darker = sorted((luminance(color), paper), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, color


def test_png_has_the_promised_size(values):
    with figures.appearance():
        image = Image.open(io.BytesIO(figures.encode(dict(drawings(values))["spectrum"](), "png")))
    assert image.width == round(figures.WIDTH * figures.DPI)


def test_nothing_draws_through_global_state(values, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)  # another library may have loaded it
    draw("overview", values)
    assert "matplotlib.pyplot" not in sys.modules


def test_verdicts_of_real_runs_can_be_drawn(monkeypatch):
    for claim in TOYS:
        monkeypatch.setitem(registry(), claim.id, claim)
    found = [verify(name) for name in ("toy_exact", "toy_tail", "toy_vacuous", "toy_limit", "toy_exact/half")]
    found.append(dataclasses.replace(found[0], worst_ratio=0.0, median_ratio=0.0))
    with figures.appearance():
        figures.encode(figures.overview_figure(found), "png")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0, 3, "0"),
        (1, 3, "1"),
        (0.05, 3, "0.05"),
        (-2 / 3, 3, "-0.667"),
        (0.30000001, 3, "0.3"),
        (1e-4, 3, "1e-4"),
        (1.234e-8, 3, "1.23e-8"),
        (999.9, 3, "1,000"),
        (1234.5, 4, "1,234"),
        (217_345, 2, "220,000"),
        (3.2e7, 2, "3.2e7"),
        (math.inf, 3, "never"),
        (None, 3, "-"),
        (math.nan, 3, "-"),
    ],
)
def test_numbers_are_written_as_people_write_them(value, digits, text):
    assert number(value, digits) == text
