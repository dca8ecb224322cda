import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.networks import (
    Dense,
    Hessian,
    LossSlice,
    Network,
    convolutional_network,
    initial_network,
    interpolate,
    loss_and_gradients,
    loss_slice,
    parameter_vector,
    random_direction,
    with_parameters,
)

X = Stream(3).normal((30, 6))
LABELS = np.arange(30) % 3
NETWORK = initial_network((6, 8, 3), stream=Stream(1))
LINEAR = Network((Dense(Stream(4).normal((3, 6)), None, "identity"),))
"""Multinomial regression: its loss is convex."""


def test_directions_have_rows_as_long_as_the_weights():
    d = with_parameters(NETWORK, random_direction(NETWORK, stream=Stream(7)))
    for own, layer in zip(d.layers, NETWORK.layers):
        lengths = (np.linalg.norm(W, axis=1) for W in (own.weight, layer.weight))
        np.testing.assert_allclose(*lengths, rtol=8 * 2.0**-52)
        assert not np.any(own.bias)


def test_what_layers_exchange_drops_out():
    """Rows of W_1 divided by 4 and W_2 multiplied: the same slice, since factors are powers of two."""
    first, second = NETWORK.layers[0].weight / 4, NETWORK.layers[1].weight * 4
    moved = NETWORK.replace(0, first).replace(1, second)
    one, other = (loss_slice(net, X, LABELS, points=11) for net in (NETWORK, moved))
    np.testing.assert_array_equal(one.losses, other.losses)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_losses_are_those_of_the_moved_network(dimensions):
    found = loss_slice(NETWORK, X, LABELS, dimensions=dimensions, points=5, radius=0.5, l1=1e-3, l2=1e-2)
    assert found.losses.shape == (5,) * dimensions
    start = parameter_vector(NETWORK)
    for at in [(0,) * dimensions, (4, 1)[:dimensions]]:
        vector = start + sum(found.steps[i] * d for i, d in zip(at, found.directions))
        loss, _ = loss_and_gradients(with_parameters(NETWORK, vector), X, LABELS, l1=1e-3, l2=1e-2)
        assert found.losses[at] == pytest.approx(loss, rel=1e-14)
    assert found.centre == loss_and_gradients(NETWORK, X, LABELS, l1=1e-3, l2=1e-2)[0]
    assert len(found.to_dict()["curvature"]) == dimensions


def test_a_convex_loss_is_convex_in_every_slice():
    for dimensions in (1, 2):
        found = loss_slice(LINEAR, X, LABELS, dimensions=dimensions, points=15)
        assert found.convex_share == 1.0


def test_curvature_is_that_of_the_hessian_where_there_are_no_kinks():
    """Second differences err by a twelfth of the fourth derivative, which a step twice as long quadruples."""
    fine, coarse = (loss_slice(LINEAR, X, LABELS, radius=r, points=3) for r in (1e-3, 2e-3))
    d = fine.directions[0]
    exact = float(d @ (Hessian(LINEAR, X, LABELS) @ d))
    slack = abs(coarse.curvature[0] - fine.curvature[0]) + 4 * 2.0**-52 * 10 / 1e-3**2
    assert fine.curvature[0] == pytest.approx(exact, abs=slack)
    assert slack < 1e-4 * exact or slack < 1e-8


def test_measures_of_a_known_shape():
    """On t^2 - s^2 and on t^2 + s^2 / 4."""
    steps = np.linspace(-1, 1, 201)
    line = LossSlice(steps=steps, losses=steps**2, directions=())
    assert line.width(0.25) == pytest.approx(1.0, abs=1e-12)
    assert line.width(5.0) == 2.0
    assert line.curvature == pytest.approx((2.0,), abs=1e-10)
    saddle = LossSlice(steps=steps, losses=steps[:, None] ** 2 - steps[None, :] ** 2, directions=())
    assert saddle.convex_share == 0.0
    assert saddle.curvature == pytest.approx((2.0, -2.0), abs=1e-10)
    bowl = LossSlice(steps=steps, losses=steps[:, None] ** 2 + steps[None, :] ** 2 / 4, directions=())
    assert bowl.convex_share == 1.0
    # half-axes 0.4 and 0.8; cells on the rim: its length, about 4, times half a step
    assert bowl.width(0.16) ** 2 == pytest.approx(np.pi * 0.4 * 0.8, abs=4 * 0.005)
    waves = LossSlice(steps=steps, losses=-np.cos(2 * np.pi * steps), directions=())
    assert waves.convex_share == pytest.approx(0.5, abs=0.02)


def test_barriers():
    """None to itself or inside a convex loss; one between a network and its neurons in another order."""
    assert interpolate(NETWORK, NETWORK, X, LABELS).barrier <= 4 * 2.0**-52 * 5
    other = Network((Dense(Stream(9).normal((3, 6)), None, "identity"),))
    assert interpolate(LINEAR, other, X, LABELS).barrier == 0.0
    order = np.roll(np.arange(8), 3)
    first, second = NETWORK.layers
    swapped = Network(
        (
            Dense(first.weight[order], first.bias[order]),
            Dense(second.weight[:, order], second.bias, "identity"),
        )
    )
    path = interpolate(NETWORK, swapped, X, LABELS, points=5)
    assert path.losses[0] == pytest.approx(path.losses[-1], rel=1e-14)
    halfway = with_parameters(NETWORK, 0.5 * (parameter_vector(NETWORK) + parameter_vector(swapped)))
    assert path.losses[2] == pytest.approx(loss_and_gradients(halfway, X, LABELS)[0], rel=1e-14)
    assert path.to_dict()["barrier"] == path.barrier == max(0.0, np.max(path.losses - path.losses[0]))


def test_images_and_their_statistics():
    """Filters are rescaled one by one; between networks recorded statistics move along."""
    options = {"channels": (2,), "classes": 3, "batch_norm": True}
    one, other = (convolutional_network((1, 4, 4), stream=Stream(i), **options) for i in (1, 2))
    other = other.mapped(lambda x: x + 0.5)
    x = Stream(3).normal((9, 16))
    moved = with_parameters(one, random_direction(one, stream=Stream(4)))
    np.testing.assert_allclose(
        *(np.linalg.norm(net.layers[0].weight, axis=1) for net in (moved, one)), rtol=8 * 2.0**-52
    )
    assert not np.any(moved.layers[1].scale)
    halfway = one.mapped(np.copy)
    for a, b in zip(halfway.layers, other.layers):
        for name, array in a.arrays.items():
            array[...] = 0.5 * (array + b.arrays[name])
    path = interpolate(one, other, x, LABELS[:9], points=3)
    assert path.losses[1] == pytest.approx(loss_and_gradients(halfway, x, LABELS[:9])[0], rel=1e-14)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InvalidInput, match="`points` must be odd"):
        loss_slice(NETWORK, X, LABELS, points=10)
    with pytest.raises(InvalidInput, match="`dimensions` must be 1 or 2"):
        loss_slice(NETWORK, X, LABELS, dimensions=3)
    with pytest.raises(InvalidInput, match="must have the layers of `first`"):
        interpolate(NETWORK, LINEAR, X, LABELS)
    with pytest.raises(InvalidInput, match="`level` must be"):
        loss_slice(NETWORK, X, LABELS, points=3).width(0.0)
