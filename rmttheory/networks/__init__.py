"""Floor 3: small networks, real data to train them on, and ways to prune them."""

from rmttheory.networks.arms import ARMS, cut_at, cut_layer, cut_network
from rmttheory.networks.bulks import EdgeReading, FittedEdge, PublishedEdge
from rmttheory.networks.curvature import Hessian
from rmttheory.networks.datasets import Dataset, load_dataset
from rmttheory.networks.factors import factor_layer, factor_network, stored_parameters
from rmttheory.networks.gradients import Gradient, loss_and_gradients
from rmttheory.networks.images import Conv2d, MaxPool2d
from rmttheory.networks.initial import convolutional_network, initial_network
from rmttheory.networks.landscape import LossPath, LossSlice, interpolate, loss_slice, random_direction
from rmttheory.networks.layers import Dense
from rmttheory.networks.losses import (
    accuracy,
    argmax_accuracy,
    cross_entropy,
    margins,
    per_sample_cross_entropy,
)
from rmttheory.networks.network import Network
from rmttheory.networks.normalisation import BatchNorm, Dropout
from rmttheory.networks.optimisers import SGD, Adam
from rmttheory.networks.parameters import parameter_vector, with_parameters
from rmttheory.networks.protocols import Protocol, published_protocol
from rmttheory.networks.pruning import Split, keep_largest, oracle, remove_bulk, shrink_bulk
from rmttheory.networks.pruning_runs import PruningEvent, PruningRun
from rmttheory.networks.schedules import Fading, PruningSchedule
from rmttheory.networks.synthetic import (
    Regression,
    Taught,
    best_accuracy,
    fourier_regression,
    spiked_features,
    taught,
)
from rmttheory.networks.training import Epoch, Trained, decay, train
from rmttheory.networks.weights import Weights, open_weights

__all__ = [
    "ARMS",
    "SGD",
    "Adam",
    "BatchNorm",
    "Conv2d",
    "Dataset",
    "Dense",
    "Dropout",
    "EdgeReading",
    "Epoch",
    "Fading",
    "FittedEdge",
    "Gradient",
    "Hessian",
    "LossPath",
    "LossSlice",
    "MaxPool2d",
    "Network",
    "Protocol",
    "PruningEvent",
    "PruningRun",
    "PruningSchedule",
    "PublishedEdge",
    "Regression",
    "Split",
    "Taught",
    "Trained",
    "Weights",
    "accuracy",
    "argmax_accuracy",
    "best_accuracy",
    "convolutional_network",
    "cross_entropy",
    "cut_at",
    "cut_layer",
    "cut_network",
    "decay",
    "factor_layer",
    "factor_network",
    "fourier_regression",
    "initial_network",
    "interpolate",
    "keep_largest",
    "load_dataset",
    "loss_and_gradients",
    "loss_slice",
    "margins",
    "open_weights",
    "oracle",
    "parameter_vector",
    "per_sample_cross_entropy",
    "published_protocol",
    "random_direction",
    "remove_bulk",
    "shrink_bulk",
    "spiked_features",
    "stored_parameters",
    "taught",
    "train",
    "with_parameters",
]
