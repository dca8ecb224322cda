r"""
A model of your own: inspect, prune, certify
============================================

What can be removed from a model that somebody else has trained, and what becomes of its answers? The model is
that of `Magika <https://github.com/google/magika>`_ (Apache-2.0), which tells 214 types of files by their
first and last bytes: an ONNX file of 3 MB that ``pip install magika`` brings. Everything below runs on the
file as it is; nothing is trained.
"""

import shutil
import tempfile
from pathlib import Path

import magika
import matplotlib
import numpy as np
import sphinx
from rich.console import Console

import rmttheory as rt
from rmttheory.studies import figures

show = Console(width=118).print
folder = Path(magika.__file__).parent / "models" / "standard_v3_3"

# %%
# What is in it
# -------------
# Three matrices: a dense layer that maps each byte to 64 numbers, a convolution, and the layer that gives the
# logits. `inspect` reads them from the file.

found = rt.inspect(folder / "model.onnx")
show(found)

# %%
# None of the bulks passes for noise: training has shaped the whole of each matrix, and the advice is to keep
# all. The spectrum of the convolution shows why: its bulk follows no Marchenko-Pastur law.

with figures.appearance():
    figure = found.plot(found.layers[0].name)

# %%
# What becomes of the answers
# ---------------------------
# The data are files of packages that are here anyway: up to eight for each ending.

endings = [".py", ".json", ".css", ".html", ".js", ".png", ".svg", ".ttf", ".po", ".csv", ".pdf", ".txt"]
kinds = {ending: [] for ending in endings}
for package in (matplotlib, sphinx, np):
    for path in sorted(Path(package.__file__).parent.rglob("*")):
        if path.suffix in kinds and 200 < path.stat().st_size < 1_000_000:
            kinds[path.suffix].append(path)
files = [path for paths in kinds.values() for path in paths[:: max(1, len(paths) // 8)][:8]]
print(f"{len(files)} files of {len(endings)} endings")

# %%
# `prune` writes copies with fewer and fewer numbers in their matrices. Magika loads them again, and says of
# each file what it is.


def answers(model):
    """What a model in some folder says of the files."""
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(folder / "config.min.json", place)
        shutil.copy(model, Path(place) / "model.onnx")
        return [str(one.dl.label) for one in magika.Magika(model_dir=Path(place)).identify_paths(files)]


whole = answers(folder / "model.onnx")
budgets, same = (0.85, 0.7, 0.5, 0.3), {"edge": [], "mask": []}
with tempfile.TemporaryDirectory() as place:
    for method, shares in same.items():
        for budget in budgets:
            copy = Path(place) / f"{method}-{budget}.onnx"
            pruned = rt.prune(folder / "model.onnx", copy, method=method, budget=budget)
            shares.append(np.mean([a == b for a, b in zip(answers(copy), whole)]))
    show(rt.prune(folder / "model.onnx", budget=0.5))

with figures.appearance():
    figure = figures.Figure(figsize=(5.2, 3.2))
    axes = figure.subplots()
    for method, shares in same.items():
        words = {"edge": "smallest singular values removed", "mask": "smallest entries removed"}[method]
        axes.plot([100 * b for b in budgets], [100 * s for s in shares], "o-", label=words)
    axes.set(xlabel="numbers kept in the matrices (%)", ylabel="answers that stay (%)", ylim=(0, 103))
    axes.legend()

# %%
# What is proved
# --------------
# A certificate says for each file whether its answer can change when a bulk is removed, by any share. Of the
# last layer the bound is exact. Behind the others come operations of which nothing is proved (GELU, a layer
# norm): there the table says what was seen. The inputs of the model are the first and the last 1,024 bytes,
# padded with 256.


def inputs(path):
    """What Magika makes of a file."""
    content = path.read_bytes()
    first, last = content[:4096].lstrip()[:1024], content[-4096:].rstrip()[-1024:]
    return [*first, *[256] * (1024 - len(first)), *[256] * (1024 - len(last)), *last]


x = np.array([inputs(path) for path in files])
show(rt.certify(folder / "model.onnx", x, everywhere=True))

# %%
# Cut at their edges, as if their bulks were noise, the matrices lose what the model knows. So the advice of
# `inspect`, which needed no data, was right here. At a budget of 85 % little changes:

show(rt.certify(folder / "model.onnx", x, budget=0.85))
