"""Array files, which may be damaged or hostile.

They are read within limits and never executed, and written whole or not at all.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput

LIMIT = 2**31
"""Largest number of bytes that one file may unpack to."""

_DAMAGE = (
    EOFError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    SyntaxError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


@contextmanager
def reading(path: str | Path, kind: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into one sentence that names the file.

    Raises
    ------
    InvalidInput
    """
    try:
        yield
    except FileNotFoundError:
        msg = f"There is no file {path}."
        raise InvalidInput(msg) from None
    except InvalidInput as error:
        msg = f"{path} is not {kind}: {error}"
        raise InvalidInput(msg) from None
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None) or str(error).strip().rstrip(".") or type(error).__name__
        msg = f"{path} is not {kind}: {reason}."
        raise InvalidInput(msg) from None


def read_bytes(path: str | Path, *, limit: int = LIMIT) -> bytes:
    """Return the bytes of a file, unpacked if its name ends in ``.gz``; at most ``limit`` of them."""
    opener: Any = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rb") as file:
        data: bytes = file.read(limit + 1)
    if len(data) > limit:
        msg = f"it unpacks to more than {limit:,} bytes."
        raise InvalidInput(msg)
    return data


def read_idx(data: bytes, *, dimensions: int) -> HostArray:
    """Return the unsigned bytes of an IDX file (the format of MNIST) as a read-only array.

    Raises
    ------
    InvalidInput
        If the magic number is not that of unsigned bytes with so many ``dimensions``, or the data are not
        exactly as long as the header says.
    """
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes([0, 0, 8, dimensions]):
        msg = f"its magic number {data[:4].hex()!r} is not that of unsigned bytes in {dimensions} dimensions."
        raise InvalidInput(msg)
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    if math.prod(shape) != len(data) - header:
        msg = f"its header promises {math.prod(shape):,} bytes, but {len(data) - header:,} follow."
        raise InvalidInput(msg)
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def read_npz(path: str | Path) -> dict[str, HostArray]:
    """Return the arrays of a ``.npz`` file.

    Nothing is allocated on the word of a header: sizes must agree with the bytes that are there.

    Raises
    ------
    InvalidInput
        If the file is missing, damaged, too large, or holds Python objects.
    """
    with reading(path, "a readable .npz file"), zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > LIMIT:
            msg = f"it unpacks to more than {LIMIT:,} bytes."
            raise InvalidInput(msg)
        return {
            member.filename.removesuffix(".npy"): _read_npy(archive.read(member))
            for member in archive.infolist()
        }


def read_arrays(path: str | Path) -> tuple[dict[str, HostArray], dict[str, str]]:
    """Return the arrays and the texts that `write_arrays` wrote.

    Raises
    ------
    InvalidInput
        If the file is missing, damaged, or of another kind.
    """
    if _suffix(path) == ".npz":
        arrays = read_npz(path)
        texts = [name for name, array in arrays.items() if array.dtype.kind == "U" and array.ndim == 0]
        return arrays, {name: str(arrays.pop(name)) for name in texts}
    from safetensors import SafetensorError, safe_open

    with reading(path, "a readable .safetensors file"):
        try:
            with safe_open(path, framework="numpy") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        except (SafetensorError, AttributeError) as error:  # AttributeError: a dtype that NumPy lacks
            raise ValueError(error) from None


def write_arrays(path: str | Path, arrays: Mapping[str, HostArray], texts: Mapping[str, str]) -> None:
    """Write named arrays and texts to a ``.npz`` or ``.safetensors`` file, which appears whole or not at all.

    Raises
    ------
    InvalidInput
        If the name ends otherwise or the file cannot be written.
    """
    if _suffix(path) == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, **{name: np.array(text) for name, text in texts.items()})  # type: ignore[arg-type]
        data = buffer.getvalue()
    else:
        from safetensors.numpy import save

        data = save(dict(arrays), metadata=dict(texts))
    try:
        write_whole(Path(path), data)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}."
        raise InvalidInput(msg) from None


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path`` and put it in its place: readers see the old file or the new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _suffix(path: str | Path) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in (".npz", ".safetensors"):
        msg = f"The name of a file of weights must end in .npz or .safetensors, not {str(path)!r}."
        raise InvalidInput(msg)
    return suffix


def _read_npy(data: bytes) -> HostArray:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in header:
        msg = f"it has an array in version {version[0]}.{version[1]} of the .npy format."
        raise InvalidInput(msg)
    shape, fortran, dtype = header[version](file)
    if dtype.hasobject:
        msg = "it holds Python objects, which are never loaded."
        raise InvalidInput(msg)
    if min(shape, default=0) < 0:  # which reshape would take as a question
        msg = f"it has an array of shape {shape}."
        raise InvalidInput(msg)
    flat = np.frombuffer(data, dtype, offset=file.tell())
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
