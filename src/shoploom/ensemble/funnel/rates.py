"""The cheapest member: the overall rate times how far each code is from it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from shoploom.data.arrays import F64
from shoploom.data.impressions import Impressions
from shoploom.ensemble.funnel.base import chained
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.features.as_of import smoothed_rate

STRENGTH: Final = 20.0
READ: Final = 3
"""Only the first fields count (customer, item, category): many factors would pile up."""


class Rates:
    """p(s) = r_s prod_f r_s(code of f) / r_s, with smoothed rates r_s(code) and positions as one more field."""

    name: ClassVar[str] = "rates"

    def __init__(self) -> None:
        self.overall: F64 = np.zeros(0)
        self.factors: list[F64] = []

    def fit(self, rows: Impressions, *, seed: int = 0) -> None:
        """Counts."""
        del seed
        self.overall = np.maximum(rows.reached.mean(axis=0, dtype=np.float64), 1e-9)
        codes, sizes = _codes(rows, None)
        self.factors = []
        for code, size in zip(codes, sizes, strict=True):
            shown = np.bincount(code, minlength=size)[:, None]
            hits = np.column_stack([np.bincount(code, one, size) for one in rows.reached.T])
            self.factors.append(smoothed_rate(hits, shown, self.overall, strength=STRENGTH) / self.overall)

    def predict(self, rows: Impressions) -> F64:
        """Products, at most 1."""
        codes, _ = _codes(rows, len(self.factors[-1]))
        found = np.repeat(self.overall[None], len(rows), axis=0)
        for code, factor in zip(codes, self.factors, strict=True):
            found = found * factor[code]
        return chained(found)

    def save(self, folder: Path) -> None:
        """All factors."""
        arrays = {f"factor.{place}": one for place, one in enumerate(self.factors)}
        save_state(folder, {"factors": len(self.factors)}, arrays | {"overall": self.overall})

    @classmethod
    def load(cls, folder: Path) -> Rates:
        """The saved member."""
        settings, arrays = load_state(folder)
        one = cls()
        one.overall = arrays["overall"]
        one.factors = [arrays[f"factor.{place}"] for place in range(settings["factors"])]
        return one


def _codes(rows: Impressions, positions: int | None) -> tuple[list[F64], list[int]]:
    place = np.maximum(rows.position, 0)
    count = int(place.max(initial=0)) + 1 if positions is None else positions
    read = min(READ, len(rows.fields))
    codes = [*rows.codes[:, :read].T, np.minimum(place, count - 1)]
    return codes, [*rows.sizes[:read], count]
