"""What can be certified about removing ``R`` from one layer ``W = S + R``, from numbers that are known.

A sample ``s`` reaches the layer as ``v_s`` and its logits are ``psi(W v_s)``, where ``psi`` is the rest of
the network and ``L_s`` a Lipschitz constant of ``psi`` in the max norm (`Network.tail_lipschitz` gives one).
"""

from __future__ import annotations

import math

from rmttheory.arrays import (
    Array,
    InvalidInput,
    check_count,
    check_interval,
    check_matrix,
    check_vector,
    namespace,
    scalar,
)


def sup_change(removed: Array, inputs: Array) -> Array:
    """Return ``|R v_s|_inf`` of each sample: how far removing ``R`` moves what the layer puts out.

    Parameters
    ----------
    removed : array, shape (n, m)
        ``R``.
    inputs : array, shape (samples, m)
        ``v_s``, one sample a row, where ``R`` lives.

    Returns
    -------
    array, shape (samples,)

    Raises
    ------
    InvalidInput
        If either is not a finite matrix, or their columns differ in number.
    """
    check_matrix(removed, "removed")
    check_matrix(inputs, "inputs")
    xp = namespace(removed, inputs)
    if removed.shape[1] != inputs.shape[1]:
        msg = f"`inputs` must have {removed.shape[1]} columns, as `removed` has, not {inputs.shape[1]}."
        raise InvalidInput(msg)
    return xp.max(xp.abs(inputs @ removed.T), axis=1)


def data_path_budget(removed: Array, inputs: Array, lipschitz: float | Array) -> float:
    """Bound how far removing ``R`` moves the mean cross-entropy: the mean of ``2 L_s |R v_s|_inf``.

    Keeping ``theta R`` moves it by at most ``1 - theta`` times as much. Deterministic, for any split.

    Parameters
    ----------
    removed : array, shape (n, m)
    inputs : array, shape (samples, m)
    lipschitz : float or array, shape (samples,)
        ``L_s``; one number if it serves all samples.

    Returns
    -------
    float

    Raises
    ------
    InvalidInput
        As for `sup_change`, or if a Lipschitz constant is negative.

    Notes
    -----
    Source: arXiv:2606.02608, deterministic bound on the cross-entropy path.
    """
    changes = sup_change(removed, inputs)
    xp = namespace(changes)
    if isinstance(lipschitz, (int, float)):
        check_interval(lipschitz, "lipschitz", low=0, closed="low")
    else:
        check_vector(lipschitz, "lipschitz")
        if lipschitz.shape != changes.shape or not scalar(xp.all(lipschitz >= 0)):
            msg = f"`lipschitz` must be {changes.shape[0]} numbers >= 0, one for each sample."
            raise InvalidInput(msg)
    return scalar(xp.mean(2 * lipschitz * changes))


def loss_change_bounds(losses: Array, change: float | Array) -> tuple[Array, Array]:
    """Bound the change of each sample's cross-entropy when no logit moves by more than ``change``.

    With ``p`` the probability of the right class before, the loss ``-log p`` moves by at least
    ``log(p + (1 - p) exp(-2 change))`` and at most ``log(p + (1 - p) exp(2 change))``. Both ends are
    attained, by moving the right logit one way and all others the other way.

    Parameters
    ----------
    losses : array, shape (samples,)
        Cross-entropy before, in nats, as `per_sample_cross_entropy` gives it: accurate also near 0, where
        ``1 - p`` would not be.
    change : float or array, shape (samples,)

    Returns
    -------
    low, high : array, shape (samples,)
        ``-2 change <= low <= 0 <= high <= 2 change``, up to rounding.

    Raises
    ------
    InvalidInput
        If the losses are not a finite vector, or a loss or change is negative.

    Notes
    -----
    Derived here: the change is ``log(p + sum_j p_j exp(x_j))``, increasing in every difference
    ``x_j = (z'_j - z'_C) - (z_j - z_C)``, and each of them lies within ``2 change``. It sharpens the factor 2
    of arXiv:2606.02608, which is its limit as ``p`` tends to 0.
    """
    check_vector(losses, "losses")
    xp = namespace(losses)
    twice = 2 * (xp.zeros_like(losses) + change)
    if not scalar(xp.all((losses >= 0) & (twice >= 0))):
        msg = "`losses` and `change` must hold numbers >= 0."
        raise InvalidInput(msg)
    # 1 - p keeps its relative accuracy near 0; where it underflows, larger is safer
    others = -xp.expm1(-losses)
    others = xp.log(xp.where(others > 0, others, float(xp.finfo(losses.dtype).smallest_normal)))
    low = xp.logaddexp(-losses, others - twice)
    return xp.minimum(low, xp.zeros_like(low)), xp.logaddexp(-losses, others + twice)


def gaussian_radius(
    v_norm: float | Array, tail_lipschitz: float, *, n: int, g: float, samples: int, delta: float
) -> float | Array:
    """Bound the logit change of all samples at once when Gaussian noise ``R`` is removed.

    Returns ``L |v|_2 sqrt(2 g log(2 n samples / delta) / n)``. If the entries of ``R`` (n x m) are
    independent ``N(0, g / n)`` and independent of the inputs ``v_s``, then with probability at least
    ``1 - delta`` no logit of any of the samples moves by more.

    Parameters
    ----------
    v_norm : float or array
        ``|v_s|_2``, Euclidean norm of the inputs of the layer.
    tail_lipschitz : float
        ``L``.
    n : int
        Outputs of the layer.
    g : float
        Entries of ``R`` have variance ``g / n``.
    samples : int
        How many samples the bound is to hold for at once.
    delta : float
        Failure probability, in (0, 1).

    Raises
    ------
    InvalidInput
        If an argument is outside its range.

    Notes
    -----
    Source: arXiv:2606.02608, the confidence-parameter theorem for Gaussian ``R``.
    """
    check_interval(tail_lipschitz, "tail_lipschitz", low=0, closed="low")
    check_count(n, "n")
    check_interval(g, "g", low=0)
    check_count(samples, "samples")
    check_interval(delta, "delta", low=0, high=1)
    return v_norm * (tail_lipschitz * math.sqrt(2 * g * math.log(2 * n * samples / delta) / n))


def width_where_radius_speaks(K: float, margin: float, *, g: float, samples: int, delta: float) -> float:
    """Return the least width ``n`` at which twice the `gaussian_radius` is below a margin.

    From there on the radius certifies that removing ``R`` changes no label of that margin.

    Parameters
    ----------
    K : float
        ``L |v|_2``, taken not to depend on the width.
    margin : float
        Best logit minus runner-up.
    g, samples, delta
        As for `gaussian_radius`.

    Returns
    -------
    float
        A whole number, or ``inf`` if there is no such width.

    Raises
    ------
    InvalidInput
        If an argument is outside its range.
    """
    from scipy.special import lambertw

    check_interval(K, "K", low=0, closed="low")
    check_interval(margin, "margin")
    radius_at_one = gaussian_radius(K, 1.0, n=1, g=g, samples=samples, delta=delta)
    if margin <= 0:
        return math.inf
    if 2 * radius_at_one < margin:
        return 1.0
    # 8 g K^2 log(a n) / n = margin^2 with a = 2 samples / delta: n q = log(a n), whose larger root is wanted
    q, a = margin / K * (margin / K) / (8 * g), 2 * samples / delta
    root = -float(lambertw(-q / a, k=-1).real) / q if q > 0 else math.inf
    if not root < 2.0**53:  # from there on floats skip whole numbers
        return root
    n = max(1, math.floor(root * (1 - 1e-14)))
    while not 2 * gaussian_radius(K, 1.0, n=n, g=g, samples=samples, delta=delta) < margin:
        n += 1
    return float(n)
