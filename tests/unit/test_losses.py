import array_api_strict
import mpmath
import numpy as np
import pytest

from rmttheory.arrays import InvalidInput
from rmttheory.networks.losses import (
    accuracy,
    argmax_accuracy,
    cross_entropy,
    loss_gradient,
    margins,
    one_hot,
    per_sample_cross_entropy,
)

LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-3.0, 5.0, 4.5], [0.0, 40.0, 1.0]])
LABELS = np.array([0, 1, 2, 1])


def exact_cross_entropy(row, label):
    with mpmath.workdps(50):
        return float(mpmath.log1p(sum(mpmath.exp(mpmath.mpf(x) - row[label]) for x in np.delete(row, label))))


@pytest.mark.parametrize("gap", [0.0, 1.0, 30.0, 300.0, 800.0, 1e6, -1.0, -300.0, -1e6])
def test_cross_entropy_keeps_its_relative_accuracy_at_any_confidence(gap):
    row = np.array([gap, 0.0, -0.5, -2.0])
    expected = exact_cross_entropy(row, 0)
    # where the loss is exp(-gap), an error of eps |gap| in the exponent is that much of the loss
    np.testing.assert_allclose(
        per_sample_cross_entropy(row[None], np.array([0]))[0], expected, rtol=8 * 2.2e-16 * max(1, abs(gap))
    )


def test_other_samples_of_the_batch_do_not_matter():
    """Normalising over the batch instead of the classes is a slip of published code."""
    together = per_sample_cross_entropy(LOGITS, LABELS)
    alone = [per_sample_cross_entropy(LOGITS[i : i + 1], LABELS[i : i + 1])[0] for i in range(len(LABELS))]
    np.testing.assert_array_equal(together, alone)


def test_mean_loss():
    expected = np.mean([exact_cross_entropy(row, label) for row, label in zip(LOGITS, LABELS)])
    np.testing.assert_allclose(cross_entropy(LOGITS, LABELS), expected, rtol=1e-15)


def test_margin_is_the_right_logit_minus_the_best_other():
    np.testing.assert_array_equal(margins(LOGITS, LABELS), [1.0, 0.0, -0.5, 39.0])


def test_a_tie_is_wrong_for_accuracy_and_first_come_for_argmax():
    assert accuracy(LOGITS, LABELS) == 0.5
    assert argmax_accuracy(LOGITS, LABELS) == 0.5
    tie = np.array([[1.0, 1.0]])
    assert accuracy(tie, np.array([0])) == 0
    assert argmax_accuracy(tie, np.array([0])) == 1
    assert argmax_accuracy(tie, np.array([1])) == 0


def test_the_gradient_of_a_sample_sums_to_zero_and_has_the_size_that_theory_says():
    right = one_hot(LABELS, 3)
    gradient = loss_gradient(LOGITS, right) * len(LABELS)
    wrong = -np.expm1(-per_sample_cross_entropy(LOGITS, LABELS))  # 1 - p_C
    np.testing.assert_allclose(np.sum(np.abs(gradient), axis=1), 2 * wrong, rtol=1e-14)
    np.testing.assert_allclose(np.sum(gradient, axis=1), 0, atol=1e-16)


def test_the_gradient_of_a_confident_sample_does_not_vanish_by_rounding():
    """softmax - 1 would round 1 - 4e-18 to 0."""
    gradient = loss_gradient(np.array([[40.0, 0.0]]), np.array([[True, False]]))
    np.testing.assert_allclose(gradient, [[-np.exp(-40.0), np.exp(-40.0)]], rtol=1e-15)


def test_labels_may_be_narrow_and_read_only():
    labels = LABELS.astype(np.uint8)
    labels.flags.writeable = False
    assert cross_entropy(LOGITS, labels) == cross_entropy(LOGITS, LABELS)


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (LOGITS, LABELS[:3], "`labels` must be 4 integers"),
        (LOGITS, LABELS.astype(float), "`labels` must be 4 integers"),
        (LOGITS, LABELS[:, None], "`labels` must be 4 integers"),
        (LOGITS, LABELS + 1, "between 0 and 2"),
        (LOGITS, LABELS - 1, "between 0 and 2"),
        (LOGITS[:, :1], LABELS * 0, "two columns or more"),
        (LOGITS[0], LABELS[0], "non-empty matrix"),
        (LOGITS * np.nan, LABELS, "NaN"),
        (LOGITS, array_api_strict.asarray(LABELS), "one library"),
    ],
)
@pytest.mark.parametrize("function", [cross_entropy, margins, accuracy, argmax_accuracy])
def test_bad_arguments_are_refused(function, logits, labels, words):
    with pytest.raises(InvalidInput, match=words):
        function(logits, labels)
