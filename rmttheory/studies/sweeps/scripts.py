"""Scripts of experiments: their text travels with the cells, so that no worker needs the file."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass

from rmttheory.arrays import InvalidInput
from rmttheory.studies.experiments import Experiment
from rmttheory.studies.sweeps.keys import digest


@dataclass(frozen=True, kw_only=True)
class Script:
    """A Python file with an ``EXPERIMENT``, as in ``simulations/``; carried out only to check and compute.

    Attributes
    ----------
    name : str
        Of the file, without folder.
    text : str
    """

    name: str
    text: str

    @functools.cached_property
    def key(self) -> str:
        """128 bits of the content."""
        return digest(self.text)

    @property
    def experiment(self) -> Experiment:
        """What the script states.

        Raises
        ------
        InvalidInput
            If it cannot be carried out, or states no experiment.
        """
        return _load(self.name, self.text)

    def check(self, names: Iterable[str]) -> None:
        """Check that the cells of a preset have these parameters, the seed left aside.

        Raises
        ------
        InvalidInput
            If none has; names what is missing and what is too much.
        """
        given = set(names)
        known = [cell.keys() - {"seed"} for preset in self.experiment.presets.values() for cell in preset]
        nearest = min(known, key=lambda parameters: len(parameters ^ given))
        if wrong := sorted(nearest ^ given):
            words = [f"{name} is {'missing' if name in nearest else 'unknown'}" for name in wrong]
            msg = f"Cells of {self.name} have {', '.join(sorted(nearest))}: {', '.join(words)}."
            raise InvalidInput(msg)


@functools.lru_cache(maxsize=16)
def _load(name: str, text: str) -> Experiment:
    module = types.ModuleType(f"rmttheory_script_{digest(text)}")
    module.__file__ = name
    sys.modules[module.__name__] = module  # where data classes look for the names of their fields' types
    try:
        exec(compile(text, name, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        msg = f"Cannot carry out {name}: {type(error).__name__}: {error}."
        raise InvalidInput(msg) from None
    found = getattr(module, "EXPERIMENT", None)
    if not isinstance(found, Experiment) or not found.presets.get("quick"):
        msg = f"{name} states no EXPERIMENT with quick cells; `rmttheory.studies.experiments` shows how."
        raise InvalidInput(msg)
    return found
