"""Cases with spikes, in full and without the layers: both answer the same questions in the same way."""

import numpy as np
import pytest

from rmttheory import Spiked, Stream
from rmttheory.arrays import InvalidInput, RmtError
from rmttheory.matrices import EdgeSample, bulk_edge
from rmttheory.theorem import find_claim, spiked
from rmttheory.theorem.statements import outliers


def full_case(model, *, draws=2, seed=1):
    layers = (model.sample(Stream(seed).child(i)) for i in range(draws))
    return spiked.SpikedCase(model=model, draws=tuple(layers))


def seen_without_layers(case, k):
    """What an edge sample would hold of the layers of ``case``, from their dense decompositions."""
    columns = {name: [] for name in ("values", "left", "right", "coupling", "path")}
    for draw in case.draws:
        U, s, Vt = np.linalg.svd(draw.W, full_matrices=False)
        left, right = draw.U.T @ U[:, :k], draw.V.T @ Vt[:k].T
        found = (s[:k], left**2, right**2, left * right, np.sum(draw.U * (draw.W @ draw.V), axis=0))
        for column, value in zip(columns.values(), found):
            column.append(value)
    nothing = np.zeros(len(case.draws))
    edge = EdgeSample(
        **{name: np.stack(column) for name, column in columns.items()},
        value_error=nothing,
        overlap_error=nothing,
        corner=nothing,
        shape=case.shape,
        spikes=case.model.spikes,
        g=case.model.g,
    )
    return spiked.BandCase(model=case.model, edge=edge)


@pytest.mark.parametrize("shape", [(40, 30), (30, 40)])
@pytest.mark.parametrize("spikes", [(4.0, 3.0), (3.0, 0.2), (0.3, 0.2), (2.0,)])
def test_one_matrix_gives_the_same_answers_both_ways(shape, spikes):
    # Gram matrices halve the digits of small values only; those of vectors are left by the gaps
    case = full_case(Spiked(shape, spikes=spikes, g=0.64))
    band = seen_without_layers(case, min(shape))
    np.testing.assert_array_equal(band.theta, spikes)
    for name in ("values", "left", "right", "removed"):
        np.testing.assert_allclose(getattr(band, name), getattr(case, name), rtol=0, atol=1e-11)
        assert getattr(band, name).shape == (2, len(spikes))
    for claim in ("bgn_outlier", "bgn_overlap", "inverse_bbp", "truncation_bias"):
        left = find_claim(claim).left
        assert left(band) == pytest.approx(left(case), abs=1e-11)


def test_values_beyond_the_spikes_count_where_they_exceed_the_edge():
    # an edge far below the real one keeps values of the bulk, of which three are known besides the spike's
    case = full_case(Spiked((40, 30), spikes=(4.0,)))
    band = seen_without_layers(case, 4)
    s = band.edge.values
    assert np.all(s[:, 1] > 1.4)
    moved = spiked.BandCase(model=Spiked((40, 30), spikes=(4.0,), g=0.5), edge=band.edge)
    assert np.all(s[:, 3] > moved.model.edge)
    with pytest.raises(RmtError, match="All 4 leading values exceed the edge"):
        _ = moved.removed


def test_all_values_may_exceed_the_edge_where_all_are_known():
    case = full_case(Spiked((5, 3), spikes=(9.0, 8.0, 7.0)))
    band = seen_without_layers(case, 3)
    assert np.all(band.edge.values > case.model.edge)
    np.testing.assert_allclose(band.removed, 0.0, atol=1e-13)


@pytest.mark.parametrize(
    ("method", "noise", "kind"),
    [
        ("auto", "gaussian", spiked.BandCase),
        ("band", "gaussian", spiked.BandCase),
        ("dense", "gaussian", spiked.SpikedCase),
        ("auto", "rademacher", spiked.SpikedCase),
    ],
)
def test_layers_are_drawn_as_the_cell_says(method, noise, kind):
    claim = find_claim("truncation_bias")
    cell = claim.cell(method=method, noise=noise, g=0.25, aspect=2.0)
    case = claim.draw({**cell, "n": 24}, Stream(3))
    assert isinstance(case, kind)
    assert case.shape == (24, 48)
    assert case.values.shape == case.removed.shape == (4, 2)
    np.testing.assert_array_equal(case.theta, case.model.spikes)
    assert case.theta[0] == pytest.approx(1.3 * case.theta[1])
    assert case.theta[1] == pytest.approx(2 * 0.5 * 2**0.25)
    assert all(hypothesis.check(case).margin >= 0 for hypothesis in claim.hypotheses)


def test_hypotheses_read_off_the_ensemble_are_the_same_both_ways():
    claim = find_claim("bgn_overlap")
    for strength in (0.5, 1.05, 2.0):
        cells = [{**claim.cell(strength=strength, method=how), "n": 64} for how in ("band", "dense")]
        band, full = (claim.draw(cell, Stream(1)) for cell in cells)
        for hypothesis in (*claim.hypotheses, spiked.SUBCRITICAL, spiked.NONCRITICAL, spiked.GAUSSIAN_LAW):
            assert hypothesis.check(band) == hypothesis.check(full)


@pytest.mark.parametrize("noise", [{"noise": "rademacher"}, {"method": "dense"}])
@pytest.mark.parametrize("name", ["bgn_outlier", "truncation_bias", "mp_bulk"])
def test_layers_that_do_not_fit_in_memory_are_refused(name, noise):
    with pytest.raises(InvalidInput, match="`n` must be 16384 at most where layers"):
        find_claim(name).cell(n=(1000, 10_000, 100_000), **noise)


def test_a_width_that_no_memory_holds():
    # fluctuations of order n^(-1/2) with constants below 3 (g = 1), eight values: six deviations allowed
    n = 10**9
    for name in ("bgn_outlier", "bgn_overlap", "inverse_bbp", "truncation_bias"):
        claim = find_claim(name)
        case = claim.draw({**claim.cell(), "n": n}, Stream(5))
        assert case.shape == (n, n // 2)
        assert 0.01 / np.sqrt(n) < claim.left(case) < 18 / np.sqrt(n)


def test_leading_triples_are_those_of_the_decomposition():
    for shape in ((30, 20), (20, 30)):
        W = Spiked(shape, spikes=(4.0, 3.0)).sample(1).W
        U, s, V = spiked.leading_triples(W, 2)
        full = np.linalg.svd(W)
        np.testing.assert_allclose(s, full[1][:2], rtol=1e-13)
        np.testing.assert_allclose(np.abs(np.sum(U * full[0][:, :2], axis=0)), 1, rtol=1e-12)
        np.testing.assert_allclose(np.abs(np.sum(V * full[2][:2].T, axis=0)), 1, rtol=1e-12)


def test_an_unseen_spike_is_an_error_of_its_size():
    case = full_case(Spiked((64, 64), spikes=(0.5, 0.01)), draws=1)
    assert case.values[0, 1] < bulk_edge(1.0)
    assert outliers._inverse_error(case)[0, 1] == -0.01
