"""Names of contents."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(value: Any) -> str:
    """Return the one text of plain values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """Return 128 bits of a text in hexadecimal."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
