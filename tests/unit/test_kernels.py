"""The kernels of the GPU: run on the host by way of the C compiler, and compiled for GPUs by NVRTC."""

import ctypes
import importlib.util
import math
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import ndtri

from rmttheory.arrays import Placement, Stream, kernels
from rmttheory.matrices import _lapack, spiked_singular_values

GRID = """
void run_philox_words(long long threads, WORD *words, long long count, WORD first, WORD key0, WORD key1)
{
    for (current_thread = 0; current_thread < threads; current_thread++)
        philox_words(words, count, first, key0, key1);
}
void run_bidiagonal_squares(long long threads, REAL *s, REAL *q, REAL *e, long long batch, long long size)
{
    for (current_thread = 0; current_thread < threads; current_thread++)
        bidiagonal_squares(s, q, e, batch, size);
}
void run_narrow_bands(long long threads, REAL *band, long long batch, long long width, long long reach,
                      long long step, long long first, long long sweeps)
{
    for (current_thread = threads - 1; current_thread >= 0; current_thread--)
        narrow_bands(band, batch, width, reach, step, first, sweeps);
}
"""
"""What the GPU does with a grid of blocks, and where threads beyond the end do nothing."""


@pytest.fixture(scope="session")
def compiled(require, tmp_path_factory):
    """The kernels as functions of the host, in double and in single precision."""
    require("cc")
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "kernels.c").write_text(kernels.source() + GRID)
    libraries = []
    for options in ((), ("-DSINGLE",)):
        library = folder / f"kernels{len(libraries)}.so"
        flags = ("-O2", "-Wall", "-Werror", "-ffp-contract=off", "-shared", "-fPIC", *options)
        subprocess.run(["cc", *flags, "-o", library, folder / "kernels.c", "-lm"], check=True)
        libraries.append(ctypes.CDLL(str(library)))
    return libraries


@pytest.fixture
def gpu(compiled, monkeypatch):
    """A placement on a GPU, for which NumPy and the C compiler stand in: only the launch is another."""

    def launch(name, threads, arguments, dtype):
        blocks = -(-threads // kernels._THREADS)
        kinds = [ctypes.c_longlong(blocks * kernels._THREADS)]
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                assert argument.flags.c_contiguous
                kinds.append(ctypes.c_void_p(argument.ctypes.data))
            else:
                kind = ctypes.c_ulonglong if isinstance(argument, np.uint64) else ctypes.c_longlong
                kinds.append(kind(int(argument)))
        compiled[np.dtype(dtype) == np.float32][f"run_{name}"](*kinds)

    monkeypatch.setattr(kernels, "_library", lambda: np)
    monkeypatch.setattr(kernels, "_launch", launch)
    return Placement("cupy")


def generator(key):
    return np.random.Generator(np.random.Philox(key=key))


KEYS = [0, 1, 2**64 - 1, 2**64, 2**128 - 1, *(3**k for k in (5, 20, 40, 60, 80))]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.usefixtures("gpu")
def test_words_are_those_of_numpy(key, record_property):
    words = kernels._words((key % 2**64, key >> 64), 0, 1_000_000)
    np.testing.assert_array_equal(words, np.random.Philox(key=key).random_raw(1_000_000))
    record_property("keys of Philox, 1,000,000 words of each with NumPy's bits", f"{key:#x}")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 511, 512, 513])
@pytest.mark.usefixtures("gpu")
def test_no_word_is_written_beyond_the_end(count):
    words = np.full(count + 8, 7, dtype=np.uint64)
    sizes = (np.int64(count), np.uint64(0), np.uint64(5), np.uint64(0))
    kernels._launch("philox_words", -(-count // 4), (words[:count], *sizes), np.dtype(np.float64))
    np.testing.assert_array_equal(words[:count], np.random.Philox(key=5).random_raw(count))
    assert set(words[count:].tolist()) == {7}


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (1001,)])
@pytest.mark.parametrize("chunk", [8, 2**24])
@pytest.mark.usefixtures("gpu")
def test_numbers_of_a_stream_are_the_same_bits_on_a_gpu(monkeypatch, shape, chunk):
    monkeypatch.setattr(kernels, "_CHUNK", chunk)
    stream = Stream(11).child("x")
    for dtype in ("float64", "float32"):
        there, here = (
            stream.at(
                Placement(library, dtype=dtype),
            )
            for library in ("cupy", "numpy")
        )
        np.testing.assert_array_equal(
            there.uniform(shape, low=-0.3, high=2), here.uniform(shape, low=-0.3, high=2)
        )
        np.testing.assert_array_equal(there.signs(shape), here.signs(shape))
        assert there.uniform(shape).dtype == dtype


@pytest.mark.parametrize("chunk", [8, 2**24])
def test_portable_normals_are_quantiles_of_the_words(gpu, monkeypatch, chunk):
    monkeypatch.setattr(kernels, "_CHUNK", chunk)
    stream = Stream(5, portable=True).child("x")
    words = stream.generator().bit_generator.random_raw(21)
    expected = 0.5 * ndtri(((words >> np.uint64(12)).astype(float) + 0.5) / 2.0**52)
    for placement in (Placement(), gpu):
        np.testing.assert_array_equal(stream.at(placement).normal((7, 3), scale=0.5).reshape(-1), expected)


def test_portable_normals_are_finite_at_both_ends_and_symmetric():
    ends = np.array([0, 2**64 - 1], dtype=np.uint64)
    low, high = kernels.normal_quantiles(ends)
    assert low == -high
    assert 8.1 < high < 8.3
    u = (float(2**53 - 1) + 0.5) / 2.0**53  # what 53 bits would give
    assert ndtri(u) == math.inf


def test_portable_normals_are_normal():
    """Null: N(0, 1). Kolmogorov's distance of n = 1e5 numbers exceeds 2.69 / sqrt(n) = 0.0085 with
    probability 1e-6; a standard deviation wrong by 10 % moves it by 0.023, and is seen for certain."""
    from scipy.special import ndtr

    x = np.sort(Stream(3, portable=True).normal(100_000))
    steps = np.arange(len(x) + 1) / len(x)
    distance = max(np.max(steps[1:] - ndtr(x)), np.max(ndtr(x) - steps[:-1]))
    assert distance < 2.69 / math.sqrt(len(x))


def test_portable_is_inherited_and_changes_no_other_number():
    plain, portable = Stream(7).child("a"), Stream(7, portable=True).child("a")
    assert portable.portable
    assert not np.array_equal(plain.normal(4), portable.normal(4))
    np.testing.assert_array_equal(plain.uniform(4), portable.uniform(4))
    np.testing.assert_array_equal(plain.orthonormal(4, 2), portable.orthonormal(4, 2))


def chi_bidiagonal(p, n, seed):
    rng = np.random.default_rng(seed)
    diagonal = np.sqrt(rng.chisquare(n - np.arange(p)))
    return diagonal, np.sqrt(rng.chisquare(p - np.arange(1, p)))


def bidiagonals():
    rng = np.random.default_rng(3)
    yield "square noise", chi_bidiagonal(400, 400, 1)
    yield "tall noise", chi_bidiagonal(400, 1000, 2)
    yield "one", (np.array([-2.5]), np.zeros(0))
    yield "two", (np.array([1.0, 1e-8]), np.array([-1.0]))
    yield "graded down", (10.0 ** -np.linspace(0, 60, 120), 10.0 ** -np.linspace(0, 60, 120)[1:] / 3)
    yield "graded up", (10.0 ** -np.linspace(60, 0, 120), 10.0 ** -np.linspace(60, 0, 120)[1:] / 3)
    yield "far from 1", (1e200 * (1 + rng.random(50)), 1e200 * rng.random(49))
    yield "near 0", (1e-300 * (1 + rng.random(50)), 1e-300 * rng.random(49))
    yield "clustered", (np.ones(200), 1e-9 * rng.random(199))
    yield "equal", (np.ones(64), np.zeros(63))
    off = rng.random(99)
    off[[10, 40, 41, 90]] = 0.0
    yield "split", (1 + rng.random(100), off)
    yield "Toeplitz", (np.ones(300), np.ones(299))


CASES = dict(bidiagonals())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("gpu")
def test_singular_values_agree_with_lapack(name, record_property):
    """Both have errors of some ``p eps`` of each value at worst, and of ``sqrt(p) eps`` if roundings are
    as good as random: 1e-14 is twice that for p = 400."""
    diagonal, above = CASES[name]
    found = kernels.bidiagonal_singular_values(diagonal[None, :], above[None, :])[0]
    scale = 2.0 ** -np.round(np.log2(np.max(np.abs(diagonal))))  # LAPACK does not go to the ends of the range
    expected = _lapack.bidiagonal_singular_values(diagonal * scale, above * scale) / scale
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=0)
    error = np.max(np.abs(found - expected) / expected)
    record_property("bidiagonals, largest relative difference from LAPACK's values", f"{name} {error:.1e}")


@pytest.mark.parametrize("name", ["square noise", "tall noise", "clustered", "split", "Toeplitz", "one"])
@pytest.mark.usefixtures("gpu")
def test_single_precision_has_its_own_small_error(name):
    diagonal, above = (x.astype(np.float32) for x in CASES[name])
    found = kernels.bidiagonal_singular_values(diagonal[None, :], above[None, :])[0]
    assert found.dtype == np.float32
    expected = _lapack.bidiagonal_singular_values(diagonal.astype(float), above.astype(float))
    eps = float(np.finfo(np.float32).eps)
    np.testing.assert_allclose(found, expected, rtol=4 * math.sqrt(len(diagonal)) * eps, atol=0)


@pytest.mark.usefixtures("gpu")
def test_a_stack_is_what_its_matrices_are():
    pairs = [chi_bidiagonal(30, 40, seed) for seed in range(5)]
    diagonal, above = (np.stack(parts) for parts in zip(*pairs))
    diagonal[3] *= 1e100
    above[3] *= 1e100
    found = kernels.bidiagonal_singular_values(diagonal, above)
    for i in range(5):
        one = kernels.bidiagonal_singular_values(diagonal[i : i + 1], above[i : i + 1])[0]
        np.testing.assert_array_equal(found[i], one)


@pytest.mark.usefixtures("gpu")
def test_zeros_have_zero_values():
    found = kernels.bidiagonal_singular_values(np.zeros((1, 3)), np.zeros((1, 2)))
    np.testing.assert_array_equal(found, np.zeros((1, 3)))
    found = kernels.bidiagonal_singular_values(np.array([[1.0, 0.0, 2.0]]), np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(found, [[2.0, math.sqrt(2.0), 0.0]], rtol=1e-15, atol=0)


def random_bands(batch, p, r, seed=1):
    return np.random.default_rng(seed).standard_normal((batch, p, r + 1))


def dense(columns):
    """A band as a matrix; what of the first columns lies above the matrix does not count."""
    p, width = columns.shape
    B = np.zeros((p, p))
    for q in range(width):
        offset = width - 1 - q
        B += np.diag(columns[offset:, q], offset)
    return B


@pytest.mark.parametrize(
    ("p", "r"), [(1, 1), (2, 2), (3, 2), (3, 3), (7, 2), (40, 2), (41, 3), (60, 5), (30, 29)]
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.usefixtures("gpu")
def test_bands_become_bidiagonals_with_the_same_values(p, r, dtype):
    """Each row and column is turned some r p times, with an error of 6 eps at most, as good as random."""
    columns = random_bands(3, p, r).astype(dtype)
    columns[1] *= 1e-3 ** np.arange(p)[:, None] if p < 10 else 1e-15
    diagonal, above = kernels.bidiagonals_of_bands(columns)
    assert diagonal.dtype == above.dtype == dtype
    for band, q, e in zip(columns.astype(float), diagonal.astype(float), above.astype(float)):
        s = np.linalg.svd(dense(band), compute_uv=False)
        found = np.linalg.svd(np.diag(q) + np.diag(e, 1), compute_uv=False)
        np.testing.assert_allclose(found, s, rtol=0, atol=6 * np.sqrt(r * p) * np.finfo(dtype).eps * s[0])


def graded_bands():
    p, r = 90, 3
    columns = random_bands(1, p, r)[0]
    yield "graded down", columns * 10.0 ** -np.linspace(0, 30, p)[:, None]
    yield "graded up", columns * 10.0 ** -np.linspace(30, 0, p)[:, None]
    yield "clustered", np.concatenate([1e-9 * columns[:, :r], np.ones((p, 1))], axis=1)
    yield "repeated", np.concatenate([np.zeros((p, r)), np.ones((p, 1))], axis=1)
    yield "split", columns * (np.arange(p) % 30 > 3)[:, None]
    yield "nothing", np.zeros((p, r + 1))
    yield "huge", 1e200 * columns
    yield "tiny", 1e-200 * columns


BANDS = dict(graded_bands())


@pytest.mark.parametrize("name", BANDS)
@pytest.mark.usefixtures("gpu")
def test_singular_values_of_bands_agree_with_lapack(name, record_property):
    """A band does not determine small values relatively, so that errors are those of the largest."""
    columns = BANDS[name]
    scale = {"huge": 1e-200, "tiny": 1e200}.get(name, 1.0)
    found = kernels.bidiagonal_singular_values(*kernels.bidiagonals_of_bands(columns[None]))[0] * scale
    s = np.linalg.svd(dense(columns) * scale, compute_uv=False)
    p, r = len(columns), columns.shape[1] - 1
    np.testing.assert_allclose(found, s, rtol=0, atol=6 * np.sqrt(r * p) * 2.0**-52 * s[0])
    error = np.max(np.abs(found - s)) / (s[0] or 1.0)
    record_property("bands, largest difference from LAPACK's values over the largest", f"{name} {error:.1e}")


@pytest.mark.parametrize("r", [2, 3, 4])
@pytest.mark.usefixtures("gpu")
def test_sweeps_in_flight_do_not_meet_and_stay_in_their_band(monkeypatch, r):
    """One at a time and in the other order they give the same bits, and nothing around the band changes."""
    columns, launch, guards = random_bands(2, 37, r), kernels._launch, []
    expected = kernels.bidiagonals_of_bands(columns)

    def one_by_one(name, threads, arguments, dtype):
        band, batch, *numbers, first, sweeps = arguments
        assert threads == batch * sweeps
        for sweep in range(first, first + sweeps):
            launch(name, batch, (band, batch, *numbers, np.int64(sweep), np.int64(1)), dtype)

    def guarded(shape, dtype):
        guards.append(np.full(math.prod(shape) + 2000, 7.0, dtype))
        guards[-1][1000:-1000] = 0.0
        return guards[-1][1000:-1000].reshape(shape)

    monkeypatch.setattr(kernels, "_launch", one_by_one)
    library = SimpleNamespace(zeros=guarded, ascontiguousarray=np.ascontiguousarray)
    monkeypatch.setattr(kernels, "_library", lambda: library)
    for found, known in zip(kernels.bidiagonals_of_bands(columns), expected):
        np.testing.assert_array_equal(found, known)
    assert set(guards[0][:1000]) | set(guards[0][-1000:]) == {7.0}
    band = guards[0][1000:-1000].reshape(37, r + 3, 2)
    assert not band[:, [0, *range(3, r + 3)], :].any()


def squares_of(q, e):
    """What the kernel makes of one bidiagonal, from squares below 1; the last of ``e`` is not read."""
    squares = np.zeros_like(q)
    shape = (np.int64(1), np.int64(len(q)))
    kernels._launch("bidiagonal_squares", len(q), (squares, q, e, *shape), q.dtype)
    return squares


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.usefixtures("gpu")
def test_diagonals_come_out_bit_for_bit(dtype):
    """With nothing above them, bisection ends at the very squares."""
    q = np.random.default_rng(1).uniform(size=40).astype(dtype) ** 8
    np.testing.assert_array_equal(squares_of(q, np.zeros_like(q)), np.sort(q))


@pytest.mark.parametrize("above", [0.0, 1 / 64], ids=["split", "joined"])
@pytest.mark.usefixtures("gpu")
def test_a_pivot_of_zero_loses_no_count(above):
    """Bisection visits the first square on its way to most other values, and its pivot is 0 there."""
    low, high = np.int64(0), np.float64(4).view(np.int64)
    while (middle := low + (high - low) // 2).view(np.float64) < 0.1:
        low = middle
    q = np.array([middle.view(np.float64), 0.75, 0.0625, 0.5, 0.125, 0.03125])
    e = np.array([above, 0.25, 0.125, 0.0625, 0.25, 0.0])
    B = np.diag(np.sqrt(q)) + np.diag(np.sqrt(e[:5]), 1)
    # LAPACK's values are off by some p eps of the largest, and the smallest here is 1/400 of it
    np.testing.assert_allclose(squares_of(q, e), np.linalg.svd(B, compute_uv=False)[::-1] ** 2, rtol=1e-11)


@pytest.fixture(scope="session")
def nvrtc(require):
    require("nvrtc")
    folder = Path(next(iter(importlib.util.find_spec("nvidia.cu13").submodule_search_locations)))
    return ctypes.CDLL(str(next((folder / "lib").glob("libnvrtc.so*"))))


def compile_for(nvrtc, text, *options):
    """Compile for a GPU that need not be there; return the status and what the compiler says."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None) == 0
    flags = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = nvrtc.nvrtcCompileProgram(program, len(options), flags)
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return status, log.value.decode()


@pytest.mark.parametrize("precision", [(), ("-DSINGLE",)], ids=["double", "single"])
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90", "sm_100", "sm_120"])
def test_kernels_compile_for_gpus(nvrtc, architecture, precision, record_property):
    options = (f"--gpu-architecture={architecture}", *kernels.OPTIONS, *precision)
    assert compile_for(nvrtc, kernels.source(), *options) == (0, "")
    number = "single" if precision else "double"
    record_property("builds of kernels.cu by NVRTC without a driver", f"{architecture} {number}")


def test_a_mistake_in_a_kernel_is_seen(nvrtc):
    status, log = compile_for(
        nvrtc, kernels.source() + "KERNEL broken() { nothing; }", "--gpu-architecture=sm_90"
    )
    assert status != 0
    assert "nothing" in log


@pytest.mark.parametrize("spikes", [(), (1.5,), (1.5, 0.5), (2.0, 1.5, 1.5, 1.0)])
@pytest.mark.parametrize("k", [None, 20])
def test_bands_of_noise_are_solved_on_the_gpu(gpu, monkeypatch, spikes, k):
    monkeypatch.setattr(Placement, "asarray", lambda _, values: np.ascontiguousarray(values))
    stream = Stream(4)
    there = spiked_singular_values((90, 60), spikes, trials=9, k=k, stream=stream.at(gpu))
    here = spiked_singular_values((90, 60), spikes, trials=9, k=k, stream=stream)
    assert there.shape == here.shape
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-13 * here[0, 0])
