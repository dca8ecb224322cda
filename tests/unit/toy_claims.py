"""Claims so small that a test can say what every verdict on them must be."""

from __future__ import annotations

import math
from typing import Any

from rmttheory.arrays import Stream
from rmttheory.theorem.claims import Claim, Control, Parameter
from rmttheory.theorem.hypotheses import Hypothesis, Measurement
from rmttheory.theorem.verdicts import Band, Kind


def uniform(_: Any, stream: Stream) -> float:
    return float(stream.uniform((1,))[0])


def noisy_root(cell: Any, stream: Stream) -> float:
    return float(cell["n"] ** -0.5 * math.exp(0.1 * stream.normal((1,))[0]))


ALWAYS = Hypothesis(
    id="always",
    statement="It is $x \\ge 0$.",
    check=lambda case: Measurement(value=case, threshold=0.0, margin=case, how="compared"),
)

EXACT = Claim(
    id="toy_exact",
    kind=Kind.EXACT,
    statement=r"$x \le 1$ for every uniform $x$.",
    source="derived here",
    hypotheses=(ALWAYS,),
    parameters=(Parameter(name="n", meaning="width", typical=8, low=1, high=1e6),),
    draw=uniform,
    left=lambda case: case,
    controls={
        "half": Control(breaks="The bound is half of what it must be.", changes={"right": lambda _: 0.5}),
    },
)
TAIL = Claim(
    id="toy_tail",
    kind=Kind.TAIL,
    statement=r"$P(x > 0.99) \le 0.05$.",
    source="derived here",
    parameters=(Parameter(name="n", meaning="width", typical=8, low=1, high=1e6),),
    draw=uniform,
    left=lambda case: case,
    right=lambda _: 0.99,
    failure=lambda _: Band(high=0.05, planned=0.01),
    controls={"often": Control(breaks="It fails half the time.", changes={"right": lambda _: 0.5})},
)
VACUOUS = Claim(
    id="toy_vacuous",
    kind=Kind.EXACT,
    statement=r"$x \le 5$, which is known.",
    source="derived here",
    draw=uniform,
    left=lambda case: case,
    right=lambda _: 5.0,
    trivial=lambda _: 1.0,
    speaks_at=lambda _: 25.0,
)
LIMIT = Claim(
    id="toy_limit",
    kind=Kind.LIMIT,
    statement=r"The error is of order $n^{-1/2}$.",
    source="derived here",
    parameters=(Parameter(name="n", meaning="widths", typical=(16, 64, 256, 1024), low=1, high=1e6),),
    draw=noisy_root,
    left=lambda case: case,
    trials=120,
    reconstructed=True,
)

TOYS = (EXACT, TAIL, VACUOUS, LIMIT)
