"""The command line. It reads options, calls `studies`, prints; it decides nothing."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from rmttheory.cli import ensembles, sweeps, verdicts, weights  # noqa: F401  their commands join the group
from rmttheory.cli.options import app, nothing_to_stop

__all__ = ["app", "main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and leave with its exit status."""
    for stream in (sys.stdout, sys.stderr):  # a terminal without Greek letters is no reason to fail
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        status = _status(arguments)
    except KeyboardInterrupt:  # another one, while something was said of the first
        status = 130
    nothing_to_stop()
    sys.exit(status)


def _status(arguments: Sequence[str] | None) -> int:
    try:
        return int(app.main(args=arguments, prog_name="rmttheory", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return 130
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except Exception as error:
        from rmttheory.arrays import RmtError  # here, so that --help need not load it

        if isinstance(error, RmtError):
            click.echo(f"Error: {error}", err=True)
        elif isinstance(error, MemoryError):  # of the machine or of a GPU
            click.echo("Error: There is not enough memory for this; choose smaller sizes.", err=True)
        else:
            traceback.print_exc()
            click.echo("This is a mistake in rmttheory, not in what you typed; please report it.", err=True)
        return 2
