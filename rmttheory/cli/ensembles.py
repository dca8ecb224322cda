"""Commands that draw ensembles, train a network, and check a machine."""

from __future__ import annotations

import functools
import json

import click

from rmttheory.cli.options import DENSE, app, on_device, shared

spiked = click.option(
    "--spikes", default="", metavar="LIST", help="Singular values of the signal, such as 1.5,1.2."
)
noise_level = click.option(
    "--g", type=float, default=1.0, show_default=True, help="Noise level: entries have variance g/n."
)


@app.command(short_help="Draw an ensemble beside the law of its bulk.")
@click.option(
    "--shape", required=True, metavar="NxM", help="Rows (outputs) x columns (inputs), such as 4000x2000."
)
@spiked
@click.option("--noise", default="gaussian", show_default=True, help="Law of the noise, such as student-t:5.")
@noise_level
@click.option("--dense", is_flag=True, help=DENSE)
@on_device
@click.option("--out", metavar="FILE", help="Figure to write: .png, .pdf or .svg.")
@shared
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
@spiked
@click.option("--top", metavar="K", help="How many values; one more than spikes if omitted.")
@click.option("--trials", default="20", show_default=True, help="How many matrices.")
@noise_level
@click.option("--jobs", type=int, help="Processes; one, or for long work all usable cores, if omitted.")
@shared
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
@on_device
@click.option("--out", required=True, metavar="FILE", help="Network to write: .npz or .safetensors.")
@shared
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
@shared
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
