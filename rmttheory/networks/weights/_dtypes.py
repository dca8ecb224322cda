"""Kinds of numbers in weight files, among them those that NumPy has no type for."""

from __future__ import annotations

from functools import cache

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput

CODES = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "float8_e4m3fn": "|u1",
    "float8_e4m3fnuz": "|u1",
    "float8_e5m2": "|u1",
    "float8_e5m2fnuz": "|u1",
    "float8_e8m0fnu": "|u1",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "|i1",
    "uint64": "<u8",
    "uint32": "<u4",
    "uint16": "<u2",
    "uint8": "|u1",
    "bool": "|u1",
    "complex64": "<c8",
    "complex128": "<c16",
}
"""How each kind lies in a file, as a NumPy code; what NumPy has no type for is kept as its bits."""

_EIGHT_BITS = {
    "float8_e4m3fn": (4, 7),
    "float8_e4m3fnuz": (4, 8),
    "float8_e5m2": (5, 15),
    "float8_e5m2fnuz": (5, 16),
}
"""Bits of the exponent, and its bias."""

FLOATING = frozenset({"float64", "float32", "float16", "bfloat16", *_EIGHT_BITS})
"""What is analysed; everything else is only listed."""


def itemsize(dtype: str) -> int:
    """Return the bytes of one number."""
    return np.dtype(CODES[dtype]).itemsize


def decode(raw: HostArray, dtype: str) -> HostArray:
    """Return stored numbers as float64 if they are that, and as float32 otherwise, without rounding."""
    if dtype == "bfloat16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    if dtype in _EIGHT_BITS:
        return _eight_bit_values(dtype)[raw]
    return np.ascontiguousarray(raw, np.float64 if dtype == "float64" else np.float32)


def encode(values: HostArray, dtype: str) -> HostArray:
    """Return numbers as they are stored, each rounded to the nearest (ties to even).

    Raises
    ------
    InvalidInput
        If a finite number is too large for the kind.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype == "bfloat16":
            bits = np.asarray(values, np.float32).view(np.uint32)
            rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
            stored = np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)
        elif dtype in _EIGHT_BITS:
            stored = _to_eight_bits(values, dtype)
        else:
            stored = np.asarray(values, CODES[dtype])
    if not np.array_equal(np.isfinite(decode(stored, dtype)), np.isfinite(values)):
        msg = f"a number is too large for {dtype}."
        raise InvalidInput(msg)
    return stored


@cache
def _eight_bit_values(dtype: str) -> HostArray:
    exponent_bits, bias = _EIGHT_BITS[dtype]
    mantissa_bits = 7 - exponent_bits
    codes = np.arange(128)
    exponent, mantissa = codes >> mantissa_bits, (codes & (2**mantissa_bits - 1)) / 2**mantissa_bits
    values = np.where(exponent == 0, mantissa * 2.0 ** (1 - bias), (1 + mantissa) * 2.0 ** (exponent - bias))
    both = np.concatenate([values, -values]).astype(np.float32)
    if dtype.endswith("fnuz"):
        both[128] = np.nan
    elif dtype == "float8_e4m3fn":
        both[[127, 255]] = np.nan
    else:
        both[[124, 252]] = np.inf, -np.inf
        both[[125, 126, 127, 253, 254, 255]] = np.nan
    return both


def _to_eight_bits(values: HostArray, dtype: str) -> HostArray:
    table = _eight_bit_values(dtype)
    ladder = table[:128][np.isfinite(table[:128])].astype(np.float64)
    middles = (ladder[1:] + ladder[:-1]) / 2
    size = np.abs(np.asarray(values, np.float64))
    code = np.searchsorted(middles, size)
    tie = (code < len(middles)) & (size == middles[np.minimum(code, len(middles) - 1)])
    code = np.where(tie & (code % 2 == 1), code + 1, code)
    nan = int(np.flatnonzero(np.isnan(table))[0])
    beyond = size >= ladder[-1] + (ladder[-1] - middles[-1])
    negative = np.signbit(values) & ~(dtype.endswith("fnuz") & (code == 0))  # there -0 is the code of NaN
    return np.where(np.isnan(size) | beyond, nan, code + 128 * negative).astype(np.uint8)
