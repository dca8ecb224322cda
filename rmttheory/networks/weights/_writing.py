"""A copy of a weight file with some numbers changed.

Since shapes and kinds of numbers stay, every number has its place already: the file is copied and patched.
"""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rmttheory.arrays import HostArray, InvalidInput
from rmttheory.networks.weights import _archive
from rmttheory.networks.weights._dtypes import encode
from rmttheory.networks.weights._storage import Inflated, Region
from rmttheory.networks.weights.layers import Layer
from rmttheory.networks.weights.tensors import Tensor


@dataclass(frozen=True, kw_only=True)
class Change:
    """New numbers for a tensor, or for a layer in one."""

    target: Layer | Tensor
    values: HostArray

    @property
    def tensor(self) -> Tensor:
        """What is stored."""
        return self.target if isinstance(self.target, Tensor) else self.target.tensor


def write_copy(path: Path, *, files: tuple[str, ...], packed: bool, changes: Iterable[Change]) -> None:
    """Copy the files to ``path`` and beside it, and write the changes into the copy.

    ``packed`` says that numbers are compressed, in an archive of one file, which then is packed again. Where
    only other parts are, as the code in TorchScript, the archive is patched like every other file.
    """
    if not files:
        msg = "A live module has no file to copy; save it first."
        raise InvalidInput(msg)
    targets = _targets(path, [Path(file) for file in files])
    try:
        with partial(targets) as copies:
            touched: dict[Path, set[str]] = {}
            for source, copy in copies.items():
                if packed:
                    _archive.store_all(source, copy)
                else:
                    shutil.copyfile(source, copy)
            for change in changes:
                region = _place(change.tensor, copies, packed)
                _patch(region, change)
                if region.member:
                    touched.setdefault(Path(region.path), set()).add(region.member)
            for copy, members in touched.items():
                _archive.refresh_checksums(copy, members)
            if packed:
                ((source, copy),) = copies.items()
                repacked = copy.with_name(copy.name + ".packed")
                try:
                    _archive.pack_like(copy, source, repacked)
                    os.replace(repacked, copy)
                finally:
                    repacked.unlink(missing_ok=True)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        msg = f"{path} cannot be written: {getattr(error, 'strerror', None) or str(error).rstrip('.')}."
        raise InvalidInput(msg) from None


def _targets(path: Path, files: list[Path]) -> dict[Path, Path]:
    """Return where the copy of each file goes, the one that was opened first."""
    targets = {
        files[0]: path,
        **{file: path.parent / file.relative_to(files[0].parent) for file in files[1:]},
    }
    if len(files) > 1:
        there = [str(target) for target in targets.values() if target.exists()]
        if there:
            msg = (
                f"A file in {len(files)} parts is written where none of them is yet, and {there[0]} is there."
            )
            raise InvalidInput(msg)
    return targets


@contextmanager
def partial(targets: dict[Path, Path]) -> Iterator[dict[Path, Path]]:
    """Name a copy beside each target; put the copies into place if all goes well, the first one last."""
    copies = {
        source: target.with_name(f".{target.name}.{os.getpid()}.part") for source, target in targets.items()
    }
    placed: list[Path] = []
    try:
        for copy in copies.values():
            copy.parent.mkdir(parents=True, exist_ok=True)
        yield copies
        for source in reversed(copies):
            os.replace(copies[source], targets[source])
            placed.append(targets[source])
    except BaseException:
        for target in placed:
            target.unlink(missing_ok=True)
        raise
    finally:
        for copy in copies.values():
            copy.unlink(missing_ok=True)


def _place(tensor: Tensor, copies: dict[Path, Path], packed: bool) -> Region:
    """Return where the numbers of a tensor are in the copy."""
    storage = tensor.storage
    if not tensor.floating or not isinstance(storage, (Region, Inflated)):
        msg = f"Tensor {tensor.name!r} is kept in a way that is read but not written."
        raise InvalidInput(msg)
    copy = copies[Path(storage.path)]
    if not packed:
        assert isinstance(storage, Region)
        return storage.moved(copy)
    after = _archive.members(copy)[storage.member]
    if isinstance(storage, Region):
        before = _archive.members(storage.path)[storage.member]
        return storage.moved(copy, after.start - before.start)
    return Region(
        path=str(copy), start=after.start + storage.within,
        length=after.size - storage.within, code=storage.code,
        shape=storage.shape, offset=storage.offset, strides=storage.strides, member=storage.member,
    )  # fmt: skip


def _patch(region: Region, change: Change) -> None:
    if region.length == 0 or 0 in region.shape:
        return
    stored = region.raw("r+")
    part = stored if isinstance(change.target, Tensor) else change.target.piece(stored)
    try:
        part[...] = encode(change.values, change.tensor.dtype).reshape(part.shape)
    except InvalidInput as error:
        msg = f"{change.target.name!r} cannot be written: {error}"
        raise InvalidInput(msg) from None
