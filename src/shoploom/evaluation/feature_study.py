"""Which of the shop's engineered features are worth having for a task, and whether one of them knows the answer.

Chosen on horizons that end before the last one begins, so that evaluation stays clean: features at several earlier
moments to learn from, at the newest of those moments to validate on, no label of the one reaching into the other.
"""

# Shapes: B customers, n rows of all moments, F features

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shoploom.data.arrays import F64, ShopArrays, moment_of
from shoploom.errors import DataError, UsageError
from shoploom.features.engineered import customer_table
from shoploom.features.leakage import Leak, as_of_violations, find_leaks
from shoploom.features.selection import NULL_RUNS, ROUNDS, Kind, Rows, Selection, select
from shoploom.features.target_encoding import TargetEncoder
from shoploom.features.timeline import FeatureTable, customers_as_of, kinds_of
from shoploom.tasks import TASKS
from shoploom.tasks.base import Task

KINDS: Final[dict[str, Kind]] = {"binary": "binary", "amount": "number"}
MOMENTS, STEP_DAYS, LEAST_DAYS = 4, 14.0, 28.0

Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FeatureStudy:
    """What was found.

    Args:
        task: Name of the task.
        selection: Every feature's measures and the choice.
        leaks: Columns that know the answer, none if all is well.
        rows: Number of rows to learn from and to validate on.
        trained_at, validated_at: The moments, as dates.
    """

    task: str
    selection: Selection
    leaks: tuple[Leak, ...]
    rows: tuple[int, int]
    trained_at: tuple[str, ...]
    validated_at: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "task": self.task,
            "metric": self.selection.metric,
            "score_all": self.selection.score_all,
            "score_kept": self.selection.score_kept,
            "score_none": self.selection.score_none,
            "kept": list(self.selection.kept),
            "features": [asdict(one) for one in self.selection.rated],
            "leaks": [asdict(one) for one in self.leaks],
            "rows": {"training": self.rows[0], "validation": self.rows[1]},
            "trained_at": list(self.trained_at),
            "validated_at": self.validated_at,
        }


@dataclass(frozen=True)
class _At:
    """Customers that are asked at a moment, their features, texts and labels."""

    units: NDArray[np.integer[Any]]
    table: FeatureTable
    texts: dict[str, list[str]]
    target: F64


def study_features(
    shop: ShopArrays, name: str, *, runs: int = NULL_RUNS, rounds: int = ROUNDS, seed: int = 0, told: Told | None = None
) -> FeatureStudy:
    """Rate, choose and look for leaks.

    Args:
        shop: Everything that is known; its last horizon is not looked at.
        name: A task about customers with one number per case: churn or spend.
        runs: Shufflings of the label.
        rounds: Trees of the models that measure.
        seed: Of everything random.
        told: Is told (stage, done, all).

    Raises:
        UsageError: If the task has no engineered features of this kind.
        DataError: If the history is too short, or all labels are alike.
    """
    task = TASKS.load(name)()
    if task.space != "customer" or task.shape not in KINDS:
        able = [one for one in TASKS if _able(TASKS.load(one)())]
        raise UsageError(f"task {name!r} is not answered from a table of customers' features; take {', '.join(able)}")
    tell = told or (lambda stage, done, total: None)
    moments = _moments(shop)
    kinds = kinds_of(shop.before(moments[0]))
    parts = []
    for number, moment in enumerate(moments):
        tell("features", number, len(moments))
        parts.append(_at(shop, task, moment, kinds))
    valid, train = parts[0], parts[1:]
    leaks = [*_looking_ahead(shop, valid, moments[0], kinds)]
    rows, names = _encoded(train, valid, seed)
    kind = KINDS[task.shape]
    for number, one in enumerate(train):
        tell("leaks", number, len(train))
        leaks += _knowing(one, kind, {(leak.feature, leak.check) for leak in leaks})
    selection = select(names, *rows, kind, runs=runs, rounds=rounds, seed=seed, told=told)
    return FeatureStudy(
        task=name,
        selection=selection,
        leaks=tuple(leaks),
        rows=(len(rows[0].target), len(rows[1].target)),
        trained_at=tuple(f"{moment_of(one):%Y-%m-%d}" for one in moments[1:]),
        validated_at=f"{moment_of(moments[0]):%Y-%m-%d}",
    )


def shop_features(shop: ShopArrays, customers: NDArray[Any], moment: float, kinds: Sequence[str]) -> FeatureTable:
    """Everything that is engineered about some customers at a moment from some kinds of events; (B, F)."""
    habits = customer_table(shop.before(moment), customers)
    return FeatureTable(habits.names, habits.values).beside(customers_as_of(shop, customers, moment, kinds=kinds))


def _able(task: Task) -> bool:
    return task.space == "customer" and task.shape in KINDS


def _moments(shop: ShopArrays) -> list[float]:
    """The moment to validate at, then those to learn at, newest first; no label reaches beyond the last horizon."""
    horizon = float(shop.clock.horizon_days)
    bought = shop.lines.purchase & (shop.lines.customer >= 0)
    first = float(shop.lines.time[bought].min()) if bought.any() else shop.end
    valid = shop.end - 2 * horizon
    learned = [valid - horizon - STEP_DAYS * number for number in range(MOMENTS)]
    learned = [one for one in learned if one - first >= LEAST_DAYS]
    if not learned:
        raise DataError(
            f"{shop.end - first:.0f} days of purchases; features are chosen on horizons before the last one, which "
            f"takes {3 * horizon + LEAST_DAYS:.0f} days at a clock.horizon_days of {horizon:.0f}. Import more history, "
            "or set a shorter horizon"
        )
    return [valid, *learned]


def _at(shop: ShopArrays, task: Task, moment: float, kinds: Sequence[str]) -> _At:
    past = shop.before(moment)
    cases = task.cases(past, shop.between(moment, moment + shop.clock.horizon_days))
    assert cases.truth is not None
    assert cases.truth.numbers is not None
    texts = {
        f"attribute {name}": [one.values[code] if code >= 0 else "" for code in one.codes[cases.units]]
        for name, one in shop.attributes.items()
    }
    return _At(cases.units, shop_features(shop, cases.units, moment, kinds), texts, cases.truth.numbers)


def _encoded(train: list[_At], valid: _At, seed: int) -> tuple[tuple[Rows, Rows], tuple[str, ...]]:
    """Rows with the customers' attributes as target encodings: other customers' labels, never one's own."""
    target = np.concatenate([one.target for one in train])
    customers = np.concatenate([one.units for one in train])
    learned, checked = [np.concatenate([one.table.values for one in train])], [valid.table.values]
    for key in valid.texts:
        encoder = TargetEncoder(seed=seed)
        words = [text for one in train for text in one.texts[key]]
        learned.append(encoder.fit_transform(words, target, groups=customers)[:, None])
        checked.append(encoder.transform(valid.texts[key])[:, None])
    rows = Rows(np.concatenate(learned, axis=1), target), Rows(np.concatenate(checked, axis=1), valid.target)
    return rows, (*valid.table.names, *valid.texts)


def _knowing(one: _At, kind: Kind, told: set[tuple[str, str]]) -> list[Leak]:
    """Leaks at one moment that were not found at another: what gives away one autumn need not give away all rows."""
    found = find_leaks(one.table.names, Rows(one.table.values, one.target), kind, texts=one.texts)
    return [leak for leak in found if (leak.feature, leak.check) not in told]


def _looking_ahead(shop: ShopArrays, valid: _At, moment: float, kinds: Sequence[str]) -> list[Leak]:
    """The features read again from a shop that ends at the moment."""
    return as_of_violations(valid.table, shop_features(shop.before(moment), valid.units, moment, kinds))
