r"""Damping as linear shrinkage of a noisy curvature matrix.

A batch gives ``B = H + X``: the true ``H`` (``p x p``) and independent noise of mean 0. A damped second-order
step divides by ``B + delta``. Shrinking towards a multiple of the identity first is the same up to the rate:

    ((1 - rho) B + rho mu)^{-1} = kappa (B + delta)^{-1},  delta = mu rho / (1 - rho),  kappa = 1 / (1 - rho),

so a damping constant is a linear shrinkage with a learning rate scaled down, and the best shrinkage says
which constant to take (D. Granziol, N. Baskerville, "A random matrix theory approach to damping in deep
learning", J. Phys. Complexity 3 (2022), whose target is the identity, ``mu = 1``).

The best ``rho`` is that of O. Ledoit and M. Wolf, J. Multivariate Anal. 88 (2004). With the noise
``s^2 = E ||X||_F^2 / p``, the dispersion ``d^2 = ||H - mu||_F^2 / p`` and ``mu = tr H / p``,

    E ||(1 - rho) B + rho mu - H||_F^2 / p = (1 - rho)^2 s^2 + rho^2 d^2,

as the cross term is linear in ``X``. It is least at ``rho = s^2 / (s^2 + d^2)``, where it is
``s^2 d^2 / (s^2 + d^2) = rho d^2``. Hence ``delta = mu s^2 / d^2``.

What follows is derived here, not taken from the paper. For noise of the Gaussian orthogonal ensemble of
``variance``, ``s^2 = variance (1 + 1/p)``; the mean of ``b`` independent samples has a ``b``-th of the noise
of one, so the best damping falls as ``1 / b``. It is best for the squared error of the matrix, a mean over
all directions, and not for single ones: ``wigner_curvature`` says how far a noisy eigenvalue is from the
curvature along its own vector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rmttheory.arrays import Array, InvalidInput, check_interval, device, namespace, to_host


@dataclass(frozen=True, kw_only=True)
class Shrinkage:
    """The linear shrinkage ``(1 - intensity) B + intensity * target`` with the least expected squared error.

    Attributes
    ----------
    intensity : float
        ``rho``, from 0 to 1.
    target : float
        ``mu``, the mean eigenvalue.
    noise : float
        ``s^2``, the expected square of an eigenvalue of the noise.
    dispersion : float
        ``d^2``, the variance of the true eigenvalues.
    """

    intensity: float
    target: float
    noise: float
    dispersion: float

    @property
    def damping(self) -> float:
        """``delta``, to be added to the noisy matrix; infinite if all of it is noise."""
        return self.target * self._ratio

    @property
    def rate_factor(self) -> float:
        """``kappa``, at least 1: a step divided by the damped matrix has to be so much longer."""
        return 1.0 + self._ratio

    @property
    def error(self) -> float:
        """Expected squared error of the shrunk matrix, a ``p``-th of its squared Frobenius norm."""
        return self.intensity * self.dispersion

    def apply(self, B: Array) -> Array:
        """Shrink a noisy matrix, shape ``(p, p)``."""
        xp = namespace(B)
        eye = xp.eye(B.shape[0], dtype=B.dtype, device=device(B))
        return (1.0 - self.intensity) * B + (self.intensity * self.target) * eye

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "intensity": self.intensity,
            "target": self.target,
            "noise": self.noise,
            "dispersion": self.dispersion,
            "damping": None if math.isinf(self.damping) else self.damping,
            "rate_factor": None if math.isinf(self.rate_factor) else self.rate_factor,
        }

    @property
    def _ratio(self) -> float:
        return self.noise / self.dispersion if self.dispersion > 0.0 else math.copysign(math.inf, self.noise)


def optimal_shrinkage(*, noise: float, dispersion: float, target: float) -> Shrinkage:
    """Return the best shrinkage where noise and true matrix are known.

    Parameters
    ----------
    noise : float
        ``s^2 = E ||X||_F^2 / p`` >= 0.
    dispersion : float
        ``d^2 = ||H - mu||_F^2 / p`` >= 0; not both 0.
    target : float
        ``mu = tr H / p``.

    Raises
    ------
    InvalidInput
        If an argument is out of range.
    """
    noise = check_interval(noise, "noise", low=0, closed="low")
    dispersion = check_interval(dispersion, "dispersion", low=0, closed="low")
    check_interval(target, "target")
    check_interval(noise + dispersion, "noise + dispersion", low=0)
    return Shrinkage(
        intensity=noise / (noise + dispersion), target=float(target), noise=noise, dispersion=dispersion
    )


def estimate_shrinkage(samples: Array) -> Shrinkage:
    """Estimate the best shrinkage of the mean of independent noisy matrices from their spread.

    The noise of the mean of ``b`` samples is ``sum ||B_i - B||_F^2 / (b (b - 1) p)``, without bias; the
    dispersion is that of the mean less its noise, or 0, and the target the mean eigenvalue.

    Parameters
    ----------
    samples : array, shape (b, p, p)
        Symmetric, such as Hessians of batches; at least two.

    Raises
    ------
    InvalidInput
        If the array has another shape, or all samples are one multiple of the identity.
    """
    if getattr(samples, "ndim", 0) != 3 or samples.shape[0] < 2 or samples.shape[1] != samples.shape[2]:
        shape = tuple(getattr(samples, "shape", ()))
        msg = f"`samples` must hold two square matrices or more, shape (b, p, p), not {shape}."
        raise InvalidInput(msg)
    xp = namespace(samples)
    count, p, _ = samples.shape
    mean = xp.mean(samples, axis=0)
    eye = xp.eye(p, dtype=samples.dtype, device=device(samples))
    target = xp.sum(mean * eye) / p
    spread = xp.sum((samples - mean[None, :, :]) ** 2) / (count * (count - 1) * p)
    total = xp.sum((mean - target * eye) ** 2) / p
    facts = to_host(xp.stack([spread, total, target]))
    noise, both, centre = (float(value) for value in facts)
    if not all(map(math.isfinite, (noise, both, centre))):
        msg = "`samples` holds NaN or infinite entries; every entry must be finite."
        raise InvalidInput(msg)
    return optimal_shrinkage(noise=noise, dispersion=max(both - noise, 0.0), target=centre)
