"""Two members as one: a weighted average of what they predict.

Numbers and probabilities are averaged; rankings are fused by reciprocal ranks, because the scores of two members
have no common unit.
"""

# Shapes: B cases, k list length, V values

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from shoploom.data.arrays import F64, Flags, ShopArrays
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.base import Member
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.tasks.base import Cases, Classes, Numbers, Prediction, Ranked, Task

RANK_OFFSET = 10.0
"""Credit of rank r (from 1) is 1 / (RANK_OFFSET + r)."""


class Blend:
    """A member made of two fitted ones.

    Args:
        first: Counts with ``weight``.
        second: Counts with 1 - ``weight``.
        weight: 0 to 1.

    Raises:
        ValueError: If the weight lies outside.
    """

    name: ClassVar[str] = "blend"

    def __init__(self, first: Member, second: Member, weight: float) -> None:
        if not 0 <= weight <= 1:
            raise ValueError(f"the weight of a blend is {weight}; it must lie between 0 and 1")
        self.first, self.second, self.weight = first, second, weight

    def fit(self, shop: ShopArrays, task: Task, *, seed: int = 0) -> None:
        """Fit both; the weight stays."""
        self.first.fit(shop, task, seed=seed)
        self.second.fit(shop, task, seed=seed)

    def predict(self, shop: ShopArrays, cases: Cases) -> Prediction:
        """The average of both answers."""
        return blended(self.first.predict(shop, cases), self.second.predict(shop, cases), self.weight)

    def save(self, folder: Path) -> None:
        """Both members in folders of their own, their names and the weight."""
        save_state(folder, {"first": self.first.name, "second": self.second.name, "weight": self.weight})
        self.first.save(folder / "first")
        self.second.save(folder / "second")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved blend; its members come from the plugin table."""
        settings, _ = load_state(folder)
        first: Member = MEMBERS.load(settings["first"]).load(folder / "first")
        second: Member = MEMBERS.load(settings["second"]).load(folder / "second")
        return cls(first, second, float(settings["weight"]))


def blended(first: Prediction, second: Prediction, weight: float) -> Prediction:
    """``weight`` of the first and the rest of the second.

    Columns and attributes that only one of the two predicts are left out.

    Raises:
        TypeError: If the two predict different things.

    Example:
        >>> half = blended(Numbers({"mean": np.array([1.0])}), Numbers({"mean": np.array([3.0])}), 0.5)
        >>> half.columns["mean"].tolist()
        [2.0]
    """
    if isinstance(first, Numbers) and isinstance(second, Numbers):
        return Numbers(
            {
                name: weight * values + (1 - weight) * second.columns[name]
                for name, values in first.columns.items()
                if name in second.columns
            }
        )
    if isinstance(first, Classes) and isinstance(second, Classes):
        return _classes(first, second, weight)
    if isinstance(first, Ranked) and isinstance(second, Ranked):
        return _ranked(first, second, weight)
    raise TypeError(f"{type(first).__name__} and {type(second).__name__} cannot be blended")


def chosen(first: Prediction, second: Prediction, mask: Flags) -> Prediction:
    """The first where ``mask`` (B,) is true, else the second; both must have the same columns.

    Raises:
        TypeError: If the two predict different things.
    """
    if isinstance(first, Numbers) and isinstance(second, Numbers):
        return Numbers({name: np.where(mask, one, second.columns[name]) for name, one in first.columns.items()})
    if isinstance(first, Classes) and isinstance(second, Classes):
        pairs = {name: (one, second.probabilities[name]) for name, one in first.probabilities.items()}
        return Classes(first.values, {name: np.where(mask[:, None], *pair) for name, pair in pairs.items()})
    if isinstance(first, Ranked) and isinstance(second, Ranked):
        items = np.where(mask[:, None], first.items, second.items)
        return Ranked(items, np.where(mask[:, None], first.scores, second.scores))
    raise TypeError(f"{type(first).__name__} and {type(second).__name__} cannot be joined")


def _classes(first: Classes, second: Classes, weight: float) -> Classes:
    values, probabilities = {}, {}
    for name, own in first.values.items():
        if name not in second.values:
            continue
        other = second.probabilities[name]
        if second.values[name] != own:
            place = {value: column for column, value in enumerate(second.values[name])}
            padded = np.column_stack([other, np.zeros(len(other))])
            other = padded[:, [place.get(value, -1) for value in own]]
        mixed = weight * first.probabilities[name] + (1 - weight) * other
        values[name] = own
        probabilities[name] = mixed / np.maximum(mixed.sum(axis=1, keepdims=True), 1e-12)
    return Classes(values, probabilities)


def _ranked(first: Ranked, second: Ranked, weight: float) -> Ranked:
    """Reciprocal rank fusion; an item on both lists gets both credits, places without a score get none."""
    length = max(first.items.shape[1], second.items.shape[1])
    items = np.concatenate([first.items, second.items], axis=1)
    credit = np.concatenate([weight * _credit(first), (1 - weight) * _credit(second)], axis=1)
    order = np.argsort(items, axis=1, kind="stable")
    items, credit = np.take_along_axis(items, order, 1), np.take_along_axis(credit, order, 1)
    twice = (items[:, 1:] == items[:, :-1]) & (items[:, 1:] >= 0)
    credit[:, :-1] += np.where(twice, credit[:, 1:], 0.0)
    empty = items < 0
    empty[:, 1:] |= twice
    credit[empty] = -1.0
    best = np.argsort(-credit, axis=1, kind="stable")[:, :length]
    items, credit = np.take_along_axis(items, best, 1), np.take_along_axis(credit, best, 1)
    return Ranked(np.where(credit < 0, -1, items).astype(np.int32), np.maximum(credit, 0.0))


def _credit(one: Ranked) -> F64:
    ranks = np.arange(1, one.items.shape[1] + 1, dtype=np.float64)
    return np.asarray(np.where((one.items >= 0) & (one.scores != 0), 1 / (RANK_OFFSET + ranks), 0.0))
