"""What published code computed: each slip moves what the formulas say, and without slips nothing does."""

import math

import numpy as np
import pytest

from rmttheory import MarchenkoPastur, TracyWidom, singular_values
from rmttheory.matrices import Spiked
from rmttheory.matrices.published import example_signal, published_fit


def ideal(p, aspect):
    return MarchenkoPastur(aspect).ppf((np.arange(p) + 0.5) / p)


@pytest.mark.parametrize("aspect", [1.0, 0.25])
def test_without_slips_ideal_values_are_fitted_exactly(aspect):
    fit = published_fit(
        3 * ideal(200, aspect), aspect, index_slip=False, exponent_slip=False, distribution_slip=False
    )
    assert fit.variance == pytest.approx(3.0, rel=1e-12)
    assert fit.misfit < 1e-12
    t = float(TracyWidom(1).ppf(0.9))
    n, root = 200 / aspect, 1 + math.sqrt(aspect)
    wanted = 3 * (root**2 + t * n ** (-2 / 3) * aspect ** (-1 / 6) * root ** (4 / 3))
    assert fit.edge == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("aspect", [1.0, 0.25])
def test_the_index_slip_is_half_a_rank(aspect):
    """Quantiles half a rank too low make ``g`` too large by ``int q dq / int q^2`` over 2 p."""
    p = 2000
    u = np.linspace(0.25, 0.75, 100_001)
    q = MarchenkoPastur(aspect).ppf(u)
    wanted = (q[-1] ** 2 - q[0] ** 2) / 2 / np.trapezoid(q**2, u) / 2
    fit = published_fit(ideal(p, aspect), aspect, exponent_slip=False)
    assert p * (fit.variance - 1) == pytest.approx(wanted, abs=10 / p)


@pytest.mark.parametrize(("level", "slipped", "right"), [(0.1, 4.0240, 4.0113), (0.9, 3.852, 3.930)])
def test_the_exponent_slip_of_a_square_layer_of_width_1000(level, slipped, right):
    for slip, wanted in ((True, slipped), (False, right)):
        fit = published_fit(ideal(1000, 1.0), 1.0, level=level, index_slip=False, exponent_slip=slip)
        assert fit.edge == pytest.approx(wanted, abs=6e-4)


def test_the_slip_of_the_distribution_shows_once_the_window_ends_beyond_the_edge():
    for noise, differs in (("column-scaled:1.8", True), ("column-scaled:0.5", False)):
        values = np.sort(singular_values(Spiked((800, 200), noise=noise).sample(1).W)) ** 2
        slipped, right = (published_fit(values, 0.25, distribution_slip=slip) for slip in (True, False))
        assert (slipped.misfit > 0.7) == differs
        assert (slipped.misfit != right.misfit) == differs
        assert slipped.edge == right.edge


def test_the_example_has_eleven_spikes():
    n = 1000
    S = example_signal(n)
    assert np.isfinite(S).all()
    i, j = 3, 5
    wanted = math.tan(math.pi / 2 + 1 / (j + 1)) + math.cos(i) * math.log(i + j + 1)
    assert S[i - 1, j - 1] == pytest.approx(wanted + math.sin(j) * math.cos(i / j), rel=1e-12)
    assert np.sum(np.linalg.svd(S, compute_uv=False) > math.sqrt(n)) == 11
