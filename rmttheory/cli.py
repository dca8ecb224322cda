"""The command line. It reads options, calls `studies`, prints; it decides nothing."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rmttheory import __version__

if TYPE_CHECKING:
    from rmttheory.studies.sweeps import SweepRun, Where
    from rmttheory.studies.verification import Verification

Command = TypeVar("Command", bound=Callable[..., Any])

EPILOG = (
    "Exit status: 0 nothing refuted, 1 something refuted, 2 bad input, 130 interrupted (results are kept)."
)
DENSE = "Draw matrices in full, also Gaussian ones, whose law is known without."

ORDERS = "file, name, size, spikes, energy, fit, tail, spread, rank or saved"


def _shared(command: Command) -> Command:
    """Add the options that every command takes."""
    for option in (
        click.option("--quiet", is_flag=True, help="No progress and no tables."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout."),
        click.option("--seed", type=int, default=0, show_default=True, help="Of everything random."),
    ):
        command = option(command)
    return command


_on_device = click.option(
    "--device", default="cpu", show_default=True, help="Where it is computed: cpu or cuda."
)


def _parallel(command: Command) -> Command:
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


@app.command(epilog=EPILOG, short_help="Judge claims on ensembles and a trained network.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--preset", default="quick", show_default=True, help="quick, standard or full: cells and trials."
)
@click.option("--data", help="Data set of the trained network: a name, a folder or a .npz file.")
@click.option(
    "--n", "widths", default="", help="Width, or three or more between commas for limit statements."
)
@click.option("--out", metavar="DIR", help="Folder for verdicts.json, the report and its figures.")
@click.option(
    "--replay", metavar="FILE", help="Draw the trial of a counterexample file again, and nothing else."
)
@click.option("--dense", is_flag=True, help=DENSE)
@_on_device
@_parallel
@_shared
def verify(
    ids: tuple[str, ...],
    preset: str,
    data: str | None,
    widths: str,
    dense: bool,
    device: str,
    out: str | None,
    replay: str | None,
    jobs: int | None,
    alpha: float,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Judge claims (all if no ID or `all` is given) on ensembles and on a network trained on real images."""
    if replay:
        return _replay(replay, as_json=as_json, quiet=quiet)
    from rmttheory.studies.parsing import parse_counts, parse_ids
    from rmttheory.studies.pool import usable_cores
    from rmttheory.studies.tables import (
        left_out_sentences,
        path_sentence,
        summary,
        vacuous_sentences,
    )
    from rmttheory.studies.terminal import print_verdicts, watching
    from rmttheory.studies.verification import verify_suite

    with watching(quiet=quiet) as watcher:
        result = verify_suite(
            parse_ids(ids),
            preset=preset,
            seed=seed,
            workers=usable_cores() if jobs is None else jobs,
            alpha=alpha,
            data=data,
            widths=parse_counts(widths, "n"),
            dense=dense,
            device=device,
            out=out,
            watcher=watcher,
        )
    if not as_json and not quiet:
        verdicts = result.run.verdicts
        print_verdicts(verdicts)
        sentences = (*vacuous_sentences(verdicts), *left_out_sentences(result.run.left_out))
        ends = f"{summary(verdicts)}. {path_sentence(verdicts)}".rstrip()
        click.echo("\n".join(["", *sentences, ends]))
    return _end(result, as_json=as_json, quiet=quiet)


@app.command(
    epilog="Exit status: 0 every control refuted, 1 some control not refuted, 2 bad input.",
    short_help="Judge broken variants, each of which must be refuted.",
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--dense", is_flag=True, help=DENSE)
@_on_device
@_parallel
@_shared
def controls(
    ids: tuple[str, ...],
    dense: bool,
    device: str,
    jobs: int | None,
    alpha: float,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Judge broken variants of claims: if one is not refuted, the evidence for its claim is worth nothing."""
    from rmttheory.studies.parsing import parse_ids
    from rmttheory.studies.pool import usable_cores
    from rmttheory.studies.tables import path_sentence
    from rmttheory.studies.terminal import print_controls, watching
    from rmttheory.studies.verification import verify_controls

    with watching(quiet=quiet) as watcher:
        result = verify_controls(
            parse_ids(ids),
            seed=seed,
            workers=usable_cores() if jobs is None else jobs,
            alpha=alpha,
            dense=dense,
            device=device,
            watcher=watcher,
        )
    if not as_json and not quiet:
        print_controls(result.run.verdicts)
        click.echo(f"\n{result.controls_sentence} {path_sentence(result.run.verdicts)}".rstrip())
    status = _end(result, as_json=as_json, quiet=quiet)
    return status if status > 1 else int(not result.all_refuted)


@app.command(epilog=EPILOG, short_help="Judge one claim for as long as you like.")
@click.argument("name", metavar="ID")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter; may be repeated.")
@click.option("--most", default="1000000", show_default=True, help="Trials after which to stop undecided.")
@click.option("--alpha", type=float, default=1e-6, show_default=True, help="Level, however often one looks.")
@click.option("--out", metavar="FILE", help="Kept after every look; the same command goes on from there.")
@_shared
def watch(
    name: str,
    settings: tuple[str, ...],
    most: str,
    alpha: float,
    out: str | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Judge one claim until it is decided or you stop it, by evidence that may be looked at at any time."""
    from rmttheory.studies.long_runs import watch as watch_claim
    from rmttheory.studies.parsing import parse_count, parse_settings
    from rmttheory.studies.terminal import watching

    given, limit = parse_settings(settings), parse_count(most, "most")
    with watching(quiet=quiet) as watcher:
        run = watch_claim(name, given, seed=seed, alpha=alpha, most=limit, out=out, watcher=watcher)
    if run.verdict and as_json:
        click.echo(json.dumps(run.verdict.to_dict(), indent=1))
    elif run.verdict and not quiet:
        click.echo(str(run.verdict))
    if run.unwritten:
        click.echo(f"Error: {run.unwritten}", err=True)
    if run.interrupted:
        click.echo("Interrupted. The verdict on the trials so far has its full level.", err=True)
    return run.status


@app.command(short_help="List every claim.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def claims(as_json: bool) -> int:
    """List every claim: what it states, where it comes from, what it needs."""
    from rmttheory.studies.tables import claim_list
    from rmttheory.studies.terminal import print_table
    from rmttheory.studies.typeset import to_text

    listed = claim_list()
    if as_json:
        click.echo(json.dumps(listed, indent=1))
        return 0
    print_table(
        ("claim", "kind", "statement"),
        [(one["id"], one["kind"], to_text(one["statement"])) for one in listed],
    )
    return 0


@app.command(short_help="Draw an ensemble beside the law of its bulk.")
@click.option(
    "--shape", required=True, metavar="NxM", help="Rows (outputs) x columns (inputs), such as 4000x2000."
)
@click.option("--spikes", default="", metavar="LIST", help="Singular values of the signal, such as 1.5,1.2.")
@click.option("--noise", default="gaussian", show_default=True, help="Law of the noise, such as student-t:5.")
@click.option(
    "--g", type=float, default=1.0, show_default=True, help="Noise level: entries have variance g/n."
)
@click.option("--dense", is_flag=True, help=DENSE)
@_on_device
@click.option("--out", metavar="FILE", help="Figure to write: .png, .pdf or .svg.")
@_shared
def spectrum(
    shape: str,
    spikes: str,
    noise: str,
    g: float,
    dense: bool,
    device: str,
    out: str | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Draw a spiked ensemble; compare its spectrum with the law, its outliers with their predictions."""
    from rmttheory.studies.parsing import parse_numbers, parse_shape
    from rmttheory.studies.pool import one_blas_thread
    from rmttheory.studies.records import FIGURES, check_target
    from rmttheory.studies.spectrum import spectrum_lines, study_spectrum
    from rmttheory.studies.terminal import watching

    size, strengths = parse_shape(shape), parse_numbers(spikes, "spikes")
    target = check_target(out, FIGURES) if out else None
    with one_blas_thread(), watching(quiet=quiet) as watcher:
        study = study_spectrum(
            size,
            spikes=strengths,
            noise=noise,
            g=g,
            seed=seed,
            dense=dense,
            device=device,
            watcher=watcher,
        )
    if as_json:
        click.echo(json.dumps(study.to_dict(), indent=1))
    elif not quiet:
        click.echo("\n".join(spectrum_lines(study)))
    if target:
        from rmttheory.studies.pictures import save_spectrum

        save_spectrum(study, target)
    return 0


@app.command(short_help="Draw the top of the spectrum of a matrix of any size, beside its theory.")
@click.option("--rows", required=True, metavar="N", help="Outputs, such as 1e9.")
@click.option("--columns", metavar="M", help="Inputs; or give --aspect.")
@click.option("--aspect", type=float, metavar="C", help="Columns over rows; 1 if --columns is not given.")
@click.option("--spikes", default="", metavar="LIST", help="Singular values of the signal, such as 1.5,1.2.")
@click.option("--top", metavar="K", help="How many values; one more than spikes if omitted.")
@click.option("--trials", default="20", show_default=True, help="How many matrices.")
@click.option(
    "--g", type=float, default=1.0, show_default=True, help="Noise level: entries have variance g/n."
)
@click.option("--jobs", type=int, help="Processes; one, or for long work all usable cores, if omitted.")
@_shared
def edge(
    rows: str,
    columns: str | None,
    aspect: float | None,
    spikes: str,
    top: str | None,
    trials: str,
    g: float,
    jobs: int | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Draw the largest singular values and both overlaps of spikes in Gaussian noise, without the matrix."""
    from rmttheory.studies.edge import (
        HEADINGS,
        OVERLAP_HEADINGS,
        edge_lines,
        edge_rows,
        overlap_rows,
        study_edge,
    )
    from rmttheory.studies.parsing import parse_count, parse_numbers, parse_size
    from rmttheory.studies.terminal import print_table, watching

    shape, strengths = parse_size(rows, columns, aspect), parse_numbers(spikes, "spikes")
    wanted, count = parse_count(top, "top") if top else None, parse_count(trials, "trials")
    with watching(quiet=quiet) as watcher:
        study = study_edge(
            shape,
            spikes=strengths,
            top=wanted,
            g=g,
            trials=count,
            seed=seed,
            workers=jobs,
            watcher=watcher,
        )
    if as_json:
        click.echo(json.dumps(study.to_dict(), indent=1))
    elif not quiet:
        before, after = edge_lines(study)
        click.echo("\n".join([*before, ""]))
        print_table(HEADINGS, edge_rows(study))
        if study.work.spikes:
            click.echo()
            print_table(OVERLAP_HEADINGS, overlap_rows(study))
        click.echo("\n".join(["", *after]))
    return 0


@app.command(short_help="Train a small network on real images.")
@click.option(
    "--data", default="fashion-mnist-3000", show_default=True, help="A name, a folder or a .npz file."
)
@click.option("--sizes", default="256,256", show_default=True, help="Widths of the hidden layers.")
@click.option("--epochs", type=int, default=40, show_default=True)
@click.option("--rate", type=float, default=0.03, show_default=True, help="Learning rate.")
@click.option("--l1", type=float, default=0.0, show_default=True, help="Weight of the sum of |W_ij|.")
@click.option("--l2", type=float, default=0.003, show_default=True, help="Weight of the sum of W_ij^2.")
@click.option(
    "--prune/--no-prune", default=False, help="Remove the bulk of all layers but the last as it trains."
)
@_on_device
@click.option("--out", required=True, metavar="FILE", help="Network to write: .npz or .safetensors.")
@_shared
def train(
    data: str,
    sizes: str,
    epochs: int,
    rate: float,
    l1: float,
    l2: float,
    prune: bool,
    device: str,
    out: str,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Train a small network on real images, pruned or not, and save it."""
    from rmttheory.studies.parsing import parse_counts
    from rmttheory.studies.pool import one_blas_thread
    from rmttheory.studies.records import NETWORKS, check_target
    from rmttheory.studies.trained import train_network

    target, hidden = check_target(out, NETWORKS), parse_counts(sizes, "sizes")
    with one_blas_thread():
        trained = train_network(
            data,
            hidden,
            seed=seed,
            epochs=epochs,
            rate=rate,
            l1=l1,
            l2=l2,
            prune=prune,
            device=device,
            say=None if quiet else functools.partial(click.echo, err=True),
        )
    trained.network.save(target)
    last = trained.history[-1]
    if as_json:
        click.echo(json.dumps({"file": str(target), **trained.to_dict()}, indent=1))
    elif not quiet:
        click.echo(f"Test accuracy {100 * last.test_accuracy:.1f} %. Saved as {target}.")
    return 0


@app.command(
    epilog="Exit status: 0 all right, 1 some check failed, 2 bad input.",
    short_help="Check and time what a device computes.",
)
@click.option("--device", help="cpu or cuda; a GPU if there is one, if omitted.")
@_shared
def selftest(device: str | None, seed: int, as_json: bool, quiet: bool) -> int:
    """Check what this machine's device computes and time it, in a form to paste into a report of a fault."""
    from rmttheory.studies.pool import one_blas_thread
    from rmttheory.studies.selftest import self_test, self_test_lines
    from rmttheory.studies.terminal import watching

    with one_blas_thread(), watching(quiet=quiet) as watcher:
        result = self_test(device, seed=seed, watcher=watcher)
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=1))
    elif not quiet:
        click.echo("\n".join(self_test_lines(result)))
    return int(not result.passed)


@app.command(
    "inspect",
    epilog="Exit status: 0 inspected, 2 bad input, 130 interrupted.",
    short_help="Look at every layer of a weight file.",
)
@click.argument("file", metavar="FILE")
@click.option("--layers", default="*", show_default=True, metavar="GLOB", help="Only layers of such names.")
@click.option(
    "--sort", default="file", show_default=True, metavar="KEY", help=f"Order of the rows: {ORDERS}."
)
@click.option("--out", metavar="DIR", help="Folder for inspection.json, the report and a figure a layer.")
@_on_device
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes; each holds a layer.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
def inspect_file(
    file: str,
    layers: str,
    sort: str,
    out: str | None,
    device: str,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Look at every matrix of a weight file: bulk, edge, spikes, tail, hypotheses, and what could be removed.

    FILE is safetensors, .npy, .npz, .onnx, PyTorch (.pt, .pth, .bin), HDF5 or Keras, or an index of several.
    Nothing in it is executed.
    """
    from rmttheory.arrays import check_choice
    from rmttheory.studies.inspecting import inspect
    from rmttheory.studies.inspection_rows import ORDERS as KEYS
    from rmttheory.studies.records import Folder
    from rmttheory.studies.terminal import print_renderable, watching

    check_choice(sort, "sort", tuple(KEYS))
    folder = Folder(out) if out else None
    with watching(quiet=quiet) as watcher:
        found = inspect(file, layers=layers, jobs=jobs, device=device, watcher=watcher).sorted(sort)
        report = None
        if folder:
            from rmttheory.studies.inspection_report import write_inspection

            report = write_inspection(found, folder, watcher=watcher)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=1))
    elif not quiet:
        print_renderable(found)
    if report and not quiet:
        click.echo(f"Report: {report}", err=as_json)
    return 0


@app.command(
    "prune",
    epilog="Exit status: 0 pruned, 2 bad input, 130 interrupted (nothing is written then).",
    short_help="Write a weight file with what its bulks let go removed.",
)
@click.argument("file", metavar="FILE")
@click.option("--out", metavar="FILE2", help="The copy to write, which must not be there yet.")
@click.option(
    "--method", default="edge", show_default=True, help="edge, shrink or mask; see the documentation."
)
@click.option("--layers", default="*", show_default=True, metavar="GLOB", help="Only layers of such names.")
@click.option(
    "--budget", type=float, metavar="SHARE", help="Share of the entries to keep, whatever the bulks are."
)
@click.option("--factor", is_flag=True, help="Store what is pruned as two factors (safetensors, .npz).")
@click.option("--dry-run", is_flag=True, help="Say what would change and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
def prune_file(
    file: str,
    out: str | None,
    method: str,
    layers: str,
    budget: float | None,
    factor: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Prune the matrices of a weight file whose bulk passes for noise, or down to a budget.

    FILE is what `inspect` reads. The copy keeps format, names and every byte of what is not pruned.
    """
    from rmttheory.studies.terminal import print_renderable, watching
    from rmttheory.studies.weight_pruning import prune

    if (out is None) != dry_run:
        msg = (
            "--dry-run writes nothing: leave out --out."
            if dry_run
            else "Name the copy with --out, or try --dry-run."
        )
        raise click.UsageError(msg)
    with watching(quiet=quiet) as watcher:
        found = prune(file, out, method=method, layers=layers, budget=budget, factor=factor, watcher=watcher)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=1))
    elif not quiet:
        print_renderable(found)
    if out and not quiet:
        click.echo(f"Written: {out}", err=as_json)
    return 0


@app.command(
    "certify",
    epilog="Exit status: 0 certified as far as possible, 2 bad input, 130 interrupted.",
    short_help="Say whose label stays when bulks are removed.",
)
@click.argument("file", metavar="FILE")
@click.option("--data", required=True, help="A data set, or a .npz file with arrays x and, if known, y.")
@click.option("--layers", default="*", show_default=True, metavar="GLOB", help="Only layers of such names.")
@click.option("--everywhere", is_flag=True, help="Cut every layer at its edge, whatever its bulk is.")
@click.option("--budget", type=float, metavar="SHARE", help="Cut as `prune` does with this budget.")
@click.option("--order", is_flag=True, help="Add the layers one after the other, cheapest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
def certify_file(
    file: str,
    data: str,
    layers: str,
    everywhere: bool,
    budget: float | None,
    order: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Say for samples whether removing the bulk of each layer can change their label.

    FILE is a network that `train` wrote, or an ONNX file, which onnxruntime runs.
    """
    from rmttheory.studies.certified import STEP_HEADINGS
    from rmttheory.studies.certifying import certify, find_samples
    from rmttheory.studies.terminal import print_renderable, print_table, watching

    x, y = find_samples(data)
    with watching(quiet=quiet) as watcher:
        found = certify(file, x, y, layers=layers, everywhere=everywhere, budget=budget, watcher=watcher)
    steps = found.order() if order else ()
    if as_json:
        click.echo(json.dumps(found.to_dict() | {"order": [vars(step) for step in steps]}, indent=1))
    elif not quiet:
        print_renderable(found)
        if order:
            click.echo()
            print_table(STEP_HEADINGS, [step.cells for step in steps])
    return 0


def _computing(command: Command) -> Command:
    """Add the options that say who computes a sweep."""
    for option in (
        click.option("--quiet", is_flag=True, help="No progress and no summary."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout."),
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


@app.command(epilog=SWEEP_EPILOG, short_help="Judge a grid of cells, over processes or a cluster.")
@click.argument("spec", metavar="SPEC.toml")
@click.option("--out", metavar="RUN", help="Folder of the run; the name of SPEC.toml if omitted.")
@_computing
def sweep(spec: str, out: str | None, as_json: bool, quiet: bool, **where: Any) -> int:
    """Judge every cell of a grid of claims by parameters and seeds; each is kept as it ends.

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
    if as_json:
        click.echo(json.dumps(run.progress.to_dict(), indent=1))
    elif not quiet:
        click.echo(run.progress.sentence)
    for sentence in run.troubles:
        click.echo(sentence, err=True)
    return run.status


def _replay(path: str, *, as_json: bool, quiet: bool) -> int:
    from rmttheory.studies.records import replay_file

    replayed = replay_file(path)
    if as_json:
        click.echo(json.dumps(replayed.to_dict(), indent=1))
    elif not quiet:
        click.echo(replayed.sentence)
    return int(replayed.broken)


def _end(result: Verification, *, as_json: bool, quiet: bool) -> int:
    """Print the document if asked for, what went wrong, and where the files are; return the exit status."""
    if as_json:
        click.echo(result.run.to_json(), nl=False)
    for sentence in result.troubles:
        click.echo(sentence, err=True)
    if result.report and not quiet:
        click.echo(f"Report: {result.report}", err=as_json)
    return result.status


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and leave with its exit status."""
    for stream in (sys.stdout, sys.stderr):  # a terminal without Greek letters is no reason to fail
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(_status(arguments))


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
