"""Faults that only a GPU would show, planted: some place on the CPU catches each of them.

A place catches a fault if the call fails there, or its result is elsewhere, of another dtype or wrong.
"""

import numpy as np
import pytest
import shadow
from cases import TALL, W1, W2, X
from optional import is_here
from places import PLACES, REFERENCE, leaves

from rmttheory import networks
from rmttheory.arrays import namespace, scalar
from rmttheory.networks import gradients, losses


def right(x):
    """What all faults are variants of: the row sums of the positive entries over the largest."""
    xp = namespace(x)
    positive = xp.where(x > 0, x, xp.zeros_like(x))
    return xp.sum(positive, axis=1) / xp.max(positive)


def first_row_is_positive(x):
    return 1.0 if x[0, 0] > 0 else -1.0


FAULTS = {
    "an array of the host in a sum": lambda x: right(x + np.zeros(x.shape)),
    "an array of the host in a product": lambda x: right(x @ np.eye(x.shape[1])),
    "a NumPy function": lambda x: right(np.multiply(x, 1.0)),
    "np.asarray": lambda x: right(namespace(x).asarray(np.asarray(x))),
    "made on the default device": lambda x: right(x + namespace(x).zeros(x.shape, dtype=x.dtype)),
    "made in the default dtype": lambda x: right(x * namespace(x).ones(x.shape, device=x.device)),
    "item()": lambda x: right(x) * x[0, 0].item() / x[0, 0].item(),
    "float()": lambda x: right(x) * (float(x[0, 0]) / float(x[0, 0])),
    "int() of an index": lambda x: right(x) + 0.0 * int(namespace(x).argmax(x)),
    "if of an entry": lambda x: right(x) * first_row_is_positive(x) ** 2,
    "a shape that depends on data": lambda x: namespace(x).sum(x[x > 0]),
    "nonzero": lambda x: right(x) + 0.0 * namespace(x).nonzero(x)[0].shape[0],
    "a negative step": lambda x: right(x[::-1, :])[::-1],
    "methods of arrays": lambda x: right(x) * 1.0 + 0.0 * x.sum(),
    "astype as a method": lambda x: right(x.astype(x.dtype)),
    "an initial value": lambda x: right(x) + 0.0 * namespace(x).max(x, initial=0.0),
    "a sum over a mask": lambda x: right(x) + 0.0 * namespace(x).sum(x, where=x > 0),
    "a sum of truth values": lambda x: right(x) + 0.0 * namespace(x).sum(x > 0),
    "einsum": lambda x: namespace(x).einsum("ij->i", right(x)[:, None]),
    "a global generator": lambda x: right(x) + 0.0 * namespace(x).random.random(x.shape[0]),
    "writing to an argument": lambda x: right(write(x)),
    "passing through double": lambda x: right(namespace(x).astype(x, namespace(x).float64)),
    "integers where numbers are meant": lambda x: right(x) + namespace(x).mean(namespace(x).arange(1)),
}


def write(x):
    x[0, 0] = 2.0 * x[0, 0] - x[0, 0]
    return x


HERE = [place for place in PLACES if is_here(place.needs)]
EXPECTED = np.sum(np.maximum(TALL, 0.0), axis=1) / np.max(TALL)


def caught(place, run):
    try:
        found = list(leaves(place.call(lambda there: run(there.put(TALL)))))
        assert all(place.holds(array) for array in found)
        if place.has_data and found[0].shape == EXPECTED.shape:
            np.testing.assert_allclose(place.read(found[0]), EXPECTED, rtol=32 * place.eps)
    except Exception:
        return True
    return False


def test_what_is_right_passes_everywhere():
    assert [place.name for place in HERE if caught(place, right)] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_some_place(fault, record_property):
    assert not caught(REFERENCE, FAULTS[fault])  # on NumPy nobody would notice
    seen = [place.name for place in HERE if caught(place, FAULTS[fault])]
    assert seen != []
    record_property("planted faults caught, and by how many places", f"{fault} {len(seen)}")


@pytest.mark.parametrize(
    ("name", "alone"),
    [
        ("NumPy read-only", "writing to an argument"),
        ("strict without float64", "passing through double"),
        ("torch without data", "float()"),
    ],
)
def test_places_are_there_for_what_they_see(name, alone):
    place = next(place for place in PLACES if place.name == name)
    if not is_here(place.needs):
        pytest.skip(f"{place.needs} is not installed")
    assert caught(place, FAULTS[alone])
    assert not caught(place, right)


def hot(place):
    """What a training step and a spectrum do again and again, without the checks at the public door."""
    network = networks.Network(
        (networks.Dense(place.put(W1)), networks.Dense(place.put(W2), None, "identity"))
    )
    return network, place.put(X)


def test_hot_functions_never_wait(require):
    require("cupy")
    place = next(place for place in PLACES if place.library == "shadow")
    with place.rules():
        network, x = hot(place)
        before = vars(shadow.waits).copy()
        logits = network.unchecked_logits(x)
        labels = np.array([0, 2, 1, 1, 0, 2])
        mask, hessian = losses.right_class(network.logits(x), labels), networks.Hessian(network, x, labels)
        assert vars(shadow.waits) != before  # the checks do
        before = vars(shadow.waits).copy()
        network.unchecked_logits(x)
        logits, memories = gradients.forward(network, x, None)
        gradients.backward(network, losses.loss_gradient(logits, mask), memories)
        namespace(logits).linalg.eigvalsh(x @ x.T)
        _ = hessian @ networks.parameter_vector(network)
        assert vars(shadow.waits) == before
        scalar(logits[0, 0])
        assert shadow.waits.door == before["door"] + 1
