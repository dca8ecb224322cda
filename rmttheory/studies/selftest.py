"""What only the machine at hand can show: whether its device computes rightly, how fast, in how much memory.

Most of the package is proved on the CPU. The accuracy of a GPU's linear algebra, its memory and its speed
cannot be; this measures them, in a form that can be pasted into a report of a fault.
"""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rmttheory import __version__
from rmttheory.arrays import (
    Array,
    HostArray,
    Placement,
    Stream,
    Unavailable,
    find_placement,
    namespace,
    scalar,
    to_host,
)
from rmttheory.arrays.devices import describe, memory_taken
from rmttheory.arrays.kernels import bidiagonal_singular_values
from rmttheory.matrices import Spiked, null_singular_values, spectrum, spiked_singular_values
from rmttheory.matrices.spectra import Method
from rmttheory.networks import Dataset, Network, initial_network, loss_and_gradients, train
from rmttheory.studies.runner import Watcher
from rmttheory.studies.style import number

EPS = float(np.finfo(np.float64).eps)
_LONG = 2.0  # seconds; what takes longer is not repeated


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison: ``error`` is what was measured and ``allowed`` what it may be, in the same unit."""

    name: str
    error: float
    allowed: float
    fault: str = ""

    @property
    def passed(self) -> bool:
        """Whether the device computed rightly."""
        return not self.fault and self.error <= self.allowed

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, None for what is no number."""
        error, allowed = (x if math.isfinite(x) else None for x in (self.error, self.allowed))
        return {
            "name": self.name,
            "passed": self.passed,
            "error": error,
            "allowed": allowed,
            "fault": self.fault,
        }


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one call until its result is there, and bytes that it took of a GPU beside its arguments."""

    name: str
    seconds: float
    bytes_taken: int | None


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """What was checked and measured, and on what."""

    environment: dict[str, str]
    checks: tuple[Check, ...]
    timings: tuple[Timing, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "environment": self.environment,
            "passed": self.passed,
            "checks": [check.to_dict() for check in self.checks],
            "timings": [vars(timing) for timing in self.timings],
        }


def self_test(device: str | None = None, *, seed: int = 0, watcher: Watcher | None = None) -> SelfTest:
    """Check and time what the package does on a device.

    Parameters
    ----------
    device : {"cpu", "cuda"}, optional
        A GPU if there is one and the CPU otherwise, if omitted.
    seed : int
    watcher : Watcher, optional
        Told of each check and timing.

    Raises
    ------
    InvalidInput
        If there is no such kind of device.
    Unavailable
        If a GPU is asked for and there is none.
    """
    watcher = watcher or Watcher()
    placement = _best_placement(watcher) if device is None else find_placement(device)
    stream = Stream(seed, placement=placement, portable=True).child("selftest")
    checks, timings = [], []
    for name, run in _checks(stream):
        checks.append(_check(name, run))
        watcher.note(_check_line(checks[-1]))
    for name, call in _timings(stream):
        timings.append(_time(name, call, placement))
        watcher.note(_timing_line(timings[-1]))
    environment = {
        "rmttheory": __version__,
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **describe(placement),
    }
    return SelfTest(environment=environment, checks=tuple(checks), timings=tuple(timings))


def self_test_lines(result: SelfTest) -> list[str]:
    """Say what was found, to be pasted into a report of a fault."""
    failed = sum(not check.passed for check in result.checks)
    return [
        *(f"{name}: {value}" for name, value in result.environment.items()),
        "",
        "check: largest error, and what is allowed",
        *(_check_line(check) for check in result.checks),
        "",
        "time: median of three, one where it takes over 2 s; memory: what the call took of the GPU",
        *(_timing_line(timing) for timing in result.timings),
        "",
        f"{len(result.checks)} checks, {failed or 'none'} failed.",
    ]


def _check_line(check: Check) -> str:
    verdict = "ok    " if check.passed else "FAILED"
    measured = check.fault or f"{number(check.error, 2)} <= {number(check.allowed, 2)}"
    return f"{verdict} {check.name}: {measured}"


def _timing_line(timing: Timing) -> str:
    taken = "" if timing.bytes_taken is None else f", {number(timing.bytes_taken / 2**20)} MiB"
    return f"{timing.name}: {number(1e3 * timing.seconds)} ms{taken}"


def _best_placement(watcher: Watcher) -> Placement:
    try:
        return find_placement("cuda")
    except Unavailable as reason:
        watcher.note(f"{reason} So the CPU is tested.")
        return find_placement("cpu")


def _check(name: str, run: Callable[[], tuple[float, float]]) -> Check:
    try:
        error, allowed = run()
    except Exception as reason:  # a library that fails is what is looked for
        fault = f"{type(reason).__name__}: {reason}"
        return Check(name=name, error=math.nan, allowed=math.nan, fault=fault)
    return Check(name=name, error=float(error), allowed=float(allowed))


def _time(name: str, run: Callable[[], Array], placement: Placement) -> Timing:
    """Time a call; the first one, which compiles, does not count, and tells the memory."""

    def once() -> float:
        began = time.perf_counter()
        result = run()
        scalar(namespace(result).max(result))  # waits for it
        return time.perf_counter() - began

    with memory_taken(placement) as taken:
        once()
    seconds = [once()]
    if seconds[0] < _LONG:
        seconds += [once(), once()]
    return Timing(name=name, seconds=statistics.median(seconds), bytes_taken=taken[0] if taken else None)


def _checks(stream: Stream) -> Iterator[tuple[str, Callable[[], tuple[float, float]]]]:
    on_gpu = stream.placement.library == "cupy"
    yield "1e6 uniform numbers, different bits", partial(_different, stream, Stream.uniform)
    yield "1e6 signs, different bits", partial(_different, stream, Stream.signs)
    yield "1e6 portable normal numbers, relative error", partial(_normals, stream)
    for dtype in ("float64", "float32"):
        own = stream.at(replace(stream.placement, dtype=dtype))
        for n in (33, 1000, *((8192,) if on_gpu else ())):
            yield f"svd and Gram matrix of {n} x {n // 2}, {dtype}", partial(_methods, own, n)
        yield f"spectrum of 500 x 500 and the CPU's, {dtype}", partial(_square, own)
        for size in (16, 100):
            yield f"40 spectra of {size} x {size}, stacked and single, {dtype}", partial(_stack, own, size)
        yield f"gradients and the CPU's, {dtype}", partial(_gradients, own)
        yield f"network after 20 steps and the CPU's, {dtype}", partial(_training, own)
    for count, spikes in (("no spike", ()), ("one spike", (1.5,)), ("two spikes", (1.5, 1.2))):
        yield f"bands of 2,500 x 2,000 with {count} and the CPU's", partial(_band, stream, spikes)
    yield "mean largest value of dense layers and without the matrix, 5 s.e.", partial(_law, stream)
    if on_gpu:
        yield "determinant of a bidiagonal with values from 1 to 1e-60", partial(_graded, stream.placement)


def _host(stream: Stream) -> Stream:
    return stream.at(Placement(dtype=stream.placement.dtype))


def _largest(difference: HostArray) -> float:
    return float(np.max(np.abs(difference)))


def _different(stream: Stream, draw: Callable[[Stream, int], Array]) -> tuple[float, float]:
    there, here = to_host(draw(stream, 1_000_000)), draw(_host(stream), 1_000_000)
    return float(np.count_nonzero(there.view(np.uint64) != here.view(np.uint64))), 0.0


def _normals(stream: Stream) -> tuple[float, float]:
    """Logarithm and square root are within an ulp or two, in the tails; rational functions within some."""
    there, here = to_host(stream.normal(1_000_000)), _host(stream).normal(1_000_000)
    return _largest((there - here) / here), 32 * EPS


def _methods(stream: Stream, n: int) -> tuple[float, float]:
    W = Spiked((n, n // 2), (2.0,)).sample(stream).W
    svd, gram = (spectrum(W, method=method) for method in ("svd", "gram"))
    return _largest(to_host(svd.values) - to_host(gram.values)), svd.accuracy + gram.accuracy


def _square(stream: Stream) -> tuple[float, float]:
    W = Spiked((500, 500)).sample(stream).W
    found = spectrum(W)
    reference = np.linalg.svd(to_host(W).astype(np.float64), compute_uv=False)
    return _largest(to_host(found.values) - reference), found.accuracy + math.sqrt(500) * EPS * reference[0]


def _stack(stream: Stream, size: int) -> tuple[float, float]:
    layers = [Spiked((size, size)).sample(stream.child(i)).W for i in range(40)]
    stacked = spectrum(namespace(*layers).stack(layers))
    singly = [spectrum(W) for W in layers]
    difference = to_host(stacked.values) - np.stack([to_host(one.values) for one in singly])
    return _largest(difference), stacked.accuracy + max(one.accuracy for one in singly)


def _network(stream: Stream, sizes: tuple[int, ...] = (50, 40, 5)) -> Network:
    """The same network everywhere: its numbers are drawn on the host."""
    host = initial_network(sizes, stream=_host(stream).child("network"))
    return host.at(stream.placement)


def _data(inputs: int = 50, classes: int = 5, count: int = 200) -> Dataset:
    rng = np.random.default_rng(0)
    y = np.arange(count) % classes
    x = rng.standard_normal((classes, inputs))[y] + 0.3 * rng.standard_normal((count, inputs))
    return Dataset(
        name="clusters",
        source="drawn here",
        licence="none",
        classes=classes,
        train_x=x.astype(np.float32),
        train_y=y,
        test_x=x.astype(np.float32),
        test_y=y,
    )


def _gradients(stream: Stream) -> tuple[float, float]:
    """Sums of 50 and 200 products of numbers up to 10, rounded otherwise: some hundred eps."""
    data = _data()
    found, expected = (
        loss_and_gradients(_network(own), np.asarray(data.train_x), data.train_y, l2=1e-3)[1]
        for own in (stream, _host(stream))
    )
    errors = [_largest(to_host(a.weight) - b.weight) for a, b in zip(found, expected)]
    return max(errors), 1000 * float(np.finfo(stream.placement.dtype).eps)


def _training(stream: Stream) -> tuple[float, float]:
    """Twenty steps at rate 0.05 with momentum add at most the errors of 200 gradients."""
    found, expected = (
        train(_network(own), _data(), epochs=5, rate=0.05, batch=50, rng=1).network.layers
        for own in (stream, _host(stream))
    )
    errors = [_largest(to_host(a.weight) - to_host(b.weight)) for a, b in zip(found, expected)]
    return max(errors), 200 * 1000 * 0.05 * float(np.finfo(stream.placement.dtype).eps)


def _band(stream: Stream, spikes: tuple[float, ...]) -> tuple[float, float]:
    shape = (2000, 2500)
    there, here = (
        spiked_singular_values(shape, spikes, trials=8, stream=own) for own in (stream, _host(stream))
    )
    return _largest(there - here), 1e-13 * float(here[0, 0])


def _law(stream: Stream) -> tuple[float, float]:
    """A hundred dense layers and a thousand without a matrix."""
    model = Spiked((100, 60), (2.0,))
    dense = model.singular_values(stream.child("dense"), trials=100, method="dense")[:, 0]
    band = model.singular_values(stream.child("band"), trials=1000, method="band")[:, 0]
    error = math.sqrt(float(np.var(dense)) / len(dense) + float(np.var(band)) / len(band))
    return abs(float(np.mean(dense) - np.mean(band))), 5.0 * error


def _graded(placement: Placement) -> tuple[float, float]:
    """The product of the values is that of the diagonal; each has a relative error of ``4 p eps`` at most."""
    diagonal = 10.0 ** -np.linspace(0.0, 60.0, 120)
    above = diagonal[1:] / 3.0
    s = to_host(bidiagonal_singular_values(*(placement.asarray(x[None, :]) for x in (diagonal, above))))
    return abs(float(np.sum(np.log(s)) - np.sum(np.log(diagonal)))), 120 * 4 * 120 * EPS


def _timings(stream: Stream) -> Iterator[tuple[str, Callable[[], Array]]]:
    on_gpu = stream.placement.library == "cupy"
    for n in (1000, *((4096, 8192, 16384) if on_gpu else ())):
        yield from _times_of_one(stream, n)
    for count, size in ((10_000, 16), (1000, 100)) if on_gpu else ((1000, 16), (100, 100)):
        W = stream.normal((count, size, size))
        for method in ("auto", "gram", "svd"):
            yield f"{count:,} spectra of {size} x {size} by {method}", partial(_values, W, method=method)
    for p, trials in ((8192, 1), (8192, 32), (32768, 1)) if on_gpu else ((2000, 1),):
        draw = partial(null_singular_values, (p, p), trials=trials, stream=stream)
        yield f"spectra of noise without the matrix, p = {p:,}, {trials} at a time", draw
    yield from _times_of_a_network(stream, width=2048 if on_gpu else 512, count=4096 if on_gpu else 1024)


def _times_of_one(stream: Stream, n: int) -> Iterator[tuple[str, Callable[[], Array]]]:
    where = f"{n:,} x {n:,}"
    W = stream.normal((n, n))
    yield f"portable normal numbers, {where}", partial(stream.normal, (n, n))
    yield f"product, {where}", lambda: W @ W
    yield f"spectrum by gram, {where}", partial(_values, W, method="gram")
    if n <= 8192:
        yield f"spectrum by svd, {where}", partial(_values, W, method="svd")
    yield f"top 5 values by krylov, {where}", partial(_values, W, 5, method="krylov")
    single = namespace(W).astype(W, namespace(W).float32)
    yield f"spectrum by gram, {where}, float32", partial(_values, single, method="gram")


def _times_of_a_network(
    stream: Stream, *, width: int, count: int
) -> Iterator[tuple[str, Callable[[], Array]]]:
    single = stream.at(replace(stream.placement, dtype="float32"))
    sizes, data = (784, width, width, 10), _data(784, 10, count)
    network, x = _network(single, sizes), single.normal((count, 784))

    def epoch() -> Array:
        trained = train(network, data, epochs=1, rate=0.001, batch=256, rng=0)
        return trained.network.layers[0].weight

    name = f"{'-'.join(map(str, sizes))}, float32"
    yield f"logits of {count:,} samples, {name}", lambda: network.unchecked_logits(x)
    yield f"an epoch of {count:,} samples, 256 a step, {name}", epoch


def _values(W: Array, k: int | None = None, *, method: Method) -> Array:
    return spectrum(W, k, method=method).values
