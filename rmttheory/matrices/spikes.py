"""What a spike does to the spectrum, and what an outlier says about the spike.

``W = R + S`` is ``n x m``, entries of ``R`` have variance ``g / n``, ``c = m / n`` is any positive number,
``theta`` is a singular value of ``S`` and ``s`` one of ``W``. All formulas are limits for large ``n`` at
fixed rank: F. Benaych-Georges and R. R. Nadakuditi, "The singular values and vectors of low rank
perturbations of large rectangular random matrices", J. Multivariate Anal. 111 (2012), in this scale.

Inside, ``t = theta / sqrt(g)``, ``y = s / sqrt(g)``, ``q = sqrt(c)``, ``z = t^2`` and ``delta = z - c / z``.
With ``h = y^2 - c - 1`` one has ``delta = sqrt(h^2 - 4c)`` and ``z = (h + delta) / 2``, so every quantity is
a short expression in ``z`` and ``delta``, and ``delta`` is computed from factors that do not cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeVar

import numpy as np

from rmttheory.arrays import (
    HostArray,
    InvalidInput,
    check_choice,
    check_interval,
    check_shape,
)

Reals = TypeVar("Reals", float, HostArray)


class SpikeStatus(Enum):
    """Whether a singular value can be traced back to a spike."""

    SUPERCRITICAL = "The value lies above the bulk edge: the spike and its overlaps are estimated."
    SUBCRITICAL = (
        "The value does not exceed the bulk edge: a spike here is at most the threshold, "
        "and its strength cannot be told from this value."
    )


@dataclass(frozen=True, kw_only=True)
class SpikeEstimate:
    """A spike as read off one singular value of ``W``.

    Attributes
    ----------
    theta : float
        Estimated singular value of ``S``; NaN when the status is SUBCRITICAL.
    left_overlap, right_overlap : float
        Squared overlaps of the singular vectors of ``W`` with those of ``S``; 0 when SUBCRITICAL.
    status : SpikeStatus
    """

    theta: float
    left_overlap: float
    right_overlap: float
    status: SpikeStatus

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; an unknown ``theta`` becomes ``None``."""
        theta = None if math.isnan(self.theta) else self.theta
        return {
            "theta": theta,
            "left_overlap": self.left_overlap,
            "right_overlap": self.right_overlap,
            "status": self.status.name.lower(),
        }


def bulk_edge(c: float, g: float = 1.0) -> float:
    """Upper edge of the singular values of ``R``: ``sqrt(g) (1 + sqrt(c))``.

    Raises
    ------
    InvalidInput
        If ``c`` or ``g`` is not positive.
    """
    root, scale = _scales(c, g)
    return scale * (1.0 + root)


def lower_edge(c: float, g: float = 1.0) -> float:
    """Lower edge of the ``min(n, m)`` singular values of ``R``: ``sqrt(g) |1 - sqrt(c)|``.

    Raises
    ------
    InvalidInput
        If ``c`` or ``g`` is not positive.
    """
    root, scale = _scales(c, g)
    return scale * abs(1.0 - root)


def spike_threshold(c: float, g: float = 1.0) -> float:
    """Strength that a spike must exceed to leave the bulk: ``sqrt(g) c^(1/4)``.

    Raises
    ------
    InvalidInput
        If ``c`` or ``g`` is not positive.

    Source: Benaych-Georges and Nadakuditi (2012), Theorem 2.8.
    """
    root, scale = _scales(c, g)
    return scale * math.sqrt(root)


def outlier(theta: Reals, c: float, g: float = 1.0) -> Reals:
    """Where the singular value of ``W`` that belongs to a spike settles.

    Parameters
    ----------
    theta : float or array of float
        Singular values of ``S``, >= 0.
    c, g : float
        Aspect ratio ``m / n`` and noise level; entries of ``R`` have variance ``g / n``.

    Returns
    -------
    float or ndarray
        ``sqrt((g + theta^2)(c g + theta^2)) / theta`` above the threshold, the bulk edge below it.

    Raises
    ------
    InvalidInput
        If ``c`` or ``g`` is not positive, or a strength is negative or not finite.

    Source: Benaych-Georges and Nadakuditi (2012), Theorem 2.8.
    """
    root, scale = _scales(c, g)
    strength = _nonnegative(theta, "theta")
    threshold = math.sqrt(root)
    t = np.maximum(strength / scale, threshold)
    value = np.maximum(np.hypot(1.0, t) * np.hypot(root, t) / t, 1.0 + root)
    return _as_given(scale * np.where(strength > scale * threshold, value, 1.0 + root), theta)


def overlaps(theta: Reals, c: float, g: float = 1.0) -> tuple[Reals, Reals]:
    """Squared overlaps of the singular vectors of ``W`` with those of a spike.

    Parameters
    ----------
    theta : float or array of float
        Singular values of ``S``, >= 0 and distinct.
    c, g : float
        Aspect ratio ``m / n`` and noise level.

    Returns
    -------
    left, right : float or ndarray
        Limits of ``<u_hat, u>^2`` (output side, length ``n``) and ``<v_hat, v>^2`` (input side, length
        ``m``); 0 up to the threshold.

    Raises
    ------
    InvalidInput
        If ``c`` or ``g`` is not positive, or a strength is negative or not finite.

    Source: Benaych-Georges and Nadakuditi (2012), Theorem 2.9.
    """
    root, scale = _scales(c, g)
    strength = _nonnegative(theta, "theta")
    threshold = math.sqrt(root)
    t = np.maximum(strength / scale, threshold)
    z = t * t
    delta = (t - threshold) * (t + threshold) * (z + root) / z
    delta = np.where(strength > scale * threshold, delta, 0.0)
    return _as_given(delta / (z + 1.0), theta), _as_given(delta / (z + c), theta)


def spike_from_outlier(s: float, c: float, g: float = 1.0) -> SpikeEstimate:
    """Invert the outlier map: what spike put a singular value of ``W`` at ``s``.

    Parameters
    ----------
    s : float
        Singular value of ``W``, >= 0.
    c, g : float
        Aspect ratio ``m / n`` and noise level.

    Raises
    ------
    InvalidInput
        If ``c`` or ``g`` is not positive, or ``s`` is negative or not finite.

    Source: Benaych-Georges and Nadakuditi (2012), Theorems 2.8 and 2.9.
    """
    root, scale = _scales(c, g)
    value = check_interval(s, "s", low=0.0, closed="low")
    if value <= scale * (1.0 + root):
        return SpikeEstimate(
            theta=math.nan, left_overlap=0.0, right_overlap=0.0, status=SpikeStatus.SUBCRITICAL
        )
    z, delta = (float(x) for x in _invert(np.asarray(value / scale), root))
    return SpikeEstimate(
        theta=scale * math.sqrt(z),
        left_overlap=delta / (z + 1.0),
        right_overlap=delta / (z + c),
        status=SpikeStatus.SUPERCRITICAL,
    )


def d_transform(z: Reals, c: float, g: float = 1.0) -> Reals:
    """D-transform of the bulk, decreasing from ``1 / (g sqrt(c))`` at the edge to 0.

    The outlier of a spike is where it equals ``1 / theta^2``.

    Parameters
    ----------
    z : float or array of float
        Points on the scale of singular values, at or above the bulk edge.
    c, g : float
        Aspect ratio ``m / n`` and noise level.

    Raises
    ------
    InvalidInput
        If ``c`` or ``g`` is not positive, or a point lies below the bulk edge.

    Source: Benaych-Georges and Nadakuditi (2012), equation (2).
    """
    root, scale = _scales(c, g)
    points = _nonnegative(z, "z")
    edge = scale * (1.0 + root)
    if np.any(points < edge):
        msg = f"`z` must be at or above the bulk edge {edge:g}, not {float(np.min(points))!r}."
        raise InvalidInput(msg)
    squared, _ = _invert(points / scale, root)
    return _as_given(1.0 / (scale * scale * squared), z)


def hard_threshold(c: float, g: float = 1.0) -> float:
    """Cut on singular values of ``W`` with the least asymptotic mean square error for ``S``.

    Larger than the bulk edge: a spike just above the threshold is better dropped when ``S`` is wanted.

    Raises
    ------
    InvalidInput
        If ``c`` or ``g`` is not positive.

    Source: M. Gavish and D. L. Donoho, "The optimal hard threshold for singular values is 4/sqrt(3)",
    IEEE Trans. Inf. Theory 60 (2014), in this scale.
    """
    _, scale = _scales(c, g)
    return scale * math.sqrt(2.0 * (c + 1.0) + 8.0 * c / (c + 1.0 + math.sqrt(c * c + 14.0 * c + 1.0)))


def hard_threshold_unknown_noise(s: HostArray, shape: tuple[int, int]) -> float:
    """Apply the hard threshold with the noise level read off the median singular value.

    Parameters
    ----------
    s : array of float
        All ``min(n, m)`` singular values of ``W``, in any order.
    shape : tuple of int
        ``(n, m)``.

    Returns
    -------
    float
        The cut, on the scale of ``s``.

    Raises
    ------
    InvalidInput
        If ``s`` does not hold ``min(n, m)`` finite values >= 0.

    Source: Gavish and Donoho (2014), equation (11); the median of the law is computed, not tabulated.
    """
    from rmttheory.matrices.laws import MarchenkoPastur

    n, m = check_shape(shape)
    values = _nonnegative(s, "s")
    if values.shape != (min(n, m),):
        msg = f"`s` must hold all {min(n, m)} singular values of a {n} x {m} matrix, not {values.shape}."
        raise InvalidInput(msg)
    median = float(MarchenkoPastur(aspect=m / n).singular().ppf(0.5))
    return hard_threshold(m / n) * float(np.median(values)) / median


def shrink(
    s: HostArray,
    c: float,
    g: float = 1.0,
    *,
    loss: Literal["frobenius", "operator", "nuclear"] = "frobenius",
) -> HostArray:
    """Replace singular values of ``W`` by those of the best estimate of ``S`` with its singular vectors.

    Right for denoising ``S`` in the chosen norm. It moves what the layer computes further than keeping the
    values does: to keep ``u^T W v`` a value must grow, not shrink.

    Parameters
    ----------
    s : array of float
        Singular values of ``W``, >= 0, in any order.
    c, g : float
        Aspect ratio ``m / n`` and noise level.
    loss : {"frobenius", "operator", "nuclear"}
        Norm of the error whose limit is least.

    Returns
    -------
    ndarray
        Same shape; 0 at and below the bulk edge.

    Raises
    ------
    InvalidInput
        If ``c`` or ``g`` is not positive, a value is negative or not finite, or the loss is unknown.

    Source: M. Gavish and D. L. Donoho, "Optimal shrinkage of singular values", IEEE Trans. Inf. Theory 63
    (2017); operator norm: W. Leeb, "Optimal singular value shrinkage for operator norm loss" (2022), which
    corrects the former off-square.
    """
    root, scale = _scales(c, g)
    check_choice(loss, "loss", _SHRINKERS)
    given = _nonnegative(s, "s")
    y = np.maximum(given / scale, 1.0 + root)
    z, delta = _invert(y, root)
    return np.where(given > scale * (1.0 + root), scale * _SHRINKERS[loss](y, z, delta, root), 0.0)


def _frobenius(y: HostArray, _: HostArray, delta: HostArray, __: float) -> HostArray:
    return delta / y


def _nuclear(y: HostArray, z: HostArray, delta: HostArray, root: float) -> HostArray:
    return np.maximum(delta / y - root / np.sqrt(z), 0.0)


def _operator(_: HostArray, z: HostArray, __: HostArray, root: float) -> HostArray:
    c = root * root
    return np.sqrt(z * (z + min(1.0, c)) / (z + max(1.0, c)))


_SHRINKERS: dict[str, Callable[[HostArray, HostArray, HostArray, float], HostArray]] = {
    "frobenius": _frobenius,
    "nuclear": _nuclear,
    "operator": _operator,
}


def _invert(y: HostArray, root: float) -> tuple[HostArray, HostArray]:
    """Return ``z = t^2`` and ``delta`` for outliers ``y >= 1 + root`` of unit noise."""
    low, high = min(1.0, root), max(1.0, root)
    beyond = y - high  # exact near the edge, so that no digit of the distance to it is lost
    above = np.maximum(beyond - low, 0.0) * (y + high + low)  # y^2 - (1 + root)^2
    delta = np.sqrt(above * (beyond + low) * (y + high - low))
    return root + 0.5 * (above + delta), delta


def _scales(c: float, g: float) -> tuple[float, float]:
    """Return ``sqrt(c)`` and ``sqrt(g)`` of checked arguments."""
    return math.sqrt(check_interval(c, "c", low=0.0)), math.sqrt(check_interval(g, "g", low=0.0))


def _nonnegative(x: Any, name: str) -> HostArray:
    try:
        values = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.asarray(math.nan)
    good = np.isfinite(values) & (values >= 0.0)
    if not np.all(good):
        culprit = values[~good].flat[0] if values.ndim else x
        msg = f"`{name}` must hold finite numbers >= 0, not {culprit}."
        raise InvalidInput(msg)
    return values


def _as_given(values: Any, given: Reals) -> Reals:
    """Return an array for an array and a float for a number."""
    return values if np.ndim(given) else float(values)  # type: ignore[return-value, unused-ignore]
