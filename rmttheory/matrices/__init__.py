"""Floor 2: random matrix theory. It knows nothing of networks.

Scale of everything here: ``W``, ``S``, ``R`` are ``n x m``, entries of the noise ``R`` have variance
``g / n``, ``c = m / n``, and ``s`` are singular values. The bulk then ends at ``sqrt(g) (1 + sqrt(c))``.
"""

from rmttheory.matrices.actions import Action, sample_action
from rmttheory.matrices.band import null_singular_values, spiked_singular_values
from rmttheory.matrices.counting import count_singular_values
from rmttheory.matrices.edge_sampling import EdgeSample, sample_edge
from rmttheory.matrices.edges import EdgeEstimate, EdgeStatus, fit_edge
from rmttheory.matrices.ensembles import Draw, Spiked
from rmttheory.matrices.krylov import Factored, TopValues, top_singular_values
from rmttheory.matrices.laws import MarchenkoPastur, QuarterCircle, SingularMarchenkoPastur
from rmttheory.matrices.noise import (
    ColumnScaled,
    Gaussian,
    HaarRotated,
    Noise,
    Rademacher,
    RowScaled,
    SparseSigns,
    StudentT,
    Uniform,
    parse_noise,
)
from rmttheory.matrices.spectra import (
    Spectrum,
    kolmogorov_distance,
    singular_values,
    spacing_ratios,
    spectrum,
)
from rmttheory.matrices.spikes import (
    SpikeEstimate,
    SpikeStatus,
    bulk_edge,
    d_transform,
    hard_threshold,
    hard_threshold_unknown_noise,
    lower_edge,
    outlier,
    overlaps,
    shrink,
    spike_from_outlier,
    spike_threshold,
)
from rmttheory.matrices.tracy_widom import TracyWidom, largest_singular_value_quantile, tracy_widom_scaling

__all__ = [
    "Action",
    "ColumnScaled",
    "Draw",
    "EdgeEstimate",
    "EdgeSample",
    "EdgeStatus",
    "Factored",
    "Gaussian",
    "HaarRotated",
    "MarchenkoPastur",
    "Noise",
    "QuarterCircle",
    "Rademacher",
    "RowScaled",
    "SingularMarchenkoPastur",
    "SparseSigns",
    "Spectrum",
    "SpikeEstimate",
    "SpikeStatus",
    "Spiked",
    "StudentT",
    "TopValues",
    "TracyWidom",
    "Uniform",
    "bulk_edge",
    "count_singular_values",
    "d_transform",
    "fit_edge",
    "hard_threshold",
    "hard_threshold_unknown_noise",
    "kolmogorov_distance",
    "largest_singular_value_quantile",
    "lower_edge",
    "null_singular_values",
    "outlier",
    "overlaps",
    "parse_noise",
    "sample_action",
    "sample_edge",
    "shrink",
    "singular_values",
    "spacing_ratios",
    "spectrum",
    "spike_from_outlier",
    "spike_threshold",
    "spiked_singular_values",
    "top_singular_values",
    "tracy_widom_scaling",
]
