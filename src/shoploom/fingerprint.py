"""A fingerprint of the code that decides what is learned: trainings are kept, and gone on with, under it."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

LEARNS = ("data", "features", "metrics", "model", "tasks", "training")
"""Packages whose code decides what is learned."""


@cache
def code_fingerprint() -> str:
    """16 hexadecimal digits that change with any of that code."""
    root, digest = Path(__file__).parent, sha256()
    for package in LEARNS:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
