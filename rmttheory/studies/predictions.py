"""What theory says of the leading singular values of ``W = S + R`` at one size, with their fluctuations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from rmttheory.arrays import InvalidInput, check_count
from rmttheory.matrices import TracyWidom, bulk_edge, outlier, spike_threshold, tracy_widom_scaling


class Regime(Enum):
    """What a spike does at one size. The critical window is ``min(n, m)^(-1/3)`` of the threshold."""

    SUPERCRITICAL = "above the threshold: its value leaves the bulk"
    CRITICAL = "within the critical window of the threshold, where no limit formula describes this size"
    SUBCRITICAL = "below the threshold: no value leaves the bulk, and no singular vector sees it"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What theory says of one value.

    Attributes
    ----------
    limit : float
        Where it settles as the matrix grows.
    mean, sd : float or None
        At this size, by the law of its fluctuations; None where no law is known.
    law : str
        Which one.
    """

    limit: float
    mean: float | None = None
    sd: float | None = None
    law: str


def regimes(shape: tuple[int, int], spikes: tuple[float, ...], g: float) -> tuple[Regime, ...]:
    """Say of each spike where it stands."""
    threshold, window = spike_threshold(shape[1] / shape[0], g), min(shape) ** (-1 / 3)
    excess = [theta / threshold - 1.0 for theta in spikes]
    return tuple(
        Regime.CRITICAL if abs(x) < window else Regime.SUPERCRITICAL if x > 0.0 else Regime.SUBCRITICAL
        for x in excess
    )


def groups(shape: tuple[int, int], spikes: tuple[float, ...], g: float) -> tuple[tuple[int, ...], ...]:
    """Return the indices of descending spikes, those together whose values fluctuate into each other.

    Neighbours are told apart if they differ by more than ``sqrt(g / n)``, the size of the fluctuations.
    """
    found: list[tuple[int, ...]] = []
    for i, theta in enumerate(spikes):
        if found and spikes[i - 1] - theta < math.sqrt(g / shape[0]):
            found[-1] += (i,)
        else:
            found.append((i,))
    return tuple(found)


def predict_top(
    shape: tuple[int, int], spikes: tuple[float, ...], g: float, k: int
) -> tuple[Prediction, ...]:
    """Predict the ``k`` largest singular values; spikes in descending order."""
    c, n = shape[1] / shape[0], shape[0]
    alone = {group[0] for group in groups(shape, spikes, g) if len(group) == 1}
    standing = regimes(shape, spikes, g)
    found = []
    for i, (theta, regime) in enumerate(zip(spikes, standing)):
        limit = outlier(theta, c, g)
        if regime is Regime.SUPERCRITICAL and i in alone:
            sd = outlier_sd(theta, c, g, n=n)
            found.append(Prediction(limit=limit, mean=limit, sd=sd, law=f"spike {theta:g}, normal"))
        elif regime is Regime.SUPERCRITICAL:
            found.append(Prediction(limit=limit, law=f"spike {theta:g}, repeated"))
        elif regime is Regime.CRITICAL:
            found.append(Prediction(limit=limit, law=f"spike {theta:g}, critical"))
    above, known = len(found), Regime.CRITICAL not in standing
    rest = (shape[0] - above, shape[1] - above)
    found += [_bulk(rest, bulk_edge(c, g), g / n, j if known else None) for j in range(k - above)]
    return tuple(found[:k])


def outlier_sd(theta: float, c: float, g: float = 1.0, *, n: int) -> float:
    """Standard deviation of the singular value of a spike above the threshold, for large ``n``.

    With ``z = theta^2 / g`` its square is ``g (1 + c + 2 z) (z^2 - c) / (2 n z (1 + z) (c + z))``; for a
    square matrix that is ``(1 - 1 / z) g / n``. The value is normal in the limit.

    Parameters
    ----------
    theta : float
        Singular value of ``S``, its vectors uniform or the noise Gaussian, and no other spike within
        ``sqrt(g / n)``.
    c, g : float
        Aspect ratio ``m / n`` and noise level; entries of ``R`` have variance ``g / n``.
    n : int
        Rows.

    Raises
    ------
    InvalidInput
        If ``c`` or ``g`` is not positive, ``n`` no whole number >= 1, or ``theta`` not above the threshold.

    Notes
    -----
    Derived here. Let ``g = 1``. A value ``s`` of ``W`` solves ``theta^2 a d = (1 - theta b)^2`` with the
    quadratic forms ``a = s u^T (s^2 - R R^T)^-1 u``, ``d = s v^T (s^2 - R^T R)^-1 v`` and ``b = u^T R (s^2 -
    R^T R)^-1 v``. At the outlier their limits are ``s / (1 + z)``, ``s / (c + z)`` and 0. They fluctuate
    independently with variances ``2 c s^2 / (1 + z)^2``, ``2 s^2 / (c + z)^2`` and 1, each over
    ``n (z^2 - c)``, and the slope of ``a d`` in ``s`` is ``-2 s / (z^2 - c)``. That such values become
    normal: F. Benaych-Georges, A. Guionnet and M. Maida, "Fluctuations of the extreme eigenvalues of finite
    rank deformations of random matrices", Electron. J. Probab. 16 (2011).
    """
    if not theta > spike_threshold(c, g):
        msg = f"`theta` must be above the threshold {spike_threshold(c, g):g}, not {theta!r}."
        raise InvalidInput(msg)
    z = (theta / math.sqrt(g)) ** 2
    ratio = (1.0 + c + 2.0 * z) / (1.0 + z) * (z - c / z) / (2.0 * (c + z))
    return math.sqrt(ratio * g / check_count(n, "n"))


def _bulk(shape: tuple[int, int], edge: float, scale: float, j: int | None) -> Prediction:
    """Predict value ``j`` of noise without what spikes took; None if the law of its rank is not known.

    The second value of a real matrix follows the law for quaternions in another scale: P. J. Forrester and
    E. M. Rains, "Interrelationships between orthogonal, unitary and symplectic matrix ensembles" (2001).
    """
    unknown = Prediction(limit=edge, law="edge of the bulk")
    if j is None or j > 1:
        return unknown
    law, stretch = (TracyWidom(1), 1.0) if j == 0 else (TracyWidom(4), math.sqrt(2.0))
    centre, width = tracy_widom_scaling(*shape)
    square = centre + width * stretch * law.mean
    if square <= 0.0:
        return unknown
    mean = math.sqrt(scale * square)
    sd = 0.5 * scale * width * stretch * math.sqrt(law.var) / mean
    name = "Tracy-Widom" if j == 0 else "Tracy-Widom, second value"
    return Prediction(limit=edge, mean=mean, sd=sd, law=name)
