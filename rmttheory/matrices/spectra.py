"""Singular values of an array, wherever it lives, and what to compare them with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    RmtError,
    check_choice,
    check_matrices,
    check_vector,
    device,
    namespace,
    to_host,
)
from rmttheory.arrays.devices import decomposes, free_memory, linear_algebra
from rmttheory.matrices.krylov import TopValues, attempt, is_array, top_singular_values, within_range
from rmttheory.matrices.krylov import check_top as check_top


class Law(Protocol):
    """A law on the real line that a spectrum can be compared with."""

    def cdf(self, x: HostArray) -> HostArray:
        """Probability of ``(-inf, x]``."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum:
    """Singular values and how they were found.

    Attributes
    ----------
    values : array, shape (k,) or (batch, k)
        Descending; library, device and dtype of the matrix, or of the stack of matrices.
    accuracy : float
        Estimated absolute error of the least accurate value.
    method : {"krylov", "gram", "svd"}
        What was computed in the end.
    why : str
        Why that method, in one sentence.
    """

    values: Array
    accuracy: float
    method: str
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "values": to_host(self.values).tolist(),
            "accuracy": self.accuracy,
            "method": self.method,
            "why": self.why,
        }


Method = Literal["auto", "svd", "gram", "krylov"]


def singular_values(W: Any, k: int | None = None, *, method: Method = "auto") -> Array:
    """Return the singular values of ``W`` in descending order: the values of `spectrum`."""
    return spectrum(W, k, method=method).values


def spectrum(W: Any, k: int | None = None, *, method: Method = "auto") -> Spectrum:
    """Compute singular values, with the method chosen by what is asked, shape and accuracy.

    *Few of a large matrix*: block Krylov (`top_singular_values`), taken when ``p^2 >= 1500 n k^(1/3)``,
    where ``p <= n`` are the sides; that is where it was measured to be 1.4 times faster than the Gram matrix
    or more.

    *Otherwise*: the eigenvalues of the Gram matrix cost a third of a singular value decomposition or less,
    but squaring loses small values: the error of ``s`` is about ``eps s_1^2 / (2 s)``, against ``eps s_1``.
    ``auto`` takes the Gram matrix while the smallest value asked for keeps a third of its digits, in double
    precision where single does not give that (nearly square matrices), and the decomposition otherwise.

    Parameters
    ----------
    W : array, shape (n, m) or (batch, n, m), or whatever `top_singular_values` takes
        Real floating-point entries, all finite. Any library and device. A stack of matrices is decomposed by
        one method, as many at a time as memory holds, and never by block Krylov. What is no array has no
        entries to decompose: it needs ``k``.
    k : int, optional
        Only the largest ``k`` values.
    method : {"auto", "svd", "gram", "krylov"}

    Raises
    ------
    InvalidInput
        If ``W`` is not such a matrix, ``k`` is not in 1 ... min(n, m), or the method is unknown, takes no
        stacks, needs the entries of a matrix that has none, or cannot take one so large (``svd`` with
        CuPy, from 2^31 entries).
    RmtError
        If the squares of the values do not add up to those of the entries, or singular vectors miss their
        equations: the linear algebra library returned a wrong spectrum.
    """
    check_choice(method, "method", ("auto", "svd", "gram", "krylov"))
    if not is_array(W) and hasattr(W, "shape"):
        if k is None or method in ("svd", "gram"):
            msg = f"A {type(W).__name__} is only multiplied: give `k`, and method 'auto' or 'krylov'."
            raise InvalidInput(msg)
        return _by_krylov(top_singular_values(W, k), "The matrix is only multiplied, never formed.")
    check_matrices(W, "W")
    k = check_top(k, min(W.shape[-2:]))
    if W.ndim == 3:
        return _of_stack(W, k, method)
    if method == "krylov":
        return _by_krylov(top_singular_values(W, k), "Asked for.")
    if method == "svd":
        return _by_svd(W, k)
    if method == "gram":
        return _by_gram(W, k)
    return _few(W, k) or _by_accuracy(W, k)


def spacing_ratios(values: Array) -> Array:
    """Ratios of the smaller to the larger of neighbouring gaps, which need no unfolding.

    Their mean is 0.5307 for the spectra of random matrices with real entries and ``2 log 2 - 1 = 0.3863`` for
    independent points.

    Parameters
    ----------
    values : array, shape (k,)
        At least three values in any order.

    Returns
    -------
    array, shape (k - 2,)
        In [0, 1]; 0 where two gaps in a row vanish.

    Raises
    ------
    InvalidInput
        If there are fewer than three values or one is not finite.

    Source: V. Oganesyan and D. A. Huse, Phys. Rev. B 75 (2007); means: Y. Y. Atas, E. Bogomolny, O. Giraud,
    G. Roux, Phys. Rev. Lett. 110 (2013).
    """
    check_vector(values, "values")
    if values.shape[0] < 3:
        msg = f"`values` must hold at least three values, not {values.shape[0]}."
        raise InvalidInput(msg)
    xp = namespace(values)
    ordered = xp.sort(values)
    gaps = ordered[1:] - ordered[:-1]
    left, right = gaps[:-1], gaps[1:]
    small, large = xp.where(left < right, left, right), xp.where(left < right, right, left)
    return xp.where(large > 0, small, xp.zeros_like(small)) / xp.where(large > 0, large, xp.ones_like(large))


def kolmogorov_distance(values: Array, law: Law) -> float:
    """Largest difference between the empirical distribution function of ``values`` and that of ``law``.

    Exact: both sides of every jump are compared. For a law with an atom at 0 (``law.atom``), values that are
    0 up to rounding count as 0.

    Parameters
    ----------
    values : array, shape (k,)
        In any order.
    law : object with a method ``cdf``
        On the scale of the values.

    Raises
    ------
    InvalidInput
        If a value is not finite.
    """
    check_vector(values, "values")
    points = to_host(values).astype(np.float64)
    atom = float(getattr(law, "atom", 0.0))
    if atom > 0.0:
        noise = len(points) * float(np.finfo(to_host(values).dtype).eps) * np.max(np.abs(points))
        points = np.where(np.abs(points) <= noise, 0.0, points)
    ordered = np.sort(points)
    places = np.append(ordered, 0.0) if atom > 0.0 else ordered
    theory = np.asarray(law.cdf(places), dtype=np.float64)
    at = np.searchsorted(ordered, places, side="right") / len(ordered) - theory
    before = np.searchsorted(ordered, places, side="left") / len(ordered) - (theory - atom * (places == 0.0))
    return float(max(np.max(np.abs(at)), np.max(np.abs(before))))


_DOUBLE_EPS = float(np.finfo(np.float64).eps)


def _few(W: Array, k: int) -> Spectrum | None:
    """Top values from products, where that is faster; None where it is not, or takes too long after all."""
    p, n = sorted(W.shape)
    if p**2 < 1500 * n * k ** (1 / 3):
        return None
    found, converged = attempt(W, k, limit=round(15 * p ** (1 / 3)))  # three times what a flat edge takes
    return _by_krylov(found, f"{k} of {p} values take few products with the matrix.") if converged else None


def _by_krylov(found: TopValues, why: str) -> Spectrum:
    return Spectrum(values=found.values, accuracy=float(np.max(found.errors)), method="krylov", why=why)


def _of_stack(W: Array, k: int, method: Method) -> Spectrum:
    """Spectra of a stack, in pieces that fit; matrix by matrix if the squares of one leave the range."""
    if method == "krylov":
        msg = "Method 'krylov' takes one matrix; use 'auto', 'gram' or 'svd' for a stack."
        raise InvalidInput(msg)
    xp = namespace(W)
    methods: dict[str, Callable[[Array, int], Spectrum]] = {
        "auto": _by_accuracy,
        "svd": _by_svd,
        "gram": _by_gram,
    }
    compute = methods[method]
    if within_range(W)[1] == 1.0 == within_range(_smallest_peak(W))[1]:
        count, size = W.shape[0], stack_size(W)
        parts = [compute(W[i : min(i + size, count), :, :], k) for i in range(0, count, size)]
        values = xp.concat([part.values for part in parts], axis=0)
    else:
        parts = [compute(W[i, :, :], k) for i in range(W.shape[0])]
        values = xp.stack([part.values for part in parts])
    worst = max(parts, key=lambda part: part.accuracy)
    return Spectrum(values=values, accuracy=worst.accuracy, method=worst.method, why=worst.why)


def _smallest_peak(W: Array) -> Array:
    xp = namespace(W)
    peaks = xp.max(xp.abs(W), axis=(1, 2))
    return xp.min(xp.where(peaks > 0, peaks, xp.ones_like(peaks)))


def stack_size(W: Array) -> int:
    """How many matrices like the last two axes of ``W`` are decomposed at a time.

    As many as half of the memory holds that a GPU has left, and as cuSOLVER can count.
    """
    n, m = W.shape[-2:]
    p = min(n, m)
    bytes_each = 8 * (n * m + 4 * p * p)  # a copy, the Gram matrix, its copy and the workspace
    return int(max(1, min(free_memory(W) / 2 / bytes_each, 2**30 / p**2)))


def _by_accuracy(W: Array, k: int) -> Spectrum:
    """The Gram matrix while that keeps a third of the digits, and the decomposition otherwise."""
    xp = namespace(W)
    eps = float(xp.finfo(W.dtype).eps)
    single, nearly_square = eps > _DOUBLE_EPS, min(W.shape[-2:]) > 0.9 * max(W.shape[-2:])
    if not (single and nearly_square):
        values, errors = _gram(W, k)
        poor = errors > eps ** (1 / 3) * to_host(values[..., -1])
        if not np.any(poor):
            why = "The Gram matrix keeps a third of the digits of every value."
            return Spectrum(values=values, accuracy=float(np.max(errors)), method="gram", why=why)
        if not np.all(poor):
            return _with_others(W, k, values, errors, poor)
    lost = "Squaring would lose more than two thirds of the digits of the smallest value"
    if single and _has_double(W):
        return _by_gram(W, k, xp.float64, f"{lost} in single precision; double has them to spare.")
    if not decomposes(W):
        return _by_gram(W, k, why=f"{lost}, but cuSOLVER decomposes no matrix so large.")
    return _by_svd(W, k, f"{lost}.")


def _with_others(W: Array, k: int, values: Array, errors: HostArray, poor: HostArray) -> Spectrum:
    """Spectra of a stack from Gram matrices, but for the few matrices that have lost too many digits so.

    One square matrix in some hundred is close to singular, and CuPy decomposes a stack matrix by matrix.
    """
    accuracy = float(np.max(errors[~poor]))
    for i in np.flatnonzero(poor).tolist():
        found = _by_accuracy(W[i, :, :], k)
        values[i, :] = found.values
        accuracy = max(accuracy, found.accuracy)
    why = f"Gram matrices keep a third of the digits of every value, but for {np.sum(poor)} of {len(poor)}."
    return Spectrum(values=values, accuracy=accuracy, method="gram", why=why)


def _by_svd(W: Array, k: int, why: str = "Asked for.") -> Spectrum:
    if not decomposes(W):
        msg = f"cuSOLVER decomposes no matrix as large as {tuple(W.shape)}; use method 'gram'."
        raise InvalidInput(msg)
    A, scale = within_range(W)
    with linear_algebra(A):
        s = namespace(A).linalg.svdvals(A)
    ends = _check_energy(A, s, k)
    error = _backward_error(A) * max(largest for largest, _ in ends) / scale
    return Spectrum(values=s[..., :k] * (1.0 / scale), accuracy=error, method="svd", why=why)


def _by_gram(W: Array, k: int, dtype: Any = None, why: str = "Asked for.") -> Spectrum:
    values, errors = _gram(W, k, dtype)
    return Spectrum(values=values, accuracy=float(np.max(errors)), method="gram", why=why)


def _gram(W: Array, k: int, dtype: Any = None) -> tuple[Array, HostArray]:
    """Values from the Gram matrix, formed in ``dtype``, and the error of the worst of each matrix."""
    xp = namespace(W)
    A, scale = within_range(xp.astype(W, dtype or W.dtype, copy=False))
    At = xp.matrix_transpose(A)
    with linear_algebra(A):
        squares = xp.flip(xp.linalg.eigvalsh(At @ A if A.shape[-2] >= A.shape[-1] else A @ At), axis=-1)
    s = xp.sqrt(xp.where(squares > 0, squares, xp.zeros_like(squares)))
    rounding, relative = 0.5 * float(xp.finfo(W.dtype).eps), _backward_error(A)
    errors = [
        max(_error_of_root(smallest, relative * largest**2), rounding * largest)
        for largest, smallest in _check_energy(A, s, k)
    ]
    values = xp.astype(s[..., :k] * (1.0 / scale), W.dtype, copy=False)
    return values, np.asarray(errors) / scale


def _error_of_root(s: float, shift: float) -> float:
    """How far ``s`` may be from the root of a square that is within ``shift`` of its own."""
    if s * s > shift:
        return shift / (s + math.sqrt(s * s - shift))
    return max(s, math.sqrt(s * s + shift) - s)


def _backward_error(W: Array) -> float:
    """Relative change of the matrix that explains the error of its eigenvalues: ``sqrt(p) eps``, measured."""
    return math.sqrt(min(W.shape[-2:])) * float(namespace(W).finfo(W.dtype).eps)


def _check_energy(W: Array, s: Array, k: int) -> list[tuple[float, float]]:
    """Check a spectrum, and return the largest and the ``k``-th value of each matrix: one synchronisation.

    Values descend to 0 or more, and their squares add up to those of the entries. Sums of ``n + m`` terms and
    an eigenvalue decomposition that is exact for a matrix within a few ``eps`` explain a relative difference
    of ``4 (n + m) eps``.
    """
    xp = namespace(W)
    steps = s - xp.concat([s[..., 1:], xp.zeros_like(s[..., :1])], axis=-1)
    energies = xp.sum(xp.sum(W * W, axis=-1), axis=-1), xp.sum(s * s, axis=-1)
    facts = xp.stack([*energies, xp.min(steps, axis=-1), s[..., 0], s[..., k - 1]])
    entries, values, step, largest, smallest = to_host(facts).astype(np.float64).reshape(5, -1)
    slack = 4.0 * sum(W.shape[-2:]) * float(xp.finfo(W.dtype).eps) * entries
    wrong = ~((np.abs(entries - values) <= slack) & (step >= 0.0))
    if np.any(wrong):
        i = int(np.argmax(wrong))
        msg = (
            f"The squares of the singular values add up to {values[i]!r}, those of the entries to "
            f"{entries[i]!r}{'' if step[i] >= 0 else ', and they do not descend to 0'}: "
            "the linear algebra library returned a wrong spectrum; try the other method or device."
        )
        raise RmtError(msg)
    return list(zip(largest.tolist(), smallest.tolist()))


def _has_double(W: Array) -> bool:
    info = namespace(W).__array_namespace_info__()
    return "float64" in info.dtypes(device=device(W), kind="real floating")
