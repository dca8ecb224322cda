"""safetensors: a length, a header in JSON, and the numbers behind it; also in several files with an index."""

from __future__ import annotations

import json
import math
from pathlib import Path, PurePosixPath
from typing import Any

from rmttheory.arrays import InvalidInput
from rmttheory.networks.weights._dtypes import CODES, itemsize
from rmttheory.networks.weights._storage import Region
from rmttheory.networks.weights.tensors import Tensor, tensor

LARGEST_HEADER = 25_000_000
"""A quarter of what the format allows, and more than any in use: JSON takes twenty times its size."""
MOST_FILES = 10_000

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool", "C64": "complex64",
}  # fmt: skip
_NARROW = {"F4": ("float4", 4), "F6_E2M3": ("float6_e2m3", 6), "F6_E3M2": ("float6_e3m2", 6)}
"""Numbers of fewer than eight bits."""


def read(path: Path) -> tuple[list[Tensor], dict[str, str]]:
    """Return the tensors and the texts of a file.

    Raises
    ------
    InvalidInput
        Unless the tensors fill the file without gaps, as the format demands.
    """
    total = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if total < 8 or length > min(total - 8, LARGEST_HEADER):
            msg = (
                f"its header promises {length:,} bytes, and the file has {total:,}; at most "
                f"{LARGEST_HEADER:,} are read."
            )
            raise InvalidInput(msg)
        header = parse_json(file.read(length))
    texts = header.pop("__metadata__", None) or {}
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        msg = "its metadata are not texts."
        raise InvalidInput(msg)
    start = 8 + length
    found = [_entry(path, name, entry, start, total - start) for name, entry in header.items()]
    end = 0
    for begin, until, name in sorted(
        (entry["data_offsets"][0], entry["data_offsets"][1], name) for name, entry in header.items()
    ):
        if begin != end:
            msg = f"its tensor {name[:80]!a} begins at byte {begin:,}, where byte {end:,} comes next."
            raise InvalidInput(msg)
        end = until
    if end != total - start:
        msg = f"its tensors take {end:,} bytes, and {total - start:,} follow the header."
        raise InvalidInput(msg)
    return found, texts


def read_index(path: Path) -> dict[Path, set[str]]:
    """Return which file of an index holds which tensors; every file lies in the folder of the index.

    Raises
    ------
    InvalidInput
    """
    if path.stat().st_size > LARGEST_HEADER:
        msg = f"it has more than {LARGEST_HEADER:,} bytes."
        raise InvalidInput(msg)
    table = parse_json(path.read_bytes()).get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        msg = "it has no table `weight_map` from tensors to files."
        raise InvalidInput(msg)
    files: dict[Path, set[str]] = {}
    checked: dict[str, Path] = {}
    for name, file in table.items():
        if file not in checked:
            checked[file] = beside(path, file)
        files.setdefault(checked[file], set()).add(name)
    if len(files) > MOST_FILES:
        msg = f"it names {len(files):,} files; at most {MOST_FILES:,} are opened."
        raise InvalidInput(msg)
    return files


def beside(path: Path, name: str) -> Path:
    """Return the file of that name in the folder of ``path``.

    Raises
    ------
    InvalidInput
        If the name leads out of the folder, or to no ordinary file.
    """
    parts = PurePosixPath(name).parts
    if (
        not name.isprintable()
        or "\\" in name
        or ":" in name
        or name.startswith("/")
        or ".." in parts
        or not parts
    ):
        msg = f"it names the file {name[:80]!a}, which is not in its own folder."
        raise InvalidInput(msg)
    file = path.parent.joinpath(*parts)
    if len(name) > 250 or not file.is_file():
        msg = f"it names the file {name[:80]!r}, and there is none."
        raise InvalidInput(msg)
    return file


def parse_json(data: bytes) -> dict[str, Any]:
    """Return an object of JSON, in which no name may occur twice.

    Raises
    ------
    InvalidInput
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidInput):
            raise
        msg = "its header is not JSON."
        raise InvalidInput(msg) from None
    if not isinstance(value, dict):
        msg = "its header is not a JSON object."
        raise InvalidInput(msg)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        msg = "it names something twice."
        raise InvalidInput(msg)
    return table


def _entry(path: Path, name: str, entry: Any, start: int, available: int) -> Tensor:
    try:
        code, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, begin, end]
    except (TypeError, KeyError, ValueError):
        numbers = [-1]
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers) or len(numbers) > 66:
        msg = f"its entry {name[:80]!a} is not a type, a shape and two offsets."
        raise InvalidInput(msg)
    if code in _NARROW:
        dtype, bits = _NARROW[code]
    elif code in _DTYPES:
        dtype, bits = _DTYPES[code], 8 * itemsize(_DTYPES[code])
    else:
        msg = f"its tensor {name[:80]!a} has the unknown type {str(code)[:20]!a}."
        raise InvalidInput(msg)
    if not begin <= end <= available or 8 * (end - begin) != bits * math.prod(shape):
        msg = (
            f"its tensor {name[:80]!a} of shape {tuple(shape)} and type {code} cannot lie in bytes "
            f"{begin:,} to {end:,} of {available:,}."
        )
        raise InvalidInput(msg)
    storage = Region(
        path=str(path),
        start=start + begin,
        length=end - begin,
        code=CODES.get(dtype, "|u1"),
        shape=tuple(shape),
    )
    return tensor(
        name,
        tuple(shape),
        dtype,
        nbytes=end - begin,
        where=f"{path}, byte {start + begin:,}",
        storage=storage,
    )
