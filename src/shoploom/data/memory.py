"""Gives freed memory back to the system between stages, so that one stage's peak does not stay under the next."""

from __future__ import annotations

import ctypes
import gc
import sys


def give_back_memory() -> None:
    """Collect garbage and, where the C library can (glibc), return free pages of all its arenas."""
    gc.collect()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
