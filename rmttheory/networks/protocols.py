"""Two arms of one experiment, pruned and control: alike in all but pruning, or as in the published runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from rmttheory.arrays import InvalidInput, check_choice, check_count, check_interval
from rmttheory.networks.bulks import PublishedEdge
from rmttheory.networks.pruning_runs import PruningRun
from rmttheory.networks.schedules import Fading, PruningSchedule

TrainingArm = Literal["pruned", "control"]
_ARMS: tuple[TrainingArm, ...] = get_args(TrainingArm)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How both arms are trained.

    The nominal learning rate of epoch ``i``, from 0, is ``rate * factor ** ((i + 1) // factor_every)``.

    *Equal footing*: both arms have the nominal rate at every epoch and keep their velocities throughout. The
    control measures at the same epochs and removes nothing.

    *As published*: the public code of the Pruning Theorem multiplies the rate each epoch, but an optimiser
    keeps the rate that it was built with. So

    * the pruned arm has the undivided ``rate`` until the first pruning; its optimiser is built anew at each
      pruning, and only then does its rate fall, to the nominal one of that epoch;
    * the optimiser of the control is built anew at the same epochs, each time with the undivided ``rate``,
      which never falls;
    * in both arms velocities are 0 after each pruning;
    * until its first rebuild the control steps the parameters of the other network: it is not trained.

    Whether pruning helps can then not be told from whether a lower rate and more epochs of training help.

    Parameters
    ----------
    schedule : PruningSchedule
        Of the pruned arm.
    epochs : int
    rate, momentum : float
    factor, factor_every
        How the nominal rate falls.
    equal : bool
        Equal footing, or as published.

    Raises
    ------
    InvalidInput
        If a parameter is out of range.
    """

    schedule: PruningSchedule
    epochs: int
    rate: float = 0.02
    momentum: float = 0.9
    factor: float = 0.96
    factor_every: int = 1
    equal: bool = True

    def __post_init__(self) -> None:
        check_count(self.epochs, "epochs")
        check_interval(self.rate, "rate", low=0.0)
        check_interval(self.momentum, "momentum", low=0.0, high=1.0, closed="low")
        check_interval(self.factor, "factor", low=0.0, high=1.0, closed="high")
        check_count(self.factor_every, "factor_every")

    def events(self) -> tuple[int, ...]:
        """Numbers of epochs done at which the pruned arm is pruned."""
        return tuple(done for done in range(1, self.epochs + 1) if self.schedule.due(done))

    def rates(self, arm: TrainingArm) -> tuple[float, ...]:
        """Return the learning rate of an arm at each epoch; 0 where it is not trained."""
        check_choice(arm, "arm", _ARMS)
        return tuple(self.rate * self._factor(arm, epoch) for epoch in range(self.epochs))

    def arguments(self, arm: TrainingArm) -> dict[str, Any]:
        """Return what `train` needs for an arm; ``arguments(arm)["prune"].events`` tells what it did.

        Give the same ``rng``, ``batch`` and penalties to both arms.
        """
        check_choice(arm, "arm", _ARMS)
        schedule = self.schedule if arm == "pruned" else self.schedule.control()
        return {
            "epochs": self.epochs,
            "rate": self.rate,
            "momentum": self.momentum,
            "schedule": lambda epoch: self._factor(arm, epoch),
            "prune": PruningRun(schedule, always=not self.equal),
            "reset_at_pruning": not self.equal,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {name: value for name, value in asdict(self).items() if name != "schedule"}
        rates = {arm: list(self.rates(arm)) for arm in _ARMS}
        return plain | {"schedule": self.schedule.to_dict(), "rates": rates}

    def _factor(self, arm: TrainingArm, epoch: int) -> float:
        built = epoch if self.equal else max((done for done in self.events() if done <= epoch), default=None)
        if built is None:
            return 1.0 if arm == "pruned" else 0.0
        if arm == "control" and not self.equal:
            return 1.0
        return float(self.factor ** ((built + 1) // self.factor_every))


def published_protocol(
    *,
    every: int,
    epochs: int,
    rate: float = 0.02,
    momentum: float = 0.9,
    span: float = 300.0,
    edge: PublishedEdge | None = None,
) -> Protocol:
    """Return the protocol of the published runs on dense networks, with what `Protocol` says of them.

    They prune at the start of every ``every``-th epoch, counted from 1, so after one epoch less than
    ``every``, keep the share ``1 - epoch / span`` of the values below the edge, with the number of the epoch
    that begins, cut every layer, the last included, and store it as two factors when that saves parameters.
    The papers' text has ``span=200``. Their penalties are ``l1 = l2 = 5e-6``, their batches 128.

    Two further properties of that code are not repeated here: where a layer is factored a second time its
    bias is lost, and where nothing is left of a layer it has no inner units.

    Parameters
    ----------
    every : int
        From 2: training prunes after an epoch, and at 1 the first pruning would come before any.
    epochs : int
    rate, momentum, span : float
    edge : PublishedEdge, optional

    Raises
    ------
    InvalidInput
        If a parameter is out of range.
    """
    check_count(every, "every", low=2)
    done = tuple(range(every - 1, check_count(epochs, "epochs"), every))
    if not done:
        msg = f"`epochs` must be at least {every}, where the first pruning is, not {epochs}."
        raise InvalidInput(msg)
    check_interval(span, "span", low=1.0, closed="low")
    return Protocol(
        schedule=PruningSchedule(
            epochs=done,
            keep=Fading(span=span, start=1 - 1 / span),
            edge=edge or PublishedEdge(),
            last_at_least=1,
            factor=True,
        ),
        epochs=epochs,
        rate=rate,
        momentum=momentum,
        equal=False,
    )
