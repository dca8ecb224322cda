"""Floor 1: where arrays live, where random numbers come from, what an argument must be."""

from rmttheory.arrays.backend import (
    HOST,
    Array,
    HostArray,
    Placement,
    device,
    like,
    namespace,
    scalar,
    to_host,
)
from rmttheory.arrays.checks import (
    InvalidInput,
    RmtError,
    Unavailable,
    check_choice,
    check_count,
    check_interval,
    check_matrices,
    check_matrix,
    check_shape,
    check_vector,
)
from rmttheory.arrays.devices import find_placement
from rmttheory.arrays.streams import Stream, as_stream

__all__ = [
    "HOST",
    "Array",
    "HostArray",
    "InvalidInput",
    "Placement",
    "RmtError",
    "Stream",
    "Unavailable",
    "as_stream",
    "check_choice",
    "check_count",
    "check_interval",
    "check_matrices",
    "check_matrix",
    "check_shape",
    "check_vector",
    "device",
    "find_placement",
    "like",
    "namespace",
    "scalar",
    "to_host",
]
