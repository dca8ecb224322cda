"""What `_hdf5.py` runs in a process of its own, as a script: the HDF5 library, within a limit of memory.

``PATH START LENGTH MEMORY`` lists the data sets in that stretch of the file as JSON; with a name of one
behind, its numbers are written as they are.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

MOST_OBJECTS = 100_000


class Window(io.RawIOBase):
    """A stretch of a file as a file."""

    def __init__(self, path: str, start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = open(path, "rb"), start, length, 0  # noqa: SIM115

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        self._at = max(0, offset + (0, self._at, self._length)[whence])
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from the place."""
        self._file.seek(self._start + self._at)
        data = self._file.read(max(0, min(len(buffer), self._length - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def main(path: str, start: str, length: str, memory: str, name: str = "") -> None:
    """Answer one question on standard output."""
    _limit(int(memory))
    import h5py

    try:
        with h5py.File(Window(path, int(start), int(length)), "r") as file:
            if name:
                sys.stdout.buffer.write(file[name][()].tobytes())
            else:
                json.dump({"config": _config(file), "data": _listed(file, h5py)}, sys.stdout)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError, AttributeError) as error:
        reason = " ".join(str(error).split()).strip("'\".") or type(error).__name__
        sys.stderr.write(f"\n{reason[:300]}")
        sys.exit(1)


def _limit(memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _config(file: Any) -> str | None:
    if file.userblock_size:
        msg = "it has something in front of the HDF5 data"
        raise ValueError(msg)
    text = file.attrs.get("model_config")
    return text.decode() if isinstance(text, bytes) else text if isinstance(text, str) else None


def _listed(file: Any, h5py: Any) -> list[dict[str, Any]]:
    """Walk through groups by their own links, each once; what leads to other files is not followed."""
    found: list[dict[str, Any]] = []
    seen: set[Any] = set()
    waiting = [("", file)]
    count = 0
    while waiting:
        prefix, group = waiting.pop(0)
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            continue
        seen.add(address)
        for key in group:
            count += 1
            if count > MOST_OBJECTS:
                msg = f"it has more than {MOST_OBJECTS:,} objects"
                raise ValueError(msg)
            name = f"{prefix}/{key}" if prefix else key
            if type(group.get(key, getlink=True)) is not h5py.HardLink:
                msg = f"its entry {name[:80]!a} is a link to elsewhere, which is not followed"
                raise ValueError(msg)
            item = group[key]
            if isinstance(item, h5py.Group):
                waiting.append((name, item))
            elif isinstance(item, h5py.Dataset) and item.shape is not None:
                found.append(_entry(name, item))
    return found


def _entry(name: str, item: Any) -> dict[str, Any]:
    if item.is_virtual or item.external:
        msg = f"its data set {name[:80]!a} takes its numbers from other files"
        raise ValueError(msg)
    layer = str(item.parent.parent.attrs.get("name", "")) if name.count("/") > 1 else ""
    return {
        "name": name,
        "shape": item.shape,
        "code": item.dtype.str,
        "offset": item.id.get_offset(),
        "stored": item.id.get_storage_size(),
        "layer": layer,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
