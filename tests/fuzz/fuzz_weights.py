"""Search for bytes on which the readers of weight files do anything but read or refuse, guided by coverage.

``python tests/fuzz/fuzz_weights.py CORPUS -max_total_time=3600`` runs for an hour; options are libFuzzer's.
The first byte of an input chooses the format; for those inside archives the rest is the part that is hard to
get right, so that no effort is lost on checksums. Anything but `InvalidInput` stops the search and leaves the
input in a file ``crash-...``.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rmttheory.networks.weights", "rmttheory.networks.files"]):
    from rmttheory.arrays import InvalidInput
    from rmttheory.networks.weights import open_weights

import numpy as np

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-weights-"))
FORMATS = ("safetensors", "npy", "npz", "zip", "pickle", "script", "onnx", "index")


def main() -> None:
    """Seed the corpus and start libFuzzer."""
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    for folder in folders[:1]:
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / f"seed-{number}").write_bytes(seed)
    (FOLDER / "beside.safetensors").write_bytes(safetensors())
    atheris.Setup([sys.argv[0], "-timeout=20", "-rss_limit_mb=1500", "-max_len=8192", *sys.argv[1:]], one)
    atheris.Fuzz()


def one(data: bytes) -> None:
    """Read one input, and write it once if it can be read."""
    if not data:
        return
    path = build(FORMATS[data[0] % len(FORMATS)], data[1:])
    try:
        weights = open_weights(path)
        for layer in weights.layers:
            layer.read()
        if len(weights.files) == 1 and weights.layers:
            weights.write(FOLDER / "copy", [(weights.layers[0], np.zeros(weights.layers[0].shape))])
    except InvalidInput as error:
        text = str(error)
        if "\n" in text or not text.endswith(".") or not text.isprintable():
            raise AssertionError(text) from error


def build(kind: str, data: bytes) -> Path:
    """Put the bytes where a reader of the format looks for them."""
    if kind in ("safetensors", "npy", "onnx"):
        path = FOLDER / f"a.{kind}"
        path.write_bytes(data)
    elif kind == "index":
        path = FOLDER / "a.index.json"
        path.write_bytes(data)
    elif kind == "zip":
        path = FOLDER / "a.zip"
        path.write_bytes(data)
    else:
        path = FOLDER / "a.pt"
        parts = {"npz": ("w.npy",), "pickle": ("a/data.pkl",), "script": ("a/data.pkl", "a/constants.pkl")}[
            kind
        ]
        with zipfile.ZipFile(path, "w") as archive:
            for part in parts:
                archive.writestr(part, data)
            for number in range(2 if kind != "npz" else 0):
                archive.writestr(f"a/data/{number}", bytes(96))
                archive.writestr(f"a/constants/{number}", bytes(96))
    return path


def safetensors() -> bytes:
    """Return a small file with the tensor ``w``."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(24)


def pickled() -> bytes:
    """Return the pickle of a table with one tensor, as PyTorch writes it."""
    return (
        b"\x80\x02}q\x00X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\x00\x00\x00storageq\x03"
        b"ctorch\nFloatStorage\nq\x04X\x01\x00\x00\x000q\x05X\x03\x00\x00\x00cpuq\x06K\x06tq\x07QK\x00K\x02K\x03\x86"
        b"q\x08K\x03K\x01\x86q\tccollections\nOrderedDict\nq\n)Rq\x0btq\x0cRq\rs."
    )


def field(number: int, content: bytes) -> bytes:
    """Return a field of a protobuf message, of fewer than 16,384 bytes."""
    length = len(content)
    return bytes([number << 3 | 2, length & 127 | 128, length >> 7]) + content


def onnx() -> bytes:
    """Return a model that multiplies by ``w``, in the main graph and in one inside an attribute."""
    tensor = b"\x08\x02\x08\x03\x10\x01" + field(8, b"w") + field(9, bytes(24))
    node = field(1, b"x") + field(1, b"w") + field(2, b"y") + field(4, b"MatMul")
    graph = field(1, node) + field(5, tensor)
    choice = field(3, b"choose") + field(4, b"If") + field(5, field(1, b"then_branch") + field(6, graph))
    return b"\x08\x08" + field(7, graph + field(1, choice))


def seeds() -> list[bytes]:
    """Return a valid input of each format."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3), np.float32))
    npy = buffer.getvalue()
    archives = []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, w=np.zeros((2, 3), np.float32))
        archives.append(buffer.getvalue())
    index = json.dumps({"metadata": {}, "weight_map": {"w": "beside.safetensors"}}).encode()
    scripted = b"\x80\x02c__torch__\nNet\n)\x81}X\x01\x00\x00\x00a" + pickled()[2:-1] + b"sb."
    content = {
        "safetensors": [safetensors()], "npy": [npy], "npz": [npy], "zip": archives, "pickle": [pickled()],
        "script": [scripted], "onnx": [onnx()], "index": [index],
    }  # fmt: skip
    return [bytes([FORMATS.index(kind)]) + seed for kind, these in content.items() for seed in these]


if __name__ == "__main__":
    main()
