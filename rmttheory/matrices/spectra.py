"""Singular values of an array, wherever it lives, and what to compare them with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    RmtError,
    check_choice,
    check_count,
    check_matrix,
    check_vector,
    device,
    namespace,
    scalar,
    to_host,
)


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
    values : array, shape (k,)
        Descending; library, device and dtype of the matrix.
    accuracy : float
        Estimated absolute error of the least accurate value.
    method : {"gram", "svd"}
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


def singular_values(
    W: Array, k: int | None = None, *, method: Literal["auto", "svd", "gram"] = "auto"
) -> Array:
    """Return the singular values of ``W`` in descending order: the values of `spectrum`."""
    return spectrum(W, k, method=method).values


def spectrum(W: Array, k: int | None = None, *, method: Literal["auto", "svd", "gram"] = "auto") -> Spectrum:
    """Compute singular values, with the method chosen by aspect ratio and accuracy.

    The eigenvalues of the Gram matrix cost a third of a singular value decomposition or less, but squaring
    loses small values: the error of ``s`` is about ``eps s_1^2 / (2 s)``, against ``eps s_1``. ``auto`` takes
    the Gram matrix while the smallest value asked for keeps a third of its digits, in double precision where
    single does not give that (nearly square matrices), and the decomposition otherwise.

    Parameters
    ----------
    W : array, shape (n, m)
        Real floating-point entries, all finite. Any library and device.
    k : int, optional
        Only the largest ``k`` values.
    method : {"auto", "svd", "gram"}

    Raises
    ------
    InvalidInput
        If ``W`` is not such a matrix, ``k`` is not in 1 ... min(n, m), or the method is unknown.
    RmtError
        If the squares of the values do not add up to those of the entries: the linear algebra library
        returned a wrong spectrum.
    """
    check_matrix(W, "W")
    check_choice(method, "method", ("auto", "svd", "gram"))
    k = check_top(k, min(W.shape))
    if method == "svd":
        return _by_svd(W, k, "Asked for.")
    if method == "gram":
        return _by_gram(W, k, W.dtype, "Asked for.")
    eps = float(namespace(W).finfo(W.dtype).eps)
    single, nearly_square = eps > _DOUBLE_EPS, min(W.shape) > 0.9 * max(W.shape)
    if not (single and nearly_square):
        found = _by_gram(W, k, W.dtype, "The Gram matrix keeps a third of the digits of every value.")
        if found.accuracy <= eps ** (1 / 3) * scalar(found.values[-1]):
            return found
    lost = "Squaring would lose more than two thirds of the digits of the smallest value"
    if single and _has_double(W):
        return _by_gram(W, k, namespace(W).float64, f"{lost} in single precision; double has them to spare.")
    return _by_svd(W, k, f"{lost}.")


def check_top(k: int | None, count: int) -> int:
    """Return how many of ``count`` values are wanted: all for ``None``.

    Raises
    ------
    InvalidInput
        If ``k`` is not a whole number in 1 ... ``count``.
    """
    if k is None:
        return count
    if check_count(k, "k") > count:
        msg = f"`k` must be at most {count}, the number of singular values, not {k}."
        raise InvalidInput(msg)
    return int(k)


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


def _by_svd(W: Array, k: int, why: str) -> Spectrum:
    A, scale = _within_range(W)
    s = namespace(A).linalg.svdvals(A)
    largest, _ = _check_energy(A, s, k)
    error = _backward_error(A) * largest / scale
    return Spectrum(values=s[:k] * (1.0 / scale), accuracy=error, method="svd", why=why)


def _by_gram(W: Array, k: int, dtype: Any, why: str) -> Spectrum:
    xp = namespace(W)
    A, scale = _within_range(xp.astype(W, dtype, copy=False))
    squares = xp.flip(xp.linalg.eigvalsh(A.T @ A if A.shape[0] >= A.shape[1] else A @ A.T))
    s = xp.sqrt(xp.where(squares > 0, squares, xp.zeros_like(squares)))
    largest, smallest = _check_energy(A, s, k)
    shift = _backward_error(A) * largest**2
    error = shift / (smallest + math.sqrt(smallest**2 + shift)) if largest else 0.0
    rounding = 0.5 * float(xp.finfo(W.dtype).eps) * largest
    values = xp.astype(s[:k] * (1.0 / scale), W.dtype, copy=False)
    return Spectrum(values=values, accuracy=max(error, rounding) / scale, method="gram", why=why)


def _backward_error(W: Array) -> float:
    """Relative change of the matrix that explains the error of its eigenvalues: ``sqrt(p) eps``, measured."""
    return math.sqrt(min(W.shape)) * float(namespace(W).finfo(W.dtype).eps)


def _within_range(W: Array) -> tuple[Array, float]:
    """Scale by a power of two if squares could overflow or vanish; return the factor as well."""
    xp = namespace(W)
    _, exponent = math.frexp(scalar(xp.max(xp.abs(W))))
    if abs(exponent) <= math.log2(float(xp.finfo(W.dtype).max)) / 4:
        return W, 1.0
    scale = 2.0**-exponent
    return W * scale, scale


def _check_energy(W: Array, s: Array, k: int) -> tuple[float, float]:
    """Check that the squares add up, and return the largest and the ``k``-th value: one synchronisation.

    Sums of ``n + m`` terms and an eigenvalue decomposition that is exact for a matrix within a few ``eps``
    explain a relative difference of ``4 (n + m) eps``.
    """
    xp = namespace(W)
    facts = xp.stack([xp.sum(xp.sum(W * W, axis=1)), xp.sum(s * s), s[0], s[k - 1]])
    entries, values, largest, smallest = (float(x) for x in to_host(facts))
    slack = 4.0 * sum(W.shape) * float(xp.finfo(W.dtype).eps) * entries
    if not abs(entries - values) <= slack:
        msg = (
            f"The squares of the singular values add up to {values!r}, those of the entries to {entries!r}: "
            "the linear algebra library returned a wrong spectrum; try the other method or device."
        )
        raise RmtError(msg)
    return largest, smallest


def _has_double(W: Array) -> bool:
    info = namespace(W).__array_namespace_info__()
    return "float64" in info.dtypes(device=device(W), kind="real floating")
