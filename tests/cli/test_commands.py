"""The other commands, the help, and every bad input: one sentence and exit status 2."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from program import start

from rmttheory import __version__
from rmttheory.theorem.claims import claims

COMMANDS = (
    "verify",
    "controls",
    "watch",
    "claims",
    "spectrum",
    "edge",
    "train",
    "inspect",
    "prune",
    "certify",
    "sweep",
    "status",
    "resume",
    "export",
    "selftest",
)


def test_version(run):
    assert run("--version") == (0, f"rmttheory, version {__version__}\n", "")


@pytest.mark.parametrize("arguments", [(), *((name,) for name in COMMANDS)])
def test_every_command_explains_itself(run, arguments):
    status, out, _ = run(*arguments, "--help")
    assert status == 0
    assert "Usage: rmttheory" in out


def test_every_command_takes_json():
    import click

    from rmttheory.cli import app

    for command in app.commands.values():
        assert "--json" in {name for option in command.params for name in option.opts}, command.name
    assert set(app.commands) == set(COMMANDS)
    assert isinstance(app, click.Group)


def test_help_is_quick():
    """0.3 s is the promise, for an idle machine; the processor time does not depend on who else is busy."""
    took = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "rmttheory", "--help"], check=True, capture_output=True)
        after = os.times()
        took.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    assert min(took) <= 0.3


def test_claims_lists_every_claim(run):
    status, out, err = run("claims", "--json")
    assert (status, err) == (0, "")
    listed = json.loads(out)
    assert [one["id"] for one in listed] == [claim.id for claim in claims()]
    assert {"id", "kind", "statement", "source", "hypotheses", "controls", "reconstructed"} <= set(listed[0])
    _, table, _ = run("claims")
    assert all(claim.id in table for claim in claims())
    assert "\\" not in table


def test_controls_of_one_claim_are_refuted(run):
    status, out, err = run("controls", "ce_lipschitz", "ce_refined", "--jobs", 1)
    assert status == 0
    assert "controls were refuted, as they must be." in out
    assert "refuted      ce_lipschitz/" in err


def test_an_unrefuted_control_is_status_1(run, monkeypatch):
    from dataclasses import replace

    from rmttheory.theorem.claims import Control, find_claim, registry

    kept = {"kept": Control(breaks="Nothing.")}
    monkeypatch.setitem(registry(), "ce_lipschitz", replace(find_claim("ce_lipschitz"), controls=kept))
    status, out, _ = run("controls", "ce_lipschitz", "--jobs", 1, "--json", "--quiet")
    assert status == 1
    assert [verdict["outcome"] for verdict in json.loads(out)["verdicts"]] == ["consistent"]


def test_spectrum_says_what_was_predicted_and_seen(run, tmp_path):
    figure = tmp_path / "figure.svg"
    status, out, err = run(
        "spectrum",
        "--shape",
        "400x200",
        "--spikes",
        "1.5,2,0.3",
        "--noise",
        "rademacher",
        "--g",
        1,
        "--out",
        figure,
    )
    assert (status, err) == (0, "")
    assert figure.read_text().startswith("<?xml")
    assert "Rademacher noise, 400 x 200, 3 spikes" in out
    assert "spike 2: predicted at 2.3717, seen at" in out
    assert "spike 0.3: below the threshold 0.8409, so it should not show" in out
    _, out, _ = run("spectrum", "--shape", "400x200", "--spikes", "2", "--json")
    found = json.loads(out)
    assert found["predicted"] == [pytest.approx(2.3717, abs=1e-4)]
    assert found["seen"] == [pytest.approx(found["predicted"][0], abs=0.3)]


def test_spectrum_says_how_it_was_drawn(run):
    for options, line, path in (
        ((), "drawn without the matrix, from the same law", "band"),
        (("--dense",), "drawn in full", "dense"),
        (("--noise", "rademacher"), "drawn in full", "dense"),
    ):
        assert run("spectrum", "--shape", "60x90", *options)[1].splitlines()[1] == line
        assert json.loads(run("spectrum", "--shape", "60x90", *options, "--json")[1])["path"] == path


def test_edge_of_a_matrix_that_cannot_exist(run):
    asked = (
        "edge",
        "--rows",
        "1e9",
        "--aspect",
        "0.5",
        "--spikes",
        "1.1,0.5",
        "--trials",
        "3",
        "--seed",
        "4",
    )
    status, out, err = run(*asked)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("Gaussian noise, 1,000,000,000 x 500,000,000, 2 spikes")
    assert "without the matrix" in lines[1]
    assert lines[4].split()[:4] == ["value", "mean", "s.e.", "sd"]
    assert lines[5].startswith("1      1.7672")
    assert lines[6].startswith("2      1.70710")
    assert "spike 0.5 is SUBCRITICAL" in out
    document = json.loads(run(*asked, "--json")[1])
    assert [document[name] for name in ("rows", "columns", "seed")] == [10**9, 5 * 10**8, 4]
    assert [len(one["draws"]) for one in document["values"]] == [3, 3, 3]
    (first, hidden) = document["overlaps"]
    assert (first["status"], hidden["status"]) == ("supercritical", "subcritical")
    assert f"{first['left']['mean']:.5f}" in out


@pytest.mark.parametrize("rows", ["1000000", "1_000_000", "1e6", " 1E+6"])
def test_whole_numbers_as_people_write_them(run, rows):
    document = json.loads(run("edge", "--rows", rows, "--columns", "2e6", "--trials", "1e0", "--json")[1])
    assert (document["rows"], document["columns"]) == (10**6, 2 * 10**6)


def test_quiet_edge(run):
    assert run("edge", "--rows", "100", "--trials", 2, "--quiet") == (0, "", "")


def test_spectrum_without_spikes(run):
    status, out, _ = run("spectrum", "--shape", "60x90")
    assert status == 0
    assert "Gaussian noise, 60 x 90, no spikes" in out


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_a_trained_network_is_saved(run, images, tmp_path, ending):
    from rmttheory.networks import Network

    file = tmp_path / f"network.{ending}"
    status, out, err = run("train", "--data", images, "--sizes", "40,30", "--epochs", 3, "--out", file)
    assert status == 0
    assert Network.load(file).sizes == (16, 40, 30, 3)
    assert "Test accuracy" in out
    assert err.count("epoch") == 3


def test_pruning_while_training_lowers_the_rank(run, images, tmp_path):
    from rmttheory.networks import Network

    ranks = {}
    for flag in ("--prune", "--no-prune"):
        file = tmp_path / f"{flag}.npz"
        arguments = ("--sizes", "40,40", "--epochs", 6, "--seed", 1, "--out", file, "--quiet", flag)
        assert run("train", "--data", images, *arguments) == (0, "", "")
        ranks[flag] = np.linalg.matrix_rank(Network.load(file).layers[1].weight)
    assert ranks["--prune"] < ranks["--no-prune"] == 40


def test_same_seed_trains_the_same_network(run, images, tmp_path):
    from rmttheory.networks import Network

    files = [tmp_path / name for name in ("a.npz", "b.npz")]
    for file in files:
        run("train", "--data", images, "--sizes", "20", "--epochs", 2, "--seed", 5, "--out", file, "--quiet")
    one, two = (Network.load(file) for file in files)
    assert all(np.array_equal(a.weight, b.weight) for a, b in zip(one.layers, two.layers))


OUT = ("--out", "/dev/null/x.npz")
BAD = {
    "shape 0": (("spectrum", "--shape", "0x5"), "`shape` must be two whole numbers >= 1"),
    "shape negative": (("spectrum", "--shape", "-4x5"), "`shape` must be rows x columns in whole numbers"),
    "shape not whole": (("spectrum", "--shape", "4.5x5"), "such as 4000x2000, not '4.5x5'"),
    "shape not NxM": (("spectrum", "--shape", "4000"), "such as 4000x2000, not '4000'"),
    "spectrum too long": (("spectrum", "--shape", "9000000x9000000", "--spikes", "2"), "about 19 days"),
    "shape too large": (("spectrum", "--shape", "9000000x9000000", "--dense"), "GiB"),
    "noisy shape too large": (("spectrum", "--shape", "1000000x1000000", "--noise", "uniform"), "GiB"),
    "rows missing": (("edge",), "Missing option '--rows'"),
    "rows no number": (("edge", "--rows", "1e"), "such as 1000000 or 1e6, not '1e'"),
    "rows not whole": (("edge", "--rows", "1.5"), "`rows` must be a whole number"),
    "rows without end": (("edge", "--rows", "1e999999999"), "`rows` must be a whole number"),
    "rows infinite": (("edge", "--rows", "inf"), "`rows` must be a whole number"),
    "rows 0": (("edge", "--rows", "0"), "`rows` must be a whole number >= 1, not 0"),
    "rows too many": (("edge", "--rows", "1e16"), "at most 1e15 rows and columns"),
    "columns twice": (("edge", "--rows", "9", "--columns", "9", "--aspect", "1"), "not both"),
    "no column": (
        ("edge", "--rows", "9", "--aspect", "1e-9"),
        "`aspect` must leave a column or more of 9 rows",
    ),
    "aspect NaN": (("edge", "--rows", "9", "--aspect", "nan"), "`aspect` must be a number in"),
    "top too many": (("edge", "--rows", "9", "--top", "10"), "`top` must be at most 9"),
    "trials 0": (("edge", "--rows", "9", "--trials", "0"), "`trials` must be a whole number >= 1"),
    "edge too large": (("edge", "--rows", "1e9", "--top", "1e4", "--spikes", "2"), "GiB of memory"),
    "edge too long": (("edge", "--rows", "1e9", "--trials", "1e9"), "Ask for fewer"),
    "width too large": (("verify", "margin_stability", "--n", "1e6"), "at width 1,000,000: `n` must be"),
    "width for no ladder": (("verify", "bgn_outlier", "--n", "64"), "takes three widths or more"),
    "dense too wide": (("verify", "finite_confidence", "--n", "1e6", "--dense"), "drawn in full"),
    "spike not a number": (("spectrum", "--shape", "4x4", "--spikes", "1,x"), "`spikes` must be numbers"),
    "spike NaN": (
        ("spectrum", "--shape", "4x4", "--spikes", "nan"),
        "`spikes` must be a number > 0, not nan",
    ),
    "spike infinite": (
        ("spectrum", "--shape", "4x4", "--spikes", "inf"),
        "`spikes` must be a number > 0, not inf",
    ),
    "too many spikes": (("spectrum", "--shape", "2x2", "--spikes", "1,2,3"), "at most 2"),
    "g zero": (("spectrum", "--shape", "4x4", "--g", "0"), "`g` must be a number > 0, not 0.0"),
    "g negative": (("spectrum", "--shape", "4x4", "--g", "-1"), "`g` must be a number > 0"),
    "g NaN": (("spectrum", "--shape", "4x4", "--g", "nan"), "`g` must be a number > 0, not nan"),
    "unknown noise": (("spectrum", "--shape", "4x4", "--noise", "rademacer"), "rademacher"),
    "figure of no kind": (("spectrum", "--shape", "4x4", "--out", "x.jpg"), ".png or .pdf or .svg"),
    "figure nowhere": (
        ("spectrum", "--shape", "4x4", "--out", "/dev/null/x.png"),
        "Cannot write to the folder",
    ),
    "alpha 0": (("verify", "ce_lipschitz", "--alpha", "0"), "`alpha` must be a number in (0, 0.5), not 0.0"),
    "alpha 1/2": (("verify", "ce_lipschitz", "--alpha", "0.5"), "`alpha` must be a number in (0, 0.5)"),
    "alpha NaN": (("controls", "--alpha", "nan"), "`alpha` must be a number in (0, 0.5), not nan"),
    "unknown claim": (("verify", "ce_lipshitz"), "Unknown claim 'ce_lipshitz'. Did you mean ce_lipschitz"),
    "unknown control": (("controls", "ce_lipschitz/nothing"), "Unknown control of ce_lipschitz"),
    "unknown data": (("verify", "--data", "fashion-mnst"), "Unknown data set 'fashion-mnst'. Did you mean"),
    "data nowhere": (("verify", "--data", "/no/such.npz"), "There is no file"),
    "unknown preset": (("verify", "--preset", "quik"), "Unknown preset 'quik'. Did you mean quick?"),
    "folder under a file": (("verify", "ce_lipschitz", "--out", "/dev/null/x"), "Cannot write to the folder"),
    "no processes": (("verify", "ce_lipschitz", "--jobs", "0"), "`jobs` must be a whole number >= 1, not 0"),
    "negative seed": (
        ("verify", "ce_lipschitz", "--seed", "-1"),
        "`seed` must be a whole number >= 0, not -1",
    ),
    "negative seed of a draw": (
        ("spectrum", "--shape", "9x9", "--seed", "-1"),
        "`seed` must be a whole number >= 0, not -1",
    ),
    "seed no number": (("verify", "--seed", "x"), "'x' is not a valid integer"),
    "width no number": (("verify", "ce_lipschitz", "--n", "x"), "`n` must be whole numbers between commas"),
    "width 0": (("verify", "finite_confidence", "--n", "0"), "`n` must be"),
    "replay nothing": (("verify", "--replay", "/no/such.json"), "Cannot read /no/such.json"),
    "network of no kind": (("train", "--out", "x.txt"), "`out` must name a file that ends with .npz"),
    "network nowhere": (("train", *OUT), "Cannot write to the folder /dev/null"),
    "no epochs": (("train", "--epochs", "0", "--out", "x.npz"), "`epochs` must be a whole number >= 1"),
    "rate 0": (("train", "--rate", "0", "--out", "x.npz"), "`rate` must be a number > 0"),
    "penalty negative": (("train", "--l1", "-1", "--out", "x.npz"), "`l1` must be a number >= 0"),
    "sizes no numbers": (("train", "--sizes", "a", "--out", "x.npz"), "`sizes` must be whole numbers"),
    "size 0": (("train", "--sizes", "0", "--out", "x.npz"), "`sizes` must be a whole number >= 1"),
    "unknown command": (("verfy",), "No such command 'verfy'"),
    "unknown option": (("verify", "--prest", "quick"), "No such option"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence_and_status_2(run, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    sentence = err.strip().splitlines()[-1]
    assert sentence.startswith("Error: ")
    assert message in sentence
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - started < 30


ON_DEVICE = [
    ("verify", "mp_bulk"),
    ("verify", "mp_bulk", "--dense", "--out", "report"),
    ("controls", "mp_bulk"),
    ("watch", "tw_edge", "--out", "report.json"),
    ("spectrum", "--shape", "20x10"),
    ("train", "--epochs", 1, "--out", "network.npz"),
    ("selftest",),
    ("inspect", "missing.npz"),
]


@pytest.mark.parametrize("arguments", ON_DEVICE, ids=lambda arguments: " ".join(map(str, arguments[:2])))
def test_a_machine_without_a_gpu_is_one_sentence_and_status_2(arguments, tmp_path):
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}  # hides one that is there
    process = start(*arguments, "--device", "cuda", cwd=tmp_path, env=environment)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert re.fullmatch(r"Error: (No NVIDIA GPU with a driver was found|cupy is not installed).*\.\n", err)
    assert not list(tmp_path.iterdir())


def test_too_little_memory_is_one_sentence_and_status_2(run, monkeypatch):
    def draw(*_, **__):
        raise MemoryError("Out of memory allocating 8,589,934,592 bytes.")  # CuPy's error is one as well

    monkeypatch.setattr("rmttheory.matrices.ensembles.Spiked.sample", draw)
    status, out, err = run("spectrum", "--shape", "20x10", "--dense")
    said = "Error: There is not enough memory for this; choose smaller sizes.\n"
    assert (status, out, err) == (2, "", said)


def test_a_device_that_is_none(run):
    for arguments in ON_DEVICE:
        status, out, err = run(*arguments, "--device", "tpu")
        assert (status, out) == (2, "")
        assert err.startswith("Error: Unknown device 'tpu'. ")
        assert err.count("\n") == 1


def test_data_for_training_that_a_user_spoiled(run, tmp_path):
    file = tmp_path / "bad.npz"
    x = np.full((20, 4), np.nan, dtype=np.float32)
    np.savez(file, x_train=x, y_train=np.arange(20) % 2, x_test=x, y_test=np.arange(20) % 2)
    status, out, err = run("verify", "--data", file)
    assert (status, out) == (2, "")
    assert "NaN or infinite" in err


def test_a_reader_that_leaves_early_is_no_crash():
    command = f"{sys.executable} -m rmttheory claims --json | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[", "")


def test_a_terminal_without_greek_letters_is_no_crash():
    command = [sys.executable, "-m", "rmttheory", "claims"]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=ascii_only, capture_output=True, text=True, check=True)
    assert "row_event_exact" in done.stdout


def test_a_mistake_of_ours_is_not_taken_for_a_refutation(run, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr("rmttheory.studies.verification.verify_suite", broken)
    status, _, err = run("verify", "ce_lipschitz")
    assert status == 2
    assert "ZeroDivisionError: a mistake" in err
    assert "please report it" in err
