"""Floor 2: random matrix theory. It knows nothing of networks.

Scale of everything here: ``W``, ``S``, ``R`` are ``n x m``, entries of the noise ``R`` have variance
``g / n``, ``c = m / n``, and ``s`` are singular values. The bulk then ends at ``sqrt(g) (1 + sqrt(c))``.
"""

from rmttheory.matrices.actions import Action, sample_action
from rmttheory.matrices.band import null_singular_values, spiked_singular_values
from rmttheory.matrices.counting import count_singular_values
from rmttheory.matrices.damping import Shrinkage, estimate_shrinkage, optimal_shrinkage
from rmttheory.matrices.edge_sampling import EdgeSample, sample_edge
from rmttheory.matrices.edges import EdgeEstimate, EdgeStatus, fit_edge
from rmttheory.matrices.effective_ranks import entropy_rank, stable_rank
from rmttheory.matrices.ensembles import Draw, Spiked
from rmttheory.matrices.krylov import Factored, TopValues, top_singular_values
from rmttheory.matrices.lanczos import (
    Estimate,
    ExtremeValues,
    SpectralDensity,
    extreme_eigenvalues,
    spectral_density,
)
from rmttheory.matrices.laws import MarchenkoPastur, QuarterCircle, SingularMarchenkoPastur
from rmttheory.matrices.local_statistics import (
    GoeRatio,
    PoissonRatio,
    PoissonSpacing,
    RatioComparison,
    WignerSurmise,
    compare_ratios,
    independent_points,
    unfolded_spacings,
)
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
from rmttheory.matrices.tails import TailFit, fit_tail, noise_exponent
from rmttheory.matrices.tracy_widom import TracyWidom, largest_singular_value_quantile, tracy_widom_scaling
from rmttheory.matrices.wigner import (
    Semicircle,
    goe_eigenvalues,
    sample_goe,
    wigner_curvature,
    wigner_outlier,
    wigner_overlap,
)

__all__ = [
    "Action",
    "ColumnScaled",
    "Draw",
    "EdgeEstimate",
    "EdgeSample",
    "EdgeStatus",
    "Estimate",
    "ExtremeValues",
    "Factored",
    "Gaussian",
    "GoeRatio",
    "HaarRotated",
    "MarchenkoPastur",
    "Noise",
    "PoissonRatio",
    "PoissonSpacing",
    "QuarterCircle",
    "Rademacher",
    "RatioComparison",
    "RowScaled",
    "Semicircle",
    "Shrinkage",
    "SingularMarchenkoPastur",
    "SparseSigns",
    "SpectralDensity",
    "Spectrum",
    "SpikeEstimate",
    "SpikeStatus",
    "Spiked",
    "StudentT",
    "TailFit",
    "TopValues",
    "TracyWidom",
    "Uniform",
    "WignerSurmise",
    "bulk_edge",
    "compare_ratios",
    "count_singular_values",
    "d_transform",
    "entropy_rank",
    "estimate_shrinkage",
    "extreme_eigenvalues",
    "fit_edge",
    "fit_tail",
    "goe_eigenvalues",
    "hard_threshold",
    "hard_threshold_unknown_noise",
    "independent_points",
    "kolmogorov_distance",
    "largest_singular_value_quantile",
    "lower_edge",
    "noise_exponent",
    "null_singular_values",
    "optimal_shrinkage",
    "outlier",
    "overlaps",
    "parse_noise",
    "sample_action",
    "sample_edge",
    "sample_goe",
    "shrink",
    "singular_values",
    "spacing_ratios",
    "spectral_density",
    "spectrum",
    "spike_from_outlier",
    "spike_threshold",
    "spiked_singular_values",
    "stable_rank",
    "top_singular_values",
    "tracy_widom_scaling",
    "unfolded_spacings",
    "wigner_curvature",
    "wigner_outlier",
    "wigner_overlap",
]
