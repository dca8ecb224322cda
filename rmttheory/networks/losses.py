"""Cross-entropy, accuracy and classification confidence of logits.

Logits are ``(samples, K)`` with ``K >= 2``; labels are whole numbers from 0 to ``K - 1``, on the host or
where the logits live. ``C`` is the right class of a sample and ``X_j`` its logit of class ``j``.
"""

from __future__ import annotations

import math

import numpy as np

from rmttheory.arrays import Array, InvalidInput, check_matrix, device, namespace, scalar


def per_sample_cross_entropy(logits: Array, labels: Array) -> Array:
    """Return ``-log softmax(X)_C`` of each sample, in nats.

    Computed as the softplus of ``logsumexp_{j != C} X_j - X_C``, which neither overflows nor loses the
    relative accuracy of a loss near 0.

    Parameters
    ----------
    logits : array, shape (samples, K)
    labels : integer array, shape (samples,)

    Returns
    -------
    array, shape (samples,)

    Raises
    ------
    InvalidInput
        If the logits are not a finite matrix of two columns or more, or the labels do not fit them.
    """
    return sample_losses(logits, right_class(logits, labels))


def cross_entropy(logits: Array, labels: Array) -> float:
    """Return the mean of `per_sample_cross_entropy`; same arguments and errors."""
    losses = per_sample_cross_entropy(logits, labels)
    return scalar(namespace(losses).mean(losses))


def margins(logits: Array, labels: Array) -> Array:
    """Return the classification confidence ``X_C - max_{j != C} X_j`` of each sample.

    With ``labels = argmax(logits)`` it is the predicted margin: best logit minus runner-up. What moves no
    logit by more than ``eta`` moves it by at most ``2 eta``.

    Parameters
    ----------
    logits : array, shape (samples, K)
    labels : integer array, shape (samples,)

    Returns
    -------
    array, shape (samples,)

    Raises
    ------
    InvalidInput
        As for `per_sample_cross_entropy`.
    """
    return sample_margins(logits, right_class(logits, labels))


def accuracy(logits: Array, labels: Array) -> float:
    """Return the share of samples whose confidence is strictly positive: a tie counts as wrong."""
    xp = namespace(logits)
    right = margins(logits, labels) > 0
    return scalar(xp.mean(xp.astype(right, logits.dtype)))


def argmax_accuracy(logits: Array, labels: Array) -> float:
    """Return the share of samples whose largest logit, the first among equals, is the right one.

    It differs from `accuracy` only on ties.
    """
    xp = namespace(logits)
    right = xp.take_along_axis(right_class(logits, labels), xp.argmax(logits, axis=1)[:, None], axis=1)
    return scalar(xp.mean(xp.astype(right, logits.dtype)))


def right_class(logits: Array, labels: Array) -> Array:
    """Return the ``(samples, K)`` mask of the right classes, after checking both arguments."""
    check_matrix(logits, "logits")
    samples, classes = logits.shape
    if classes < 2:
        msg = f"`logits` must have two columns or more, one for each class, not {classes}."
        raise InvalidInput(msg)
    xp = namespace(logits)
    labels = labels_beside(logits, labels)
    if labels.ndim != 1 or labels.shape[0] != samples or not xp.isdtype(labels.dtype, "integral"):
        given = f"{labels.dtype} of shape {tuple(labels.shape)}"
        msg = f"`labels` must be {samples} integers, one for each row of the logits, not {given}."
        raise InvalidInput(msg)
    if not scalar(xp.all((labels >= 0) & (labels < classes))):
        msg = f"`labels` must lie between 0 and {classes - 1}, the classes of the logits."
        raise InvalidInput(msg)
    return one_hot(labels, classes)


def labels_beside(logits: Array, labels: Array) -> Array:
    """Return ``labels`` on the library and device of ``logits``, host labels moved there."""
    if isinstance(labels, np.ndarray):
        xp = namespace(logits)
        return xp.asarray(np.array(labels), device=device(logits))
    namespace(logits, labels)
    return labels


def one_hot(labels: Array, classes: int) -> Array:
    """Return the boolean ``(samples, classes)`` mask of ``labels``, where they live."""
    xp = namespace(labels)
    return xp.arange(classes, device=device(labels))[None, :] == xp.astype(labels, xp.int64)[:, None]


def sample_losses(logits: Array, right: Array) -> Array:
    """`per_sample_cross_entropy` from the mask of the right classes, unchecked."""
    xp = namespace(logits)
    others = xp.where(right, -math.inf, logits)
    top = xp.max(others, axis=1, keepdims=True)
    total = xp.log(xp.sum(xp.exp(others - top), axis=1)) + top[:, 0]
    gap = total - _right_logit(logits, right)
    return xp.logaddexp(gap, xp.zeros_like(gap))


def loss_gradient(logits: Array, right: Array) -> Array:
    """Gradient of the mean loss in the logits, ``(softmax(X) - e_C) / samples``, unchecked.

    The entry of the right class is minus the sum of the others, so it stays accurate when their
    probabilities are tiny.
    """
    xp = namespace(logits)
    weights = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    others = xp.where(right, 0.0, weights) / (xp.sum(weights, axis=1, keepdims=True) * logits.shape[0])
    return xp.where(right, -xp.sum(others, axis=1, keepdims=True), others)


def sample_margins(logits: Array, right: Array) -> Array:
    """`margins` from the mask of the right classes, unchecked."""
    xp = namespace(logits)
    return _right_logit(logits, right) - xp.max(xp.where(right, -math.inf, logits), axis=1)


def _right_logit(logits: Array, right: Array) -> Array:
    xp = namespace(logits)
    return xp.sum(xp.where(right, logits, 0.0), axis=1)
