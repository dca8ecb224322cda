import array_api_strict
import numpy as np
import pytest

from rmttheory.arrays import (
    InvalidInput,
    Placement,
    Stream,
    Unavailable,
    device,
    like,
    namespace,
    scalar,
    to_host,
)

STRICT = array_api_strict.Device("device1")
SINGLE = array_api_strict.Device("no_float64")


def test_namespace_is_that_of_the_arguments():
    x = Placement("array_api_strict", STRICT).asarray(np.ones(2))
    assert namespace(x, x) is array_api_strict
    assert namespace(np.ones(2)).asarray([1.0]).dtype == np.float64


@pytest.mark.parametrize("arguments", [([1.0, 2.0],), (np.ones(2), array_api_strict.ones(2)), ("x",)])
def test_what_shares_no_library_is_refused_by_name(arguments):
    with pytest.raises(InvalidInput, match=r"arrays of one library, not .*(list|ndarray|str)"):
        namespace(*arguments)


def test_to_host_gives_a_numpy_array_as_it_is():
    x = np.ones(3)
    assert to_host(x) is x


def test_to_host_and_back_keeps_every_bit():
    values = np.array([[0.1, np.pi], [-0.0, 5e-324]])
    there = Placement("array_api_strict", STRICT).asarray(values)
    assert device(there) == STRICT
    back = to_host(there)
    assert type(back) is np.ndarray
    np.testing.assert_array_equal(back.view(np.int64), values.view(np.int64))


def test_torch_arrays_that_need_a_gradient_reach_the_host(require):
    require("torch")
    x = Placement("torch").asarray(np.arange(3.0))
    np.testing.assert_array_equal(to_host(x.requires_grad_()), [0.0, 1.0, 2.0])


def test_scalar_takes_a_number_and_nothing_larger():
    assert scalar(Placement("array_api_strict", STRICT).asarray(np.array(2.5))) == 2.5
    with pytest.raises(TypeError):
        scalar(np.ones(2))


@pytest.mark.parametrize(("target", "dtype"), [(STRICT, "float64"), (SINGLE, "float32")])
def test_like_takes_library_device_and_dtype(target, dtype):
    x = Placement("array_api_strict", target, dtype).asarray(np.zeros(1))
    moved = like(np.array([0.5, 2.0]), x)
    assert device(moved) == target
    assert moved.dtype == getattr(array_api_strict, dtype)
    np.testing.assert_array_equal(to_host(moved), [0.5, 2.0])


def test_float64_is_cast_before_it_is_moved():
    with pytest.raises(ValueError, match="float64"):
        array_api_strict.asarray(np.ones(1), device=SINGLE)  # what the device does by itself
    assert (
        Placement("array_api_strict", SINGLE, "float32").asarray(np.ones(1)).dtype == array_api_strict.float32
    )


def test_whole_numbers_stay_whole():
    assert Placement(dtype="float32").asarray(np.arange(3)).dtype == np.arange(3).dtype


def test_read_only_values_can_be_placed(require):
    require("torch")
    values = np.ones(3)
    values.flags.writeable = False
    placed = Placement("torch").asarray(
        values
    )  # torch warns of memory that it may write to; warnings are errors
    placed[0] = 5.0
    assert values[0] == 1.0


def test_unknown_library_and_dtype_name_the_nearest():
    with pytest.raises(InvalidInput, match=r"Unknown array library 'pytorch'.*torch"):
        Placement("pytorch")
    with pytest.raises(InvalidInput, match=r"Unknown dtype 'float16'.*float"):
        Placement(dtype="float16")


@pytest.mark.parametrize("library", ["cupy", "torch", "array_api_strict"])
def test_a_missing_library_says_how_to_get_it(library, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("rmttheory.arrays.backend.importlib.import_module", missing)
    with pytest.raises(Unavailable, match=f"{library} is not installed: pip install") as caught:
        _ = Placement(library).namespace
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize("draw", [Stream.normal, Stream.uniform, Stream.signs, Stream.orthonormal])
@pytest.mark.parametrize("portable", [True, False])
def test_a_missing_gpu_is_one_sentence_wherever_arrays_are_made(draw, portable, require, monkeypatch):
    require("cupy")
    monkeypatch.setattr("array_api_compat.cupy.is_available", lambda: False)
    stream = Stream(0, placement=Placement("cupy"), portable=portable)
    with pytest.raises(Unavailable, match=r"^No NVIDIA GPU with a driver was found on this machine; .*\.$"):
        draw(stream, *((4, 2) if draw is Stream.orthonormal else (4,)))
