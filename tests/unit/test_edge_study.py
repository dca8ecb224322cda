"""The edge of huge matrices as a study: draws, their summary, and the words for it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput
from rmttheory.matrices import sample_edge
from rmttheory.studies import edge as edge_module
from rmttheory.studies import study_edge
from rmttheory.studies.edge import EdgeWork, Moments, edge_lines, edge_rows, overlap_rows


def test_moments_are_unbiased_and_none_where_one_draw_says_nothing():
    found = Moments.of(np.array([1.0, 3.0]))
    assert (found.mean, found.sd, found.standard_error) == (2.0, pytest.approx(2**0.5), pytest.approx(1.0))
    assert Moments.of(np.array([4.0])) == Moments(mean=4.0, sd=None, standard_error=None)


def test_a_draw_depends_on_its_number_alone():
    """Not on how many are asked for, nor on the number of processes."""
    few = study_edge((10**4, 10**4), spikes=(2.0,), trials=3, seed=4)
    many = study_edge((10**4, 10**4), spikes=(2.0,), trials=130, seed=4)  # in pieces of more than one
    apart = study_edge((10**4, 10**4), spikes=(2.0,), trials=3, seed=4, workers=2)
    assert few.values.tolist() == many.values[:3].tolist() == apart.values.tolist()
    assert few.left.tolist() == apart.left.tolist()
    assert len(np.unique(many.values)) == 260
    other = study_edge((10**4, 10**4), spikes=(2.0,), trials=3, seed=5)
    assert not np.any(other.values == few.values)


def test_overlaps_are_on_the_side_they_belong_to():
    """For a wide matrix the left one, on the shorter side, is the larger; limits are 0.909 and 0.714 here."""
    study = study_edge((10**6, 4 * 10**6), spikes=(3.2,), trials=5)
    (found,) = study.to_dict()["overlaps"]
    for side in ("left", "right"):
        assert found[side]["mean"] == pytest.approx(found[side]["limit"], abs=0.005)
    assert found["left"]["limit"] - found["right"]["limit"] > 0.1


def test_repeated_spikes_are_seen_as_a_plane():
    """Each vector lies in the plane of both as a lone one in its line; its share of one spike is random."""
    study = study_edge((10**6, 10**6), spikes=(2.0, 2.0), trials=5)
    assert np.allclose(study.left, 0.75, atol=0.01)
    top = sample_edge((10**6, 10**6), (2.0, 2.0), k=2, trials=5, stream=1)
    assert np.any(np.abs(top.left[:, 0, 0] - 0.75) > 0.05)


def test_a_hidden_spike_has_its_status_and_no_value():
    study = study_edge((10**6, 10**6), spikes=(0.5, 2.0), trials=4)
    document = study.to_dict()
    assert document["spikes"] == [2.0, 0.5]
    assert [one["status"] for one in document["overlaps"]] == ["supercritical", "subcritical"]
    assert document["overlaps"][1]["left"]["limit"] == 0.0
    assert document["values"][1]["predicted"]["law"] == "Tracy-Widom"
    _, after = edge_lines(study)
    assert after[0].startswith("spike 0.5 is SUBCRITICAL, below the threshold")
    assert overlap_rows(study)[1][:2] == ("0.5", "SUBCRITICAL")


def test_document_holds_everything_that_was_asked_and_drawn():
    study = study_edge((2000, 1000), spikes=(1.5,), top=3, g=0.5, trials=4, seed=7)
    document = json.loads(json.dumps(study.to_dict()))
    asked = {"rows": 2000, "columns": 1000, "aspect": 0.5, "spikes": [1.5], "g": 0.5, "seed": 7}
    assert {name: document[name] for name in asked} == asked
    assert (document["trials"], document["top"]) == (4, 3)
    draws = np.array([one["draws"] for one in document["values"]])
    assert draws.shape == (3, 4)
    assert [one["mean"] for one in document["values"]] == pytest.approx(draws.mean(axis=1))
    assert document["value_error"] < 1e-12 * draws.max()
    assert document["corner"] <= 1000


def test_numbers_are_written_as_far_as_they_are_known():
    """Two digits of the standard error, no matter how large or small the scale."""
    study = study_edge((10**9, 10**9), spikes=(2.0,), trials=5)
    (_, mean, error, _, limit, *_), _ = edge_rows(study)
    assert 1e-6 < float(error) < 1e-4
    assert len(mean) == len(limit) == (9 if float(error) < 1e-5 else 8)  # as 2.499988
    assert edge_module._to(0.02, 1234.5678) == "1234.568"
    assert edge_module._to(3e-30, 1.2345678e-28) == "1.235e-28"
    assert (edge_module._to(0.1, None), edge_module._to(0.1, 0.0)) == ("-", "0")


def test_one_trial_of_one_number():
    study = study_edge((1, 1), trials=1)
    before, after = edge_lines(study)
    assert before[1] == "1 trial, drawn without the matrix from a band of 1 column"
    assert edge_rows(study)[0][2:4] == ("-", "-")
    assert "no spikes" in before[0]
    assert "overlaps" not in after[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (10**16, 5)}, "`shape` may have at most 1e15 rows and columns, not 1e\\+16"),
        ({"shape": (0, 5)}, "`shape` must be two whole numbers >= 1"),
        ({"top": 6}, "`top` must be at most 5, the number of singular values, not 6"),
        ({"top": 0}, "`top` must be a whole number >= 1"),
        ({"g": 0.0}, "`g` must be a number > 0"),
        ({"trials": 0}, "`trials` must be a whole number >= 1"),
        ({"seed": -1}, "`seed` must be a whole number >= 0"),
        ({"workers": 0}, "`jobs` must be a whole number >= 1"),
        ({"spikes": (1.0, -2.0)}, "`spikes` must be a number > 0"),
        ({"shape": (10**9, 10**9), "top": 10**4, "spikes": (2.0,)}, "GiB of memory"),
        ({"shape": (10**9, 10**9), "trials": 10**9}, "about .* days"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        study_edge(**({"shape": (7, 5)} | arguments))


def test_memory_is_guessed_from_above():
    """Within a factor of 4 of what a draw allocates."""
    import tracemalloc

    work = EdgeWork(shape=(10**9, 10**9), spikes=(3.0, 2.0), g=1.0, k=4, trials=1, seed=0)
    tracemalloc.start()
    edge_module._draw(work, 0, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < work.cost[0] < 4 * peak
