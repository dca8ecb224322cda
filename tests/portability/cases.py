"""One call of every public function of arrays, with a bound on its rounding error.

Inputs are numbers that float32 holds exactly, so every place gets the same ones, and a result may differ
from NumPy's in float64 only by the rounding of the arithmetic in between. ``slack`` bounds that error in
units of the machine epsilon of the place: an array of ``k`` roundings of numbers up to ``a`` needs ``k a``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from places import Place

from rmttheory import arrays, matrices, networks
from rmttheory.theorem import certificates
from rmttheory.theorem.trained import examination


@dataclass(frozen=True)
class Case:
    """``run(place)`` calls the function; ``on_host`` says that it returns host arrays by contract."""

    run: Callable[[Place], Any]
    slack: float = 0.0
    on_host: bool = False


def _single(values: Any) -> Any:
    return np.asarray(values, dtype=np.float32).astype(np.float64)


_RNG = np.random.default_rng(20260608)
TALL = _single(_RNG.standard_normal((12, 5)) / np.sqrt(12))
WIDE = _single(_RNG.standard_normal((4, 9)) / np.sqrt(4))
SQUARE = _single(_RNG.standard_normal((6, 6)) / np.sqrt(6))
VALUES = _single([0.25, 1.5, 3.0, 0.75, 2.0])
TAIL = 2.0 ** (np.arange(40.0) // 2 - 6.0)  # powers of 2 are exact in both precisions
W1, B1 = _single(_RNG.standard_normal((7, 5)) / 2), _single(_RNG.standard_normal(7) / 4)
W2 = _single(_RNG.standard_normal((3, 7)) / 2)
X = _single(_RNG.standard_normal((6, 5)))
LABELS = np.array([0, 2, 1, 1, 0, 2])
IMAGES = _single(_RNG.standard_normal((6, 32)))
KERNELS = _single(_RNG.standard_normal((3, 12)) / 2)
LOGITS = _single(
    [[2.0, 1.0, 0.0], [0.0, 0.5, -1.0], [-3.0, 5.0, 4.5], [0.0, 8.0, 1.0], [1.0, 0.5, 0.25], [1, 2, 3]]
)
"""Logits of six samples, no ties."""

SYMMETRIC = SQUARE + SQUARE.T

SPECTRAL = 4.0 * 12 * 2.0
"""LAPACK's ``p(n, m) eps s_1`` with ``p`` a small multiple of the larger side, 12, and ``s_1 < 2``."""

LARGE = _single(_RNG.standard_normal((160, 120)) / np.sqrt(160))
"""More columns than a Krylov basis holds at once."""
STACK = _single(_RNG.standard_normal((3, 4, 6)) / np.sqrt(4))
SPECTRAL_LARGE = 4.0 * 160 * 2.0 + 2.0 * 1e-6 / 2.0**-23
"""The same, and an error of 1e-6 of ``s_1`` that is allowed in single precision, in units of its epsilon."""

DEPTH = (5 + 1) + (7 + 1) + 4
"""Roundings on the way to one logit: two inner products with bias, and what is done to them."""
FORWARD = DEPTH * float(np.max((np.abs(X) @ np.abs(W1).T + np.abs(B1)) @ np.abs(W2).T))
"""Error of a logit: so many roundings of the same sum taken of absolute values."""


def _top(W: Any, k: int) -> list[Any]:
    found = matrices.top_singular_values(W, k)
    product = (found.left * found.values[None, :]) @ found.right.T
    return [found.values, product, found.errors.tolist(), found.residuals.tolist()]


def _extreme(A: Any) -> list[Any]:
    found = matrices.extreme_eigenvalues(A, 2, end="bottom")
    return [found.values.tolist(), found.vectors @ found.vectors.T, found.products]


def _density(A: Any) -> matrices.SpectralDensity:
    return matrices.spectral_density(A, steps=4, probes=3, probe="rademacher", stream=arrays.Stream(4))


def _image_product(place: Place) -> Any:
    """A direction times the Hessian of a network with every kind of layer."""
    options = {"channels": (3,), "hidden": (4,), "classes": 3, "batch_norm": True, "dropout": 0.5}
    network = networks.convolutional_network((1, 3, 3), stream=place.stream, **options)
    x = _single(np.sin(np.arange(54.0)).reshape(6, 9))
    return networks.Hessian(network, place.put(x), LABELS) @ networks.parameter_vector(network)


def _network(place: Place) -> networks.Network:
    first = networks.Dense(place.put(W1), place.put(B1), "relu")
    return networks.Network((first, networks.Dense(place.put(W2), None, "identity")))


def _data() -> networks.Dataset:
    x, y = X.astype(np.float32), LABELS.astype(np.int64)
    facts = {"name": "six", "source": "drawn here", "licence": "none", "classes": 3}
    return networks.Dataset(train_x=x, train_y=y, test_x=x, test_y=y, **facts)


def _product(factors: Any) -> Any:
    """The signs of singular vectors are free; that of the product is not."""
    first, second = factors
    return second.weight @ first.weight


PLANTED = [_single(matrices.Spiked(shape, (5.0, 4.0)).sample(3).W) for shape in ((60, 40), (50, 60))]


def _pruned(place: Place, schedule: networks.PruningSchedule) -> list[Any]:
    """The products of factors or the matrices that are left, and what is told of them."""
    last = networks.Dense(place.put(W2[:, :1] * np.ones((3, 50))), None, "identity")
    network = networks.Network((*(networks.Dense(place.put(W)) for W in PLANTED), last))
    run = networks.PruningRun(schedule)
    pruned = run(network, 1)
    layers = (pruned[0] if isinstance(pruned, tuple) else pruned).layers
    matrices_left = [_product(layers[:2]), _product(layers[2:4])] if len(layers) == 5 else []
    return [matrices_left or [layer.weight for layer in layers], [event.to_dict() for event in run.events]]


def _checked(check: Callable[..., None], values: Any) -> Callable[[Place], Any]:
    def run(place: Place) -> Any:
        array = place.put(values)
        check(array, "x")
        return array

    return run


def _draw(place: Place, spikes: tuple[float, ...]) -> list[Any]:
    draw = matrices.Spiked((8, 6), spikes=spikes).sample(place.stream)
    return [draw.W, draw.S, draw.R, draw.U, draw.V]  # theta is on the host by contract


def _noise(noise: matrices.Noise, *, roundings: float = 3.0) -> Case:
    """Entries up to 4 standard deviations of 1/2, cast, scaled and at times multiplied once more."""
    return Case(lambda place: noise.sample((4, 6), 1.0, place.stream), slack=roundings * 4.0)


CASES: dict[str, Case] = {
    # floor 1
    "arrays.namespace": Case(
        lambda p: arrays.namespace(p.put(VALUES), p.put(TALL)).sqrt(p.put(VALUES)), slack=2
    ),
    "arrays.device": Case(
        lambda p: p.placement.namespace.asarray(p.put(VALUES), device=arrays.device(p.put(VALUES)))
    ),
    "arrays.like": Case(lambda p: arrays.like(VALUES, p.put(TALL))),
    "arrays.scalar": Case(lambda p: arrays.scalar(p.put(VALUES)[1])),
    "arrays.to_host": Case(lambda p: arrays.to_host(p.put(TALL)), on_host=True),
    "arrays.check_matrix": Case(_checked(arrays.check_matrix, TALL)),
    "arrays.check_matrices": Case(_checked(arrays.check_matrices, STACK)),
    "arrays.check_vector": Case(_checked(arrays.check_vector, VALUES)),
    "arrays.Placement.asarray": Case(lambda p: [p.placement.asarray(a) for a in (TALL, LABELS)]),
    "arrays.Stream.normal": Case(lambda p: p.stream.normal((3, 4), scale=0.5), slack=2),
    # A GPU has logarithms of its own: some ulps of a number up to 4.
    "arrays.Stream.normal/portable": Case(
        lambda p: replace(p.stream, portable=True).normal((3, 4), scale=0.5), slack=4 * 4
    ),
    "arrays.Stream.uniform": Case(lambda p: p.stream.uniform((3, 4), low=-1, high=1), slack=1),
    "arrays.Stream.signs": Case(lambda p: p.stream.signs((3, 4))),
    "arrays.Stream.orthonormal": Case(lambda p: p.stream.orthonormal(5, 2), slack=1),
    # floor 2
    "matrices.singular_values": Case(lambda p: matrices.singular_values(p.put(TALL), 3), slack=SPECTRAL),
    "matrices.spectrum/tall": Case(lambda p: matrices.spectrum(p.put(TALL)).values, slack=SPECTRAL),
    "matrices.spectrum/wide by svd": Case(
        lambda p: matrices.spectrum(p.put(WIDE), method="svd").values, slack=SPECTRAL
    ),
    "matrices.spectrum/stack": Case(lambda p: matrices.spectrum(p.put(STACK)).values, slack=SPECTRAL),
    "matrices.spectrum/stack by svd": Case(
        lambda p: matrices.spectrum(p.put(STACK), 2, method="svd").values, slack=SPECTRAL
    ),
    "matrices.spectrum/square": Case(lambda p: matrices.spectrum(p.put(SQUARE), 2).values, slack=SPECTRAL),
    # The Krylov space becomes the whole one, so that only rounding is left. The signs of singular vectors are
    # free: what is compared is the matrix that they make up; it turns by eps over relative gaps above 1/10.
    "matrices.singular_values/krylov": Case(
        lambda p: matrices.singular_values(p.put(TALL), 2, method="krylov"), slack=SPECTRAL
    ),
    "matrices.top_singular_values/wide": Case(lambda p: _top(p.put(WIDE), 2), slack=10 * SPECTRAL),
    "matrices.top_singular_values/all": Case(lambda p: _top(p.put(SQUARE), 6), slack=10 * SPECTRAL),
    "matrices.top_singular_values/factored": Case(
        lambda p: _top(matrices.Factored(p.put(TALL), p.put(W1.T)), 3), slack=10 * SPECTRAL * 4.0
    ),
    "matrices.top_singular_values/restarted": Case(
        lambda p: matrices.top_singular_values(p.put(LARGE), 2).values, slack=SPECTRAL_LARGE
    ),
    # A ratio of gaps: two subtractions of numbers up to 3 and one division, gaps of 0.5 and more.
    "matrices.spacing_ratios": Case(lambda p: matrices.spacing_ratios(p.put(VALUES)), slack=2 * 3 / 0.5 + 1),
    # Sums of five values; the exponential of an entropy of about 1.5, of logarithms of at most 2.
    "matrices.stable_rank": Case(lambda p: matrices.stable_rank(p.put(VALUES)), slack=20),
    "matrices.entropy_rank": Case(lambda p: matrices.entropy_rank(p.put(VALUES)), slack=5 * 10 * 2),
    # Fitted on the host to values that are held exactly in either precision.
    "matrices.fit_tail": Case(lambda p: matrices.fit_tail(p.put(TAIL)).exponent, slack=1),
    # The law is evaluated on the host; the values are held exactly.
    "matrices.kolmogorov_distance": Case(
        lambda p: matrices.kolmogorov_distance(p.put(VALUES), matrices.MarchenkoPastur(0.5).singular()),
        slack=1,
    ),
    "matrices.fit_edge": Case(lambda p: matrices.fit_edge(p.put(VALUES), (9, 5)), slack=1),
    "matrices.Spiked.sample": Case(
        # W = S + R, with S a product of two factors of three columns, entries below 4
        lambda p: _draw(p, (2.0, 1.5)),
        slack=(3 + 3) * 4.0,
    ),
    # After six steps the whole space: vectors turn by eps over the relative gaps, here above 1/10.
    "matrices.extreme_eigenvalues": Case(lambda p: _extreme(p.put(SYMMETRIC)), slack=10 * SPECTRAL),
    "matrices.spectral_density": Case(
        lambda p: [float(x) for x in _density(p.put(SYMMETRIC)).moment(2)], slack=10 * SPECTRAL * 4.0
    ),
    "matrices.sample_goe": Case(lambda p: matrices.sample_goe(5, stream=p.stream), slack=3 * 4.0),
    # As for the ratios; ranks among draws do not move.
    "matrices.compare_ratios": Case(
        lambda p: matrices.compare_ratios(p.put(VALUES), matrices.independent_points(5, trials=300, rng=3)),
        slack=2 * 3 / 0.5 + 1,
    ),
    "matrices.unfolded_spacings": Case(
        lambda p: matrices.unfolded_spacings(p.put(VALUES), window=1), slack=2 * 3 / 0.5 + 4, on_host=True
    ),
    # Sums of 2 x 36 squares of numbers below 4, then ratios of them.
    "matrices.estimate_shrinkage": Case(
        lambda p: matrices.estimate_shrinkage(p.placement.asarray(np.stack([SYMMETRIC, -SQUARE]))),
        slack=2 * 36 * 16.0,
    ),
    "matrices.Shrinkage.apply": Case(
        lambda p: matrices.optimal_shrinkage(noise=1.0, dispersion=2.0, target=0.5).apply(p.put(SYMMETRIC)),
        slack=3 * 4.0,
    ),
    "matrices.Gaussian.sample": _noise(matrices.Gaussian()),
    "matrices.Rademacher.sample": _noise(matrices.Rademacher()),
    "matrices.Uniform.sample": _noise(matrices.Uniform()),
    "matrices.StudentT.sample": _noise(matrices.StudentT(5.0)),
    "matrices.SparseSigns.sample": _noise(matrices.SparseSigns(0.5)),
    "matrices.RowScaled.sample": _noise(matrices.RowScaled(0.8)),
    "matrices.ColumnScaled.sample": _noise(matrices.ColumnScaled(0.8)),
    "matrices.HaarRotated.sample": _noise(matrices.HaarRotated(), roundings=6.0),
    # floor 3
    "networks.Dense.linear": Case(lambda p: _network(p).layers[0].linear(p.put(X)), slack=FORWARD),
    "networks.Dense.activate": Case(
        lambda p: [networks.Dense(p.put(W1), None, a).activate(p.put(X)) for a in ("relu", "abs", "identity")]
    ),
    "networks.Dense.slope": Case(
        lambda p: [networks.Dense(p.put(W1), None, a).slope(p.put(X)) for a in ("relu", "abs", "identity")]
    ),
    "networks.Dense.__call__": Case(lambda p: _network(p).layers[0](p.put(X)), slack=FORWARD),
    "networks.Network.logits": Case(lambda p: _network(p).logits(p.put(X)), slack=FORWARD),
    "networks.Network.unchecked_logits": Case(
        lambda p: _network(p).unchecked_logits(p.put(X)), slack=FORWARD
    ),
    "networks.Network.inputs": Case(lambda p: [_network(p).inputs(x) for x in (X, p.put(X))]),
    "networks.Network.activations": Case(lambda p: _network(p).activations(p.put(X)), slack=FORWARD),
    "networks.Network.replace": Case(
        lambda p: _network(p).replace(1, p.put(-W2)).logits(p.put(X)), slack=FORWARD
    ),
    "networks.Network.tail_lipschitz": Case(
        lambda p: _network(p).tail_lipschitz(0), slack=7 * float(np.max(np.abs(W2).sum(axis=1)))
    ),
    "networks.Network.at": Case(lambda p: _network(p).at(p.placement)),
    "networks.Network.mapped": Case(lambda p: _network(p).mapped(lambda x: -x)),
    "networks.Network.to_arrays": Case(lambda p: _network(p).to_arrays(), on_host=True),
    "networks.convolutional_network": Case(
        lambda p: networks.convolutional_network(
            (2, 4, 4), channels=(3,), hidden=(4,), classes=3, batch_norm=True, dropout=0.5, stream=p.stream
        ),
        slack=2 * 4.0,
    ),
    # The stream's normal numbers, a factor of at most 1, and the cast.
    "networks.initial_network": Case(
        lambda p: networks.initial_network((5, 4, 3), stream=p.stream), slack=2 * 4.0
    ),
    # The planted layer as `Spiked.sample` draws it, and a scaled readout.
    "networks.taught": Case(
        lambda p: (
            networks.taught(
                matrices.Spiked((8, 6), spikes=(2.0,)), train=3, test=2, stream=p.stream, classes=2
            ).teacher
        ),
        slack=(3 + 3) * 4.0,
    ),
    # Exponentials and logarithms of differences up to 8: an error of a few eps each, times the exponent.
    "networks.per_sample_cross_entropy": Case(
        lambda p: networks.per_sample_cross_entropy(p.put(LOGITS), LABELS), slack=8 * 8
    ),
    "networks.cross_entropy": Case(lambda p: networks.cross_entropy(p.put(LOGITS), LABELS), slack=8 * 8),
    "networks.margins": Case(lambda p: networks.margins(p.put(LOGITS), p.put(LABELS)), slack=8),
    "networks.accuracy": Case(lambda p: networks.accuracy(p.put(LOGITS), LABELS), slack=1),
    "networks.argmax_accuracy": Case(lambda p: networks.argmax_accuracy(p.put(LOGITS), LABELS), slack=1),
    # Entries of a gradient are means of products of what `FORWARD` bounds with residuals of at most 1, twice.
    "networks.loss_and_gradients": Case(
        lambda p: networks.loss_and_gradients(_network(p), p.put(X), LABELS, l1=0.01, l2=0.01),
        slack=2 * 8 * FORWARD,
    ),
    # Two epochs of two steps at rate 0.05 add less than the errors of four gradients.
    "networks.train": Case(
        lambda p: [
            networks.train(_network(p), _data(), epochs=2, rate=0.05, batch=3, l2=1e-3, rng=5).network,
        ],
        slack=4 * 2 * 8 * FORWARD,
    ),
    "networks.parameter_vector": Case(lambda p: networks.parameter_vector(_network(p))),
    "networks.with_parameters": Case(
        lambda p: networks.with_parameters(_network(p), -networks.parameter_vector(_network(p)))
    ),
    # An R-derivative is twice a gradient: twice its terms, each a product of three of what `FORWARD` bounds.
    "networks.Hessian.dense": Case(
        lambda p: networks.Hessian(_network(p), p.put(X), LABELS, l2=0.01).dense(), slack=4 * 8 * FORWARD
    ),
    "networks.Hessian.dense/a product": Case(
        lambda p: networks.Hessian(_network(p), X, LABELS) @ networks.parameter_vector(_network(p)),
        slack=4 * 8 * 16 * FORWARD,
    ),
    # Sums of 27 terms through a convolution, its normalisation and two dense layers, entries below 4.
    "networks.Hessian.dense/of images": Case(lambda p: _image_product(p), slack=4 * 8 * 27 * 4.0**2),
    # A cast, a length and a quotient of numbers below 4.
    "networks.random_direction": Case(
        lambda p: networks.random_direction(_network(p), stream=p.stream), slack=(7 + 3) * 4.0
    ),
    # Losses move by at most twice the error of a logit; weights twice as long as those of `FORWARD`, thrice.
    "networks.loss_slice": Case(
        lambda p: networks.loss_slice(_network(p), p.put(X), LABELS, dimensions=2, points=3, l2=0.01).losses,
        slack=2 * 4 * FORWARD,
        on_host=True,
    ),
    "networks.interpolate": Case(
        lambda p: networks.interpolate(_network(p), _network(p).replace(1, p.put(-W2)), X, LABELS),
        slack=2 * FORWARD,
        on_host=True,
    ),
    # Projectors on singular vectors turn by eps over the relative gap of the values, here above 1/10.
    "networks.remove_bulk": Case(lambda p: networks.remove_bulk(p.put(TALL), 1.0), slack=10 * SPECTRAL),
    "networks.shrink_bulk": Case(lambda p: networks.shrink_bulk(p.put(TALL), 1.0), slack=10 * SPECTRAL),
    "networks.keep_largest": Case(lambda p: networks.keep_largest(p.put(TALL), 0.3)),
    "networks.factor_layer": Case(
        lambda p: _product(networks.factor_layer(_network(p).layers[0], 3)), slack=10 * SPECTRAL
    ),
    "networks.factor_network": Case(
        lambda p: _product(networks.factor_network(_network(p), 0, 3).layers[:2]), slack=10 * SPECTRAL
    ),
    "networks.stored_parameters": Case(lambda p: networks.stored_parameters(_network(p))),
    "networks.cut_layer": Case(
        lambda p: [
            networks.cut_layer(p.put(LARGE), arm, parameters=40 * 280, rng=1) for arm in networks.ARMS
        ],
        slack=10 * SPECTRAL_LARGE,
    ),
    "networks.cut_network": Case(
        lambda p: networks.cut_network(_network(p), "mask", parameters=42), slack=FORWARD
    ),
    "networks.cut_at": Case(lambda p: networks.cut_at(1, "mask", parameters=42)(_network(p), 1)),
    # The fit happens on the host: values are off by what `SPECTRAL` allows, an edge by their mean.
    "networks.FittedEdge.read": Case(
        lambda p: networks.FittedEdge().read(p.put(VALUES), (12, 5)), slack=10 * SPECTRAL
    ),
    "networks.PublishedEdge.read": Case(
        lambda p: networks.PublishedEdge().read(p.put(VALUES), (12, 5)), slack=10 * SPECTRAL
    ),
    "networks.PruningRun.__call__": Case(
        lambda p: _pruned(p, networks.PruningSchedule(every=1)), slack=10 * SPECTRAL
    ),
    "networks.PruningRun.__call__/factored, with masks": Case(
        lambda p: _pruned(p, networks.PruningSchedule(every=1, factor=True, small=0.02, hold=True)),
        slack=10 * SPECTRAL,
    ),
    "networks.oracle": Case(
        lambda p: networks.oracle(matrices.Spiked((8, 6), spikes=(2.0,)).sample(p.stream)),
        slack=(3 + 3) * 4.0,
    ),
    # floor 4: the certificates take arrays
    "certificates.sup_change": Case(lambda p: certificates.sup_change(p.put(W1), p.put(X)), slack=FORWARD),
    "certificates.data_path_budget/one constant": Case(
        lambda p: certificates.data_path_budget(p.put(W1), p.put(X), 1.5), slack=2 * 1.5 * FORWARD
    ),
    "certificates.data_path_budget/one a sample": Case(
        lambda p: certificates.data_path_budget(p.put(W1), p.put(X), p.put(np.full(6, 1.5))),
        slack=2 * 1.5 * FORWARD,
    ),
    # Logarithms of numbers between exp(-8) and 1 and their sum: an error of a few eps, times the exponent.
    "certificates.loss_change_bounds": Case(
        lambda p: certificates.loss_change_bounds(p.put(VALUES), p.put(VALUES)), slack=8 * 8
    ),
    # One product with a host number of about 4.
    "certificates.gaussian_radius": Case(
        lambda p: certificates.gaussian_radius(p.put(VALUES), 2.0, n=9, g=1.0, samples=5, delta=0.1), slack=16
    ),
    # The network is copied to the host, its numbers unchanged, and all else happens there.
    "examination.examine": Case(
        lambda p: [
            layer.to_dict()
            for layer in examination.examine(_network(p), _data(), stream=arrays.Stream(1)).layers
        ]
    ),
}
"""Calls by ``floor.function``, a slash and a variant where one call does not reach all of it."""


def _image_layers(place: Place) -> list[Any]:
    """One layer of each kind that acts on the images, two channels of 4 x 4."""
    put = place.put
    layers: list[Any] = [
        networks.Dense(put(IMAGES[:5]), put(IMAGES[0, :5]), "relu"),
        networks.Conv2d(
            put(KERNELS), put(B1[:3]), "abs", image=(2, 4, 4), kernel=(3, 2), stride=(2, 1), padding=(1, 0)
        ),
        networks.MaxPool2d((2, 4, 4), 3, 1),
        networks.BatchNorm(put(B1[:2]), put(B1[2:4]), put(B1[4:6]), put(VALUES[:2]), "relu", positions=16),
        networks.Dropout(32, 0.5),
    ]
    return layers


def _layer_case(kind: str, method: str) -> Case:
    """A call of one method of one kind of layer: inputs and gradients of at most 4, up to 200 roundings."""

    def run(place: Place) -> Any:
        layer = next(one for one in _image_layers(place) if type(one).__name__ == kind)
        x = place.put(IMAGES)
        delta = 0.5 * layer(x)
        calls: dict[str, Callable[[], Any]] = {
            "__call__": lambda: layer(x),
            "linear": lambda: layer.linear(x),
            "activate": lambda: layer.activate(x),
            "slope": lambda: layer.slope(x),
            "pull": lambda: layer.pull(delta),
            "weight_gradient": lambda: layer.weight_gradient(delta, x),
            "bias_gradient": lambda: layer.bias_gradient(delta),
            "forward": lambda: [layer.forward(x)[0], layer.forward(x, place.stream)[0]],
            "backward": lambda: [
                layer.backward(1.0 * delta, layer.forward(x, stream)[1]) for stream in (None, place.stream)
            ],
            "affine": lambda: layer.affine(x, place.stream)[0],
            "affine_backward": lambda: layer.affine_backward(
                delta, layer.affine(x, place.stream)[1], inputs=True
            ),
            "push": lambda: layer.push(x, layer.forward(x)[1]),
            "record": lambda: _recorded(layer, x, place),
        }
        return calls[method]()

    return Case(run, slack=200 * 4.0 * 4.0)


def _recorded(layer: Any, x: Any, place: Place) -> Any:
    """What is recorded is written in place, so into arrays of its own."""
    layer = dataclasses.replace(layer, **{name: 1.0 * array for name, array in layer.arrays.items()})
    layer.record(layer.forward(x, place.stream)[1])
    return layer.arrays


_OF_ALL = ("__call__", "forward", "backward", "record")
_OF_ACTIVATED = (*_OF_ALL, "activate", "slope", "affine", "affine_backward")
_OF_LINEAR = (*_OF_ACTIVATED, "linear", "pull", "weight_gradient", "bias_gradient")
CASES |= {
    f"networks.{kind}.{method}{'/images' if kind == 'Dense' else ''}": _layer_case(kind, method)
    for kind, own in {
        "Dense": _OF_LINEAR,
        "Conv2d": _OF_LINEAR,
        "MaxPool2d": (*_OF_ALL, "push"),
        "BatchNorm": _OF_ACTIVATED,
        "Dropout": _OF_ALL,
    }.items()
    for method in own
}


def _stepped(optimiser: Any) -> Callable[[Place], Any]:
    def run(place: Place) -> Any:
        network = _network(place)
        return networks.train(network, _data(), epochs=2, batch=3, optimiser=optimiser, rng=5).network

    return run


def _train_on_images(place: Place) -> Any:
    """Every kind of layer, a layer that becomes two factors, and a mask."""

    def prune(network: networks.Network, epoch: int) -> Any:
        *before, last = network.layers
        inner = place.put(IMAGES[: last.shape[1], : last.shape[1]])
        longer = networks.Network((*before, networks.Dense(inner, None, "identity"), last))
        return (longer, {0: longer.layers[0].matrix > 0}) if epoch == 1 else None

    network = networks.convolutional_network(
        (2, 4, 4), channels=(3,), hidden=(4,), classes=3, batch_norm=True, dropout=0.5, stream=place.stream
    )
    x, y = IMAGES.astype(np.float32), LABELS.astype(np.int64)
    data = dataclasses.replace(_data(), train_x=x, train_y=y, test_x=x, test_y=y)
    return networks.train(network, data, epochs=2, batch=3, l1=1e-3, l2=1e-3, rng=5, prune=prune).network


# Two epochs of two steps; those of Adam are of size 1e-3 whatever the gradient, which rounding turns by less.
CASES |= {
    # Four steps at rate 0.02, with momentum ten such; 200 roundings of gradients of at most 16 in each.
    "networks.train/images": Case(_train_on_images, slack=4 * 10 * 0.02 * 200 * 16),
    "networks.SGD.step": Case(_stepped(networks.SGD(0.05, 0.5)), slack=4 * 2 * 8 * FORWARD),
    "networks.Adam.step": Case(_stepped(networks.Adam(1e-3, epsilon=1e-3)), slack=4 * 2 * 8 * FORWARD),
}

HOST_ONLY = {
    "arguments that are no arrays": """
        arrays.check_choice arrays.check_count arrays.check_interval arrays.check_shape
        arrays.as_stream arrays.find_placement arrays.Stream.child arrays.Stream.at arrays.Stream.generator
        matrices.parse_noise networks.decay networks.load_dataset
        networks.Network.save networks.Network.load networks.Network.from_arrays networks.Dataset.describe
        networks.best_accuracy networks.published_protocol networks.Protocol.arguments networks.Protocol.rates
        networks.Protocol.events networks.Fading.__call__ networks.PruningSchedule.due
        networks.PruningSchedule.share networks.PruningSchedule.control networks.PruningRun.state
        networks.PruningRun.restore
        networks.open_weights networks.Weights.write
    """,
    "laws and formulas of host numbers": """
        matrices.bulk_edge matrices.lower_edge matrices.spike_threshold matrices.outlier matrices.overlaps
        matrices.spike_from_outlier matrices.d_transform matrices.hard_threshold
        matrices.hard_threshold_unknown_noise matrices.shrink
        matrices.wigner_outlier matrices.wigner_overlap matrices.wigner_curvature matrices.optimal_shrinkage
        matrices.EdgeEstimate.top_p_value
        matrices.tracy_widom_scaling matrices.largest_singular_value_quantile
        certificates.width_where_radius_speaks
    """,
    "samples that are host numbers by contract": """
        networks.Dataset.subset networks.spiked_features networks.fourier_regression
        networks.Regression.least_squares networks.Regression.excess
        matrices.null_singular_values matrices.spiked_singular_values matrices.Spiked.singular_values
        matrices.goe_eigenvalues matrices.independent_points networks.LossSlice.width
        matrices.sample_edge matrices.count_singular_values
        matrices.sample_action matrices.Action.kept matrices.Action.truncated matrices.Action.estimated_edge
    """,
}
"""Public names without a case, by the reason why they need none; methods of laws are of the second kind."""
