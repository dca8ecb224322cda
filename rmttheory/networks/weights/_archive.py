"""Zip archives, read from their directory without trusting it.

The standard library's reader makes an object of every entry before anything can be checked, and does not say
where numbers lie in the file, which is what mapping and patching need.
"""

from __future__ import annotations

import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rmttheory.arrays import InvalidInput
from rmttheory.networks.weights._storage import inflate

MOST_MEMBERS = 200_000
LARGEST_DIRECTORY = 2**26
LARGEST_UNPACKED = 2**31
"""Most bytes that one compressed part may unpack to."""
SUSPICIOUS = 2**26
"""A part that unpacks to more than this at over a hundred times its size is a trap."""

_USUAL = 0x080E
"""Flags that change nothing: how hard a part was packed, where its checksum is, that its name is UTF-8."""
_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_ENTRY, _LOCAL, _DESCRIPTOR = b"PK\x01\x02", b"PK\x03\x04", b"PK\x07\x08"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One part of an archive: ``packed`` bytes from ``start``, which unpack to ``size``."""

    name: str
    start: int
    packed: int
    size: int
    deflated: bool
    flags: int
    crc: int
    header: int
    entry: int


def members(path: str | Path) -> dict[str, Member]:
    """Return the parts of an archive by name, each inside the file and none upon another.

    Raises
    ------
    InvalidInput
    """
    with open(path, "rb") as file:
        total = file.seek(0, os.SEEK_END)
        count, size, start = _directory(file, total)
        file.seek(start)
        table = _entries(file.read(size), start, count)
        found: dict[str, Member] = {}
        end = 0
        for member in sorted((_located(file, *fields) for fields in table), key=lambda member: member.header):
            if found.setdefault(member.name, member) is not member:
                msg = f"it holds two parts named {member.name[:80]!a}."
                raise InvalidInput(msg)
            if member.header < end or member.start + member.packed > start:
                msg = f"its part {member.name[:80]!a} lies upon another or beyond the end."
                raise InvalidInput(msg)
            end = member.start + member.packed
    return found


def read_member(path: str | Path, member: Member, *, limit: int) -> bytes:
    """Return the content of one part.

    Raises
    ------
    InvalidInput
        If it is larger than ``limit`` or does not unpack.
    """
    if member.size > limit:
        msg = f"its part {member.name!r} has {member.size:,} bytes; at most {limit:,} are read."
        raise InvalidInput(msg)
    with open(path, "rb") as file:
        file.seek(member.start)
        data = file.read(member.packed)
    return inflate(data, member.size) if member.deflated else data


def head(path: str | Path, member: Member, length: int) -> bytes:
    """Return the first bytes of a part, at most ``length`` of them."""
    with open(path, "rb") as file:
        file.seek(member.start)
        data = file.read(min(member.packed, length + 1024))
    return zlib.decompressobj(-15).decompress(data, length) if member.deflated else data[:length]


def store_all(source: Path, target: Path) -> None:
    """Copy an archive with every part stored as it is, so that numbers in it can be patched."""
    _copy(source, target, lambda _: zipfile.ZIP_STORED)


def pack_like(source: Path, model: Path, target: Path) -> None:
    """Copy an archive with its parts packed as those of ``model``."""
    with zipfile.ZipFile(model) as archive:
        how = {info.filename: info.compress_type for info in archive.infolist()}
    _copy(source, target, lambda info: how[info.filename])


def refresh_checksums(path: Path, names: Iterable[str]) -> None:
    """Write the checksums of parts whose bytes were patched: in the directory, and beside the part."""
    table = members(path)
    with open(path, "r+b") as file:
        for name in names:
            member = table[name]
            file.seek(member.start)
            crc, left = 0, member.packed
            while left:
                block = file.read(min(left, 2**20))
                crc, left = zlib.crc32(block, crc), left - len(block)
            places = [member.entry + 16, member.header + 14]
            if (
                member.flags & 8
            ):  # the checksum follows the bytes; the header in front of them may leave it open
                file.seek(member.start + member.packed)
                signed = file.read(4) == _DESCRIPTOR
                places.append(member.start + member.packed + 4 * signed)
                file.seek(member.header + 14)
                if file.read(4) == bytes(4):
                    places.remove(member.header + 14)
            for place in places:
                file.seek(place)
                file.write(struct.pack("<I", crc))


def _copy(source: Path, target: Path, how: Callable[[zipfile.ZipInfo], int]) -> None:
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copy:
        copy.comment = archive.comment
        for info in archive.infolist():
            with archive.open(info) as part:
                info.compress_type = how(info)
                with copy.open(info, "w", force_zip64=info.file_size > 2**31) as other:
                    shutil.copyfileobj(part, other, 2**20)


def _directory(file: BinaryIO, total: int) -> tuple[int, int, int]:
    """Return how many entries the directory has, its size and its place."""
    tail = min(total, 22 + 65535)
    file.seek(total - tail)
    data = file.read(tail)
    at = data.rfind(_END)
    if at < 0 or at + 22 + int.from_bytes(data[at + 20 : at + 22], "little") != len(data):
        msg = "its directory is not at its end, as in a file that was cut short."
        raise InvalidInput(msg)
    count, size, start = struct.unpack("<HII", data[at + 10 : at + 20])
    end = total - tail + at
    if at >= 20 and data[at - 20 : at - 16] == _LOCATOR:
        end = struct.unpack("<Q", data[at - 12 : at - 4])[0]
        file.seek(min(end, total))
        record = file.read(56)
        if len(record) < 56 or record[:4] != _END64:
            msg = "its directory is damaged."
            raise InvalidInput(msg)
        count, size, start = struct.unpack("<QQQ", record[32:56])
    if start + size != end or size > LARGEST_DIRECTORY or count > MOST_MEMBERS:
        msg = (
            f"its directory promises {count:,} parts in {size:,} bytes from byte {start:,}, which cannot be."
        )
        raise InvalidInput(msg)
    return count, size, start


def _entries(data: bytes, start: int, count: int) -> list[tuple[bytes, int, int, int, int, int, int, int]]:
    table = []
    at = 0
    for _ in range(count):
        fixed = data[at : at + 46]
        if len(fixed) < 46 or fixed[:4] != _ENTRY:
            msg = "its directory is damaged."
            raise InvalidInput(msg)
        flags, method = struct.unpack("<HH", fixed[8:12])
        crc, packed, size, name_length, extra_length, comment_length = struct.unpack("<IIIHHH", fixed[16:34])
        header = struct.unpack("<I", fixed[42:46])[0]
        name = data[at + 46 : at + 46 + name_length]
        extra = data[at + 46 + name_length : at + 46 + name_length + extra_length]
        size, packed, header = _wide(extra, size, packed, header)
        table.append((name, flags, method, crc, packed, size, header, start + at))
        at += 46 + name_length + extra_length + comment_length
    return table


def _wide(extra: bytes, *numbers: int) -> tuple[int, ...]:
    """Replace numbers that did not fit into 32 bits by those of the extra field."""
    at, wide = 0, b""
    while at + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[at : at + 4])
        if kind == 1:
            wide = extra[at + 4 : at + 4 + length]
        at += 4 + length
    values = iter(struct.unpack(f"<{len(wide) // 8}Q", wide[: len(wide) // 8 * 8]))
    return tuple(next(values, number) if number == 0xFFFFFFFF else number for number in numbers)


def _located(
    file: BinaryIO,
    raw: bytes,
    flags: int,
    method: int,
    crc: int,
    packed: int,
    size: int,
    header: int,
    entry: int,
) -> Member:
    try:
        name = raw.decode("utf-8" if flags & 0x800 else "cp437")
    except UnicodeDecodeError:
        msg = f"its part {raw[:80]!a} has a name that is not UTF-8."
        raise InvalidInput(msg) from None
    file.seek(header)
    local = file.read(30)
    if len(local) < 30 or local[:4] != _LOCAL:
        msg = f"its part {name[:80]!a} is not where the directory says."
        raise InvalidInput(msg)
    name_length, extra_length = struct.unpack("<HH", local[26:30])
    if file.read(name_length) != raw:
        msg = f"its part {name[:80]!a} has another name in the directory."
        raise InvalidInput(msg)
    if flags & ~_USUAL or method not in (0, 8):
        msg = f"its part {name[:80]!a} is encrypted or packed by an unusual method."
        raise InvalidInput(msg)
    if (method == 0 and packed != size) or size > max(LARGEST_UNPACKED, packed):
        msg = f"its part {name[:80]!a} would unpack to {size:,} bytes."
        raise InvalidInput(msg)
    if method == 8 and size > SUSPICIOUS and size > 100 * packed:
        msg = f"its part {name[:80]!a} would unpack from {packed:,} to {size:,} bytes."
        raise InvalidInput(msg)
    return Member(
        name=name, start=header + 30 + name_length + extra_length, packed=packed, size=size,
        deflated=method == 8, flags=flags, crc=crc, header=header, entry=entry,
    )  # fmt: skip
