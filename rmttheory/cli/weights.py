"""Commands on weight files and models of one's own."""

from __future__ import annotations

import json

import click

from rmttheory.cli.options import app, on_device, output

ORDERS = "file, name, size, spikes, energy, fit, tail, spread, rank or saved"

of_layers = click.option(
    "--layers", default="*", show_default=True, metavar="GLOB", help="Only layers of such names."
)


@app.command(
    "inspect",
    epilog="Exit status: 0 inspected, 2 bad input, 130 interrupted.",
    short_help="Look at every layer of a weight file.",
)
@click.argument("file", metavar="FILE")
@of_layers
@click.option(
    "--sort", default="file", show_default=True, metavar="KEY", help=f"Order of the rows: {ORDERS}."
)
@click.option("--out", metavar="DIR", help="Folder for inspection.json, the report and a figure a layer.")
@on_device
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes; each holds a layer.")
@output
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
@of_layers
@click.option(
    "--budget", type=float, metavar="SHARE", help="Share of the entries to keep, whatever the bulks are."
)
@click.option("--factor", is_flag=True, help="Store what is pruned as two factors (safetensors, .npz).")
@click.option("--dry-run", is_flag=True, help="Say what would change and write nothing.")
@output
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
@of_layers
@click.option("--everywhere", is_flag=True, help="Cut every layer at its edge, whatever its bulk is.")
@click.option("--budget", type=float, metavar="SHARE", help="Cut as `prune` does with this budget.")
@click.option("--order", is_flag=True, help="Add the layers one after the other, cheapest first.")
@output
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
