"""The group of all commands, and options that several of them take."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, TypeVar

import click

from rmttheory import __version__

Command = TypeVar("Command", bound=Callable[..., Any])

EPILOG = (
    "Exit status: 0 nothing refuted, 1 something refuted, 2 bad input, 130 interrupted (results are kept)."
)
DENSE = "Draw matrices in full, also Gaussian ones, whose law is known without."


def nothing_to_stop() -> None:
    """Be deaf to Ctrl-C from here on: all is done, and Python takes a moment to leave."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
quiet = click.option("--quiet", is_flag=True, help="No progress and no tables.")
seed = click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")


def output(command: Command) -> Command:
    """Add the options that say what is printed."""
    return as_json(quiet(command))


def shared(command: Command) -> Command:
    """Add the options of commands that draw random numbers."""
    return seed(output(command))


on_device = click.option(
    "--device", default="cpu", show_default=True, help="Where it is computed: cpu or cuda."
)


def parallel(command: Command) -> Command:
    """Add the options of commands that judge on several processes."""
    for option in (
        click.option("--alpha", type=float, default=1e-6, show_default=True, help="Level of the whole run."),
        click.option("--jobs", type=int, help="Processes; as many as there are usable cores if omitted."),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(__version__, prog_name="rmttheory")
def app() -> None:
    """Verify the Pruning Theorem of random matrix theory on spiked ensembles and trained networks."""
