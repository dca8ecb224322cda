"""Commands on sweeps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from rmttheory.cli.options import Command, app, nothing_to_stop, output

if TYPE_CHECKING:
    from rmttheory.studies.sweeps import SweepRun, Where


def _computing(command: Command) -> Command:
    """Add the options that say who computes a sweep."""
    for option in (
        output,
        click.option("--memory", metavar="SIZE", help="What a worker process may take, such as 4GiB."),
        click.option("--scheduler-file", metavar="FILE", help="The same, by the file that it wrote."),
        click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, whose workers compute."),
        click.option("--jobs", type=int, help="Processes; as many as there are usable cores if omitted."),
    ):
        command = option(command)
    return command


SWEEP_EPILOG = (
    "Exit status: 0 nothing refuted, 1 something refuted, 2 bad input or not all computed, 130 stopped."
)


@app.command(epilog=SWEEP_EPILOG, short_help="Compute a grid of cells, over processes or a cluster.")
@click.argument("spec", metavar="SPEC.toml")
@click.option("--out", metavar="RUN", help="Folder of the run; the name of SPEC.toml if omitted.")
@_computing
def sweep(spec: str, out: str | None, as_json: bool, quiet: bool, **where: Any) -> int:
    """Compute every cell of a grid of claims or experiments by parameters and seeds; each is kept as it ends.

    The same command, or `rmttheory resume RUN`, goes on after whatever ended it.
    """
    from rmttheory.studies.sweeps import read_sweep, run_sweep
    from rmttheory.studies.terminal import watching_sweep

    planned = read_sweep(spec)
    with watching_sweep(quiet=quiet) as watcher:
        run = run_sweep(planned, out or planned.name, where=_where(**where), watcher=watcher)
    return _end_sweep(run, as_json=as_json, quiet=quiet)


@app.command(epilog=SWEEP_EPILOG, short_help="Go on with a sweep.")
@click.argument("run", metavar="RUN")
@click.option("--failed", is_flag=True, help="Try failed cells again.")
@_computing
def resume(run: str, failed: bool, as_json: bool, quiet: bool, **where: Any) -> int:
    """Compute what the run of a sweep lacks: its table is then that of a run that nothing disturbed."""
    from rmttheory.studies.sweeps import resume_sweep
    from rmttheory.studies.terminal import watching_sweep

    with watching_sweep(quiet=quiet) as watcher:
        done = resume_sweep(run, where=_where(**where), retry_failed=failed, watcher=watcher)
    return _end_sweep(done, as_json=as_json, quiet=quiet)


@app.command(epilog=SWEEP_EPILOG, short_help="Say how far a sweep came.")
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
def status(run: str, as_json: bool) -> int:
    """Say how far a sweep came; it may be running."""
    from rmttheory.studies.sweeps import read_progress

    progress = read_progress(run)
    click.echo(json.dumps(progress.to_dict(), indent=1) if as_json else progress.sentence)
    return progress.status


@app.command(short_help="Write the table of a sweep.")
@click.argument("run", metavar="RUN")
@click.option("--to", required=True, metavar="FILE", help="Ends with .csv, .parquet or .json.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON of what was written on stdout.")
@click.option("--quiet", is_flag=True, help="Print nothing.")
def export(run: str, to: str, as_json: bool, quiet: bool) -> int:
    """Write the finished cells of a sweep as a table, a row for each."""
    from rmttheory.studies.sweeps import export_run

    progress = export_run(run, to)
    if as_json:
        click.echo(json.dumps(progress.to_dict() | {"file": to}, indent=1))
    elif not quiet:
        click.echo(progress.sentence, err=True)
    return 0


def _where(*, jobs: int | None, memory: str | None, **scheduler: str | None) -> Where:
    from rmttheory.studies.pool import usable_cores
    from rmttheory.studies.sweeps import Where, parse_memory

    return Where(
        jobs=usable_cores() if jobs is None else jobs,
        memory=parse_memory(memory) if memory else None,
        **scheduler,
    )


def _end_sweep(run: SweepRun, *, as_json: bool, quiet: bool) -> int:
    nothing_to_stop()
    if as_json:
        click.echo(json.dumps(run.progress.to_dict(), indent=1))
    elif not quiet:
        click.echo(run.progress.sentence)
    for sentence in run.troubles:
        click.echo(sentence, err=True)
    return run.status
