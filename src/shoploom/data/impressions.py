"""Impressions as flat arrays: what was shown, and how far along the funnel each one got.

Knows nothing of shops' tables; a reader of some log makes it, every member of the funnel reads it.
"""

# Shapes: n impressions, F coded fields, G numbers, S stages

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F32, F64, I32
from shoploom.errors import DataError

STAGES = ("click", "cart", "purchase")


@dataclass(frozen=True)
class Impressions:
    """Shown items with what is known about them at that moment.

    Args:
        stages: Names of the S stages after the impression, in the order of the funnel.
        codes: (n, F) non-negative codes of customer, item, category and so on; 0 is "unknown".
        fields: Names of the F fields.
        sizes: Number of codes of each field.
        numbers: (n, G) features as of the moment; NaN is "unknown".
        number_names: Names of the G numbers.
        reached: (n, S) 1 where the impression got to a stage, else 0; a later stage implies the earlier ones. Empty
            (0, S) where nothing is known yet.
        position: (n,) place on the page from 0; -1 where unknown.
        time: (n,) days.
        matured: (n, S) in (0, 1]: the chance that the stage would have been seen by now, had it been going to happen.
            None: all of it has been seen.
        examined: (n,) known chance that the impression was looked at; None where that is not logged.
        counted: Those of ``number_names`` that sum up earlier outcomes of the codes, which an embedding learns by
            itself once each code has been seen often.

    Raises:
        DataError: If shapes disagree, a code is out of range, or a later stage is without an earlier one.
    """

    stages: tuple[str, ...]
    codes: I32
    fields: tuple[str, ...]
    sizes: tuple[int, ...]
    numbers: F32
    number_names: tuple[str, ...]
    reached: F32
    position: I32
    time: F64
    matured: F32 | None = None
    examined: F32 | None = None
    counted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.codes)
        wanted = {
            "codes": (self.codes.shape, (n, len(self.fields))),
            "sizes": ((len(self.sizes),), (len(self.fields),)),
            "numbers": (self.numbers.shape, (n, len(self.number_names))),
            "position": (self.position.shape, (n,)),
            "time": (self.time.shape, (n,)),
        }
        if len(self.reached):
            wanted["reached"] = (self.reached.shape, (n, len(self.stages)))
        if self.matured is not None:
            wanted["matured"] = (self.matured.shape, (n, len(self.stages)))
        if self.examined is not None:
            wanted["examined"] = (self.examined.shape, (n,))
        for name, (found, expected) in wanted.items():
            if found != expected:
                raise DataError(f"impressions: {name} has shape {found}, expected {expected}; mend what builds them")
        if n and len(self.fields):
            low, high = self.codes.min(axis=0), self.codes.max(axis=0)
            for place, name in enumerate(self.fields):
                if low[place] < 0 or high[place] >= self.sizes[place]:
                    raise DataError(
                        f"impressions: field {name!r} holds codes from {low[place]} to {high[place]}, expected 0 to "
                        f"{self.sizes[place] - 1}; give codes that were not seen in training the code 0"
                    )
        if len(self.reached) and bool((self.reached[:, 1:] > self.reached[:, :-1]).any()):
            row, stage = (int(one[0]) for one in np.nonzero(self.reached[:, 1:] > self.reached[:, :-1]))
            raise DataError(
                f"impressions: row {row} reached {self.stages[stage + 1]!r} without {self.stages[stage]!r}; a later "
                "stage implies the earlier ones, so set those, too, or leave the row out"
            )

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[Any] | slice) -> Impressions:
        """The impressions at some positions, or where a mask is true."""
        return replace(
            self,
            codes=self.codes[rows],
            numbers=self.numbers[rows],
            reached=self.reached[rows] if len(self.reached) else self.reached,
            position=self.position[rows],
            time=self.time[rows],
            matured=None if self.matured is None else self.matured[rows],
            examined=None if self.examined is None else self.examined[rows],
        )

    def as_examined(self) -> Impressions:
        """The same as if every one of them had been looked at: position and examination unknown."""
        return replace(self, position=np.full(len(self), -1, dtype=np.int32), examined=None)

    def field(self, name: str) -> I32:
        """(n,) codes of a field.

        Raises:
            DataError: If there is no such field.
        """
        if name not in self.fields:
            raise DataError(f"impressions have no field {name!r}; there are: {', '.join(self.fields) or 'none'}")
        return self.codes[:, self.fields.index(name)]

    def split_by_time(self, share: float) -> tuple[Impressions, Impressions]:
        """The earlier ones and the latest ``share`` of them, moments kept whole.

        Days are moments where times are whole days.
        """
        edge = np.quantile(self.time, 1.0 - share, method="higher") if len(self) else 0.0
        late = self.time >= edge
        if late.all():
            late = self.time > edge
        return self.take(~late), self.take(late)


def nested(*reached: NDArray[Any] | Sequence[float]) -> F32:
    """(n, S) flags in which each stage implies the ones before.

    Example:
        >>> nested([0, 0], [0, 1]).tolist()
        [[0.0, 0.0], [1.0, 1.0]]
    """
    table = np.column_stack([np.asarray(one, dtype=np.float32) for one in reached])
    found: F32 = np.maximum.accumulate(table[:, ::-1], axis=1)[:, ::-1]
    return np.ascontiguousarray(found)


@dataclass(frozen=True)
class ImpressionLog:
    """A log of impressions with the moments at which they went further: the raw form, from which features are made.

    Args:
        stages: Names of the S stages after the impression.
        customer, item, category: (n,) non-negative codes; 0 is "unknown".
        sizes: Number of codes of customer, item and category.
        position: (n,) from 0; -1 where unknown.
        time: (n,) days.
        stage_time: (n, S) days at which the stage was reached; NaN where it was not, or not yet.
        extra: Further coded fields, name to (n,) codes and their number: device, page, and so on.
        numbers: Further numbers known at the impression, name to (n,): price, discount, and so on.
        examined: (n,) known chance that the impression was looked at; None where that is not logged.

    Raises:
        DataError: If shapes disagree.
    """

    stages: tuple[str, ...]
    customer: I32
    item: I32
    category: I32
    sizes: tuple[int, int, int]
    position: I32
    time: F64
    stage_time: F64
    extra: dict[str, tuple[I32, int]] = field(default_factory=dict)
    numbers: dict[str, F32] = field(default_factory=dict)
    examined: F32 | None = None

    def __post_init__(self) -> None:
        n = len(self.time)
        for name in ("customer", "item", "category", "position"):
            if len(getattr(self, name)) != n:
                raise DataError(f"impression log: {name} has {len(getattr(self, name))} rows, time has {n}")
        if self.stage_time.shape != (n, len(self.stages)):
            raise DataError(
                f"impression log: stage_time has shape {self.stage_time.shape}, expected {(n, len(self.stages))}"
            )

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[Any] | slice) -> ImpressionLog:
        """The impressions at some positions, or where a mask is true."""
        return replace(
            self,
            customer=self.customer[rows],
            item=self.item[rows],
            category=self.category[rows],
            position=self.position[rows],
            time=self.time[rows],
            stage_time=self.stage_time[rows],
            extra={name: (codes[rows], size) for name, (codes, size) in self.extra.items()},
            numbers={name: one[rows] for name, one in self.numbers.items()},
            examined=None if self.examined is None else self.examined[rows],
        )

    def known_at(self, moment: float) -> ImpressionLog:
        """What the log held at a moment: impressions before it, and only those stages that were reached before it."""
        kept = self.take(self.time < moment)
        return replace(kept, stage_time=np.where(kept.stage_time < moment, kept.stage_time, np.nan))
