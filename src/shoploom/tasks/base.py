"""The task interface: cases (who is asked), predictions (what is answered), and how they are measured."""

# Shapes: B cases, k list length, V values of an attribute

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, I32, Flags, Lines, ShopArrays

Shape = Literal["ranking", "binary", "amount", "quantiles", "classes"]
Unit = Literal["customer", "product"]
Space = Literal["customer", "product", "block"]
Repeats = Literal["auto", "allow", "exclude"]
Statistic = Callable[[F64], dict[str, float]]
"""Metrics as a function of (units,) weights: ones give the estimate, bootstrap counts one resample."""


@dataclass(frozen=True)
class Ranked:
    """Ranked lists: ``items`` (B, k) int32 rows, best first, -1 past the end; ``scores`` (B, k) descending."""

    items: I32
    scores: F64

    def first(self, k: int) -> Ranked:
        """The best k of each list."""
        return Ranked(self.items[:, :k], self.scores[:, :k])


@dataclass(frozen=True)
class Numbers:
    """One number per case and column, each (B,): ``probability``, or ``mean``, ``p10`` and ``p90``."""

    columns: dict[str, F64]


@dataclass(frozen=True)
class Classes:
    """Probabilities (B, V) per attribute; ``values`` names the columns. Rows add up to 1."""

    values: dict[str, tuple[str, ...]]
    probabilities: dict[str, F64]


Prediction = Ranked | Numbers | Classes


@dataclass(frozen=True)
class Truth:
    """What happened: fill the field of the task's shape.

    Args:
        offsets, items: Ranking: case b's relevant items are ``items[offsets[b]:offsets[b + 1]]``.
        numbers: (B,) Binary labels, amounts, quantities or prices.
        codes: Classes: (B,) position of the true value per attribute, -1 unknown.
        novel: Ranking: for each of ``items`` whether the customer had never bought it.
    """

    offsets: NDArray[np.int64] | None = None
    items: I32 | None = None
    numbers: F64 | None = None
    codes: dict[str, I32] = field(default_factory=dict)
    novel: Flags | None = None

    def take(self, rows: NDArray[np.integer]) -> Truth:
        """The truth of some cases, by position."""
        numbers = None if self.numbers is None else self.numbers[rows]
        codes = {name: one[rows] for name, one in self.codes.items()}
        if self.offsets is None or self.items is None:
            return Truth(numbers=numbers, codes=codes)
        sizes = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        flat = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], sizes)
        novel = None if self.novel is None else self.novel[flat]
        return Truth(offsets, self.items[flat], numbers, codes, novel)


@dataclass(frozen=True)
class Cases:
    """Questions for a model, asked of a ``ShopArrays`` as of its ``end``.

    Args:
        units: (B,) customer or item rows; -1 is an unknown customer.
        when: (B,) Ranking: day of the visit, at or after ``end``; None means ``end``.
        blocks: (B,) Demand: block after ``end``, 0 being the first.
        k: Ranking: length of the lists.
        repeats: Ranking: ``exclude`` leaves out goods that the customer bought; ``auto`` lets the task decide.
        allowed: Ranking: (I,) items that may be shown; None means all.
        scale: (B, 2) Demand: mean absolute and root mean squared block-to-block change of the product's own past,
            in which MASE and RMSSE measure errors; NaN where nothing changed.
        truth: None when serving.
    """

    units: I32
    when: F64 | None = None
    blocks: I32 | None = None
    k: int = 20
    repeats: Repeats = "auto"
    allowed: Flags | None = None
    scale: F64 | None = None
    truth: Truth | None = None

    def __len__(self) -> int:
        return len(self.units)

    def blind(self) -> Cases:
        """The same questions without the answers."""
        return replace(self, truth=None)

    def take(self, rows: NDArray[np.integer]) -> Cases:
        """Some of the cases, by position."""

        def part(values: Any) -> Any:
            return None if values is None else values[rows]

        truth = None if self.truth is None else self.truth.take(rows)
        units, scale = self.units[rows], part(self.scale)
        return replace(self, units=units, when=part(self.when), blocks=part(self.blocks), scale=scale, truth=truth)


@dataclass(frozen=True)
class Measured:
    """Metrics of predictions over independent units (customers or products), ready for a paired bootstrap."""

    statistic: Statistic
    units: int

    def values(self) -> dict[str, float]:
        """The point estimates."""
        return self.statistic(np.ones(self.units))


class Task(Protocol):
    """One decision of the shop.

    Attributes:
        name: Key in the plugin table, config and routes.
        title: The question in words, as the dashboard shows it.
        unit: What a case is about.
        shape: Which prediction class answers it.
        space: Sample space, whose trunk the task shares: a customer at a moment, a product, a product in a block.
        metric: Name of the main metric, as ``measure`` returns it.
        lower_is_better: Whether a smaller main metric wins.
        rivals: Names of the members of the court, cheapest first.
        hides: Item fields that the model must not see: ``price``, ``category``.
    """

    name: str
    title: str
    unit: Unit
    shape: Shape
    space: Space
    metric: str
    lower_is_better: bool
    rivals: tuple[str, ...]
    hides: frozenset[str]

    def missing(self, shop: ShopArrays) -> str | None:
        """Why this shop's data cannot feed the task; None if it can."""
        ...

    def hold_out(self, shop: ShopArrays) -> ShopArrays:
        """The shop without the labels that evaluation will ask for. Tasks about the future return it unchanged."""
        ...

    def cases(self, past: ShopArrays, future: Lines) -> Cases:
        """The cases as of ``past.end`` with the truth from the lines of the horizon after it."""
        ...

    def labelled(self, shop: ShopArrays) -> Cases | None:
        """Cases whose labels do not lie in the future and are not held out; None where labels are in horizons."""
        ...

    def serve_cases(self, shop: ShopArrays) -> Cases:
        """Everything that can be asked as of ``shop.end``, for batch predictions (no truth)."""
        ...

    def measure(self, cases: Cases, prediction: Prediction) -> Measured:
        """All metrics of a prediction; ``cases.truth`` must be given."""
        ...
