"""Commands that judge claims."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from rmttheory.cli.options import DENSE, EPILOG, app, on_device, parallel, shared

if TYPE_CHECKING:
    from rmttheory.studies.verification import Verification


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
@on_device
@parallel
@shared
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
@on_device
@parallel
@shared
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
@on_device
@shared
def watch(
    name: str,
    settings: tuple[str, ...],
    most: str,
    alpha: float,
    device: str,
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
        run = watch_claim(
            name, given, seed=seed, alpha=alpha, most=limit, device=device, out=out, watcher=watcher
        )
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
