import math

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmttheory.arrays import (
    InvalidInput,
    RmtError,
    Unavailable,
    check_choice,
    check_count,
    check_interval,
    check_matrix,
    check_shape,
    check_vector,
)


def test_errors_are_also_the_ones_that_python_users_catch():
    assert issubclass(InvalidInput, (RmtError, ValueError))
    assert issubclass(InvalidInput, ValueError)
    assert issubclass(Unavailable, RmtError)
    assert issubclass(Unavailable, ImportError)


@pytest.mark.parametrize(
    ("closed", "inside"),
    [("neither", [0.5]), ("low", [0, 0.5]), ("high", [0.5, 1]), ("both", [0, 0.5, 1])],
)
def test_interval_has_the_ends_it_says(closed, inside):
    for value in (0, 0.5, 1):
        if value in inside:
            assert check_interval(value, "x", low=0, high=1, closed=closed) == value
        else:
            with pytest.raises(InvalidInput):
                check_interval(value, "x", low=0, high=1, closed=closed)


@given(st.one_of(st.sampled_from([math.nan, math.inf, -math.inf]), st.floats(max_value=-1e-300)))
def test_no_number_outside_gets_through(value):
    with pytest.raises(InvalidInput, match="`g` must be a number > 0, not "):
        check_interval(value, "g", low=0)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_passes_an_open_line_unchanged(value):
    assert check_interval(value, "x") == value


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"low": 0}, "a number > 0"),
        ({"low": 0, "closed": "low"}, "a number >= 0"),
        ({"low": 0, "high": 0.5}, r"a number in \(0, 0.5\)"),
        ({"low": 0, "high": 1, "closed": "both"}, r"a number in \[0, 1\]"),
        ({}, "a finite number"),
    ],
)
def test_interval_names_argument_given_and_expected(limits, words):
    with pytest.raises(InvalidInput, match=rf"`alpha` must be {words}, not 'much'\."):
        check_interval("much", "alpha", **limits)


def test_interval_takes_what_is_a_number():
    assert check_interval(np.float32(0.5), "x") == 0.5
    assert check_interval(True, "x") == 1.0
    with pytest.raises(InvalidInput):
        check_interval(np.ones(2), "x")
    with pytest.raises(InvalidInput):
        check_interval(None, "x")


@pytest.mark.parametrize("value", [0, -3, 2.0, "2", None, True, np.ones(2)])
def test_count_refuses_what_does_not_count(value):
    with pytest.raises(InvalidInput, match="`trials` must be a whole number >= 1, not "):
        check_count(value, "trials")


def test_count_takes_whole_numbers_of_any_kind():
    for value in (3, np.int64(3), np.uint8(3)):
        assert check_count(value, "trials") == 3
        assert type(check_count(value, "trials")) is int
    assert check_count(0, "seed", low=0) == 0


@pytest.mark.parametrize("shape", [(0, 5), (-1, 5), (2.5, 2), (3,), (1, 2, 3), 7, "4x2", None, (True, 2)])
def test_shape_refuses_what_is_no_pair(shape):
    with pytest.raises(InvalidInput, match="`shape` must be two whole numbers >= 1, rows and columns, not "):
        check_shape(shape)


def test_shape_takes_any_pair_of_whole_numbers():
    assert check_shape([np.int64(4), 2]) == (4, 2)


def test_choice_offers_the_nearest_or_all():
    assert check_choice("torch", "library", ("numpy", "torch")) == "torch"
    with pytest.raises(InvalidInput, match=r"Unknown noise 'gausian'\. Did you mean gaussian\?"):
        check_choice("gausian", "noise", ("gaussian", "uniform"))
    with pytest.raises(InvalidInput, match=r"Unknown noise 'zzz'\. Known: gaussian, uniform\."):
        check_choice("zzz", "noise", ("uniform", "gaussian"))


CHECKS = {"matrix": (check_matrix, (3, 2)), "vector": (check_vector, (3,))}


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("library", [np, array_api_strict], ids=["numpy", "strict"])
def test_one_entry_that_is_not_finite_is_seen_anywhere(kind, bad, library):
    check, shape = CHECKS[kind]
    check(library.ones(shape), "W")
    for place in np.ndindex(*shape):
        values = np.ones(shape)
        values[place] = bad
        with pytest.raises(InvalidInput, match="`W` holds NaN or infinite entries"):
            check(library.asarray(values), "W")


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("matrix", [[1.0]], "must be an array, not list; numpy.asarray makes one"),
        ("matrix", np.ones(3), r"must be a non-empty matrix, not an array of shape \(3,\)"),
        ("matrix", np.ones((0, 3)), r"must be a non-empty matrix, not an array of shape \(0, 3\)"),
        ("matrix", np.ones((2, 2), dtype=int), "must hold real floating-point numbers, not int64"),
        ("matrix", np.ones((2, 2), dtype=complex), "must hold real floating-point numbers, not complex128"),
        ("vector", np.ones((3, 1)), r"must be a non-empty vector, not an array of shape \(3, 1\)"),
        ("vector", np.ones(0), r"must be a non-empty vector, not an array of shape \(0,\)"),
    ],
)
def test_what_is_no_such_array_is_refused_by_name(kind, value, words):
    with pytest.raises(InvalidInput, match=f"`s` {words}"):
        CHECKS[kind][0](value, "s")


def test_one_by_one_is_a_matrix_and_one_entry_a_vector():
    check_matrix(np.ones((1, 1), dtype=np.float32), "W")
    check_vector(np.ones(1), "s")
