"""Distribution functions and quantiles."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scikit_rmt import Remote
from timing import Bench, Way, installed

import rmttheory as rt
from rmttheory.arrays import HostArray

CHECKED = 16
"""Quantiles asked of scikit-rmt, whose time for all is that of these, scaled."""


def _thin(values: Any) -> Any:
    return values[:: max(1, len(values) // 64)]


def _thin_levels(values: Any) -> Any:
    return values[:: len(values) // CHECKED][:CHECKED]


def _ours(call: Callable[[HostArray], Any], at: HostArray, thin: Callable[[Any], Any]) -> Way:
    return Way(name="rmttheory", call=lambda: call(at), kind="ours", answer=thin)


def _remote(task: str, size: int, peers: Any) -> Remote:
    share = CHECKED / size if task.endswith("ppf") else 1.0
    return Remote(interpreter=peers.scikit_rmt(), task=task, size=size, count=CHECKED, share=share)


def _tracy_widom_package() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports a part of SciPy that is about to go
        from TracyWidom import TracyWidom

        return TracyWidom(beta=1)


def mp_cdf_ways(size: int, peers: Any) -> list[Way]:
    """Distribution function of Marchenko-Pastur, c = 1/2."""
    ours = _ours(rt.MarchenkoPastur(0.5).cdf, np.linspace(0.05, 3.0, size), _thin)
    return [ours, *installed((lambda: _remote("mp cdf", size, peers),))]


def mp_ppf_ways(size: int, peers: Any) -> list[Way]:
    """Quantiles of Marchenko-Pastur, c = 1/2."""
    ours = _ours(rt.MarchenkoPastur(0.5).ppf, np.linspace(0.01, 0.99, size), _thin_levels)
    return [ours, *installed((lambda: _remote("mp ppf", size, peers),))]


def tw_cdf_ways(size: int, peers: Any) -> list[Way]:
    """Distribution function of Tracy-Widom, beta = 1."""
    at = np.linspace(-5.0, 4.0, size)

    def package() -> Way:
        law = _tracy_widom_package()
        return Way(name="TracyWidom", call=lambda: law.cdf(at), answer=_thin)

    ours = _ours(rt.TracyWidom(1).cdf, at, _thin)
    return [ours, *installed((package, lambda: _remote("tw cdf", size, peers)))]


def tw_ppf_ways(size: int, peers: Any) -> list[Way]:
    """Quantiles of Tracy-Widom, beta = 1."""
    at = np.linspace(0.01, 0.99, size)

    def package() -> Way:
        law = _tracy_widom_package()
        return Way(name="TracyWidom", call=lambda: law.cdfinv(at), answer=_thin_levels)

    ours = _ours(rt.TracyWidom(1).ppf, at, _thin_levels)
    return [ours, *installed((package, lambda: _remote("tw ppf", size, peers)))]


BENCHES = (
    Bench(
        name="mp-cdf",
        title="Marchenko-Pastur cdf at {size} points",
        ways=mp_cdf_ways,
        size=10**6,
        quick=10**4,
        random=False,
        tiny=640,
        tolerance=lambda size: 1e-9,  # noqa: ARG005
    ),
    Bench(
        name="mp-ppf",
        title="Marchenko-Pastur ppf at {size} points",
        ways=mp_ppf_ways,
        size=10**5,
        quick=10**4,
        random=False,
        tiny=640,
        tolerance=lambda size: 1e-6,  # noqa: ARG005
    ),
    Bench(
        name="tw-cdf",
        title="Tracy-Widom cdf at {size} points, beta = 1",
        ways=tw_cdf_ways,
        size=10**5,
        quick=10**4,
        random=False,
        tiny=640,
        tolerance=lambda size: 1e-4,  # noqa: ARG005
    ),
    Bench(
        name="tw-ppf",
        title="Tracy-Widom ppf at {size} points, beta = 1",
        ways=tw_ppf_ways,
        size=10**5,
        quick=10**4,
        random=False,
        tiny=640,
        tolerance=lambda size: 0.02,  # noqa: ARG005
    ),
)
