"""What every member of the funnel does."""

# Shapes: n impressions, S stages

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self

import numpy as np

from shoploom.data.arrays import F32, F64
from shoploom.data.impressions import Impressions


class FunnelMember(Protocol):
    """Says how likely impressions are to reach each stage. Instances are made without arguments."""

    @property
    def name(self) -> str:
        """In the table of members."""
        ...

    def fit(self, rows: Impressions, *, seed: int = 0) -> None:
        """Learn from impressions whose outcome is known."""
        ...

    def predict(self, rows: Impressions) -> F64:
        """(n, S) probabilities to be seen to reach each stage where it stands, never rising along the chain.

        Of ``rows.as_examined()``: once it is looked at, which is what to rank by.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write everything that ``predict`` needs; never a pickle."""
        ...

    def load(self, folder: Path) -> Self:
        """A member that predicts exactly as the saved one."""
        ...


def chained(probabilities: F64) -> F64:
    """(n, S) the running minimum along the chain, for members that fit each stage by itself."""
    return np.asarray(np.minimum.accumulate(np.clip(probabilities, 0.0, 1.0), axis=1))


def with_position(rows: Impressions) -> F32:
    """(n, G + 1) numbers and, last, the position; the unknown one is the first, where everybody looks."""
    place = np.maximum(rows.position, 0).astype(np.float32)
    return np.concatenate([rows.numbers, place[:, None]], axis=1)
