"""The program as a process of its own."""

from __future__ import annotations

import subprocess
import sys

IDS = ("ce_lipschitz", "mp_bulk", "mp_law_identity")
"""Claims of three kinds that are judged in a second."""


def start(*arguments, **options):
    """Start the program as a process of its own."""
    command = [sys.executable, "-m", "rmttheory", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **(pipes | options))
