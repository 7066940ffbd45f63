"""Planted leaks are found and named; clean tables, real and made up, raise no alarm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from shoploom.data.arrays import F64
from shoploom.errors import DataError
from shoploom.features.leakage import Leak, as_of_violations, find_leaks, future_times
from shoploom.features.selection import Rows
from shoploom.features.timeline import FeatureTable, Timeline, build, customers_as_of
from shoploom.tasks.churn import Churn
from tests.shops import make_shop

ROWS = 1200


def base(seed: int) -> tuple[np.random.Generator, F64, F64]:
    """A clean table with an honest signal and gaps, and its labels."""
    draws = np.random.default_rng(seed)
    x = draws.normal(size=(ROWS, 4))
    x[draws.random(ROWS) < 0.2, 3] = np.nan
    labels = (draws.random(ROWS) < 1 / (1 + np.exp(1.5 - 2 * x[:, 0]))).astype(float)
    return draws, x, labels


def table(x: F64, leak: F64) -> F64:
    return np.column_stack([x, leak])


NAMES = ("a", "b", "c", "d", "leak")


def copied(seed: int) -> list[Leak]:
    _, x, y = base(seed)
    return find_leaks(NAMES, Rows(table(x, y), y), "binary")


def nearly_copied(seed: int) -> list[Leak]:
    draws, x, y = base(seed)
    leak = np.where(draws.random(ROWS) < 0.004, 1 - y, y) + 0.2 * draws.random(ROWS)
    return find_leaks(NAMES, Rows(table(x, -leak), y), "binary")


def bent(seed: int) -> list[Leak]:
    """Far from 0 on either side means yes: no correlation at all."""
    draws, x, y = base(seed)
    size = np.where(y > 0, 2 + draws.random(ROWS), draws.random(ROWS))
    return find_leaks(NAMES, Rows(table(x, size * draws.choice([-1, 1], ROWS)), y), "binary")


def worded(seed: int) -> list[Leak]:
    draws, x, y = base(seed)
    words = [f"{'closed' if one else 'open'} {draws.integers(3)}" for one in y]
    return find_leaks(NAMES[:4], Rows(x, y), "binary", texts={"leak": words})


def of_classes(seed: int) -> list[Leak]:
    draws, x, _ = base(seed)
    codes = draws.integers(0, 4, ROWS)
    return find_leaks(
        NAMES, Rows(table(x, np.array([2, 0, 3, 1])[codes] + 0.1 * x[:, 1].clip(-3, 3)), codes), "classes"
    )


def of_numbers(seed: int) -> list[Leak]:
    draws, x, _ = base(seed)
    spend = np.exp(draws.normal(size=ROWS))
    return find_leaks(NAMES, Rows(table(x, np.sqrt(spend) + 0.01 * draws.normal(size=ROWS)), spend), "number")


def reason_for_leaving(seed: int) -> list[Leak]:
    """Known for half of those who left, and for nobody else."""
    draws, x, y = base(seed)
    leak = np.where((y > 0) & (draws.random(ROWS) < 0.5), draws.normal(size=ROWS), np.nan)
    return find_leaks(NAMES, Rows(table(x, leak), y), "binary")


def known_with_the_label(seed: int) -> list[Leak]:
    draws, x, y = base(seed)
    labelled = draws.random(ROWS) < 0.4
    leak = np.where(labelled, draws.normal(size=ROWS), np.nan)
    return find_leaks(NAMES, Rows(table(x, leak), np.where(labelled, y, 0)), "binary", labelled=labelled)


def dated_later(seed: int) -> list[Leak]:
    draws, _, _ = base(seed)
    moment = draws.uniform(0, 100, ROWS)
    leak = moment - draws.exponential(5, ROWS)
    leak[:7] = moment[:7] + 3
    return future_times({"leak": leak, "fine": moment - 1, "gaps": np.full(ROWS, np.nan)}, moment)


def looks_ahead(seed: int) -> list[Leak]:
    draws = np.random.default_rng(seed)
    entity, time = draws.integers(0, 50, 600), draws.uniform(0, 100, 600)
    line, who, when = Timeline(entity, time), np.arange(50), np.full(50, 60.0)

    def read(events: Timeline) -> FeatureTable:
        honest = build({"buy": events}, who, when)
        peeking = np.bincount(events.entity, minlength=50)[:, None].astype(float)  # of all time, whatever the moment
        return honest.beside(FeatureTable(("leak",), peeking))

    return as_of_violations(read(line), read(line.where(line.time < 60)))


def copied_rows(seed: int) -> list[Leak]:
    _, x, y = base(seed)
    return find_leaks(NAMES[:4], Rows(x[:900], y[:900]), "binary", test=np.concatenate([x[900:], x[:60]]))


PLANTED: list[tuple[Callable[[int], list[Leak]], str]] = [
    (copied, "answer"),
    (nearly_copied, "answer"),
    (bent, "answer"),
    (worded, "answer"),
    (of_classes, "answer"),
    (of_numbers, "answer"),
    (reason_for_leaving, "missing"),
    (known_with_the_label, "label_only"),
    (dated_later, "future"),
    (looks_ahead, "as_of"),
    (copied_rows, "duplicates"),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("plant", "check"), PLANTED, ids=[one.__name__ for one, _ in PLANTED])
def test_a_planted_leak_is_found_named_and_explained(plant: Callable[[int], list[Leak]], check: str, seed: int) -> None:
    found = plant(seed)
    assert check in {one.check for one in found}
    name = "rows" if check == "duplicates" else "leak"
    assert {one.feature for one in found} == {name}  # and nothing else is accused
    assert all(name in one.why for one in found)


def split(x: F64, y: F64, kind: str, seed: int = 0) -> list[Leak]:
    order = np.random.default_rng(seed).permutation(len(y))
    half = len(y) * 3 // 4
    rows = Rows(x[order[:half]], y[order[:half]])
    return find_leaks([f"x{one}" for one in range(x.shape[1])], rows, kind, test=x[order[half:]])  # type: ignore[arg-type]


def tumours() -> list[Leak]:
    return split(*load_breast_cancer(return_X_y=True), "binary")


def wines() -> list[Leak]:
    return split(*load_wine(return_X_y=True), "classes")


def patients() -> list[Leak]:
    return split(*load_diabetes(return_X_y=True), "number")


def few_different_rows() -> list[Leak]:
    """Three yes-or-no columns: every test row equals a training row, and must."""
    draws = np.random.default_rng(0)
    x = draws.integers(0, 2, (2000, 3)).astype(float)
    x[draws.random((2000, 3)) < 0.1] = np.nan
    return split(x, (draws.random(2000) < 0.1 + 0.4 * (x[:, 0] == 1)).astype(float), "binary")


def customers() -> list[Leak]:
    """Churn of a made-up shop on its engineered features, and the features read twice."""
    shop = make_shop(customers=200)
    cut = shop.end - 28
    cases = Churn().cases(shop.before(cut), shop.between(cut, shop.end))
    table = customers_as_of(shop, cases.units, cut)
    assert cases.truth is not None
    assert cases.truth.numbers is not None
    found = split(table.values, cases.truth.numbers, "binary")
    return found + as_of_violations(table, customers_as_of(shop.before(cut), cases.units, cut))


@pytest.mark.parametrize("clean", [tumours, wines, patients, few_different_rows, customers])
def test_clean_tables_raise_no_alarm(clean: Callable[[], list[Leak]]) -> None:
    assert clean() == []


def test_a_single_rare_value_gives_nothing_away() -> None:
    """Every row has a word of its own: naive rates would tell all labels, those of other rows tell none."""
    _, x, y = base(0)
    assert find_leaks(NAMES[:4], Rows(x, y), "binary", texts={"id": [f"row {one}" for one in range(ROWS)]}) == []


def test_tables_that_do_not_match_are_refused() -> None:
    one, other = FeatureTable(("a",), np.ones((2, 1))), FeatureTable(("b",), np.ones((2, 1)))
    with pytest.raises(DataError, match="differ in names or rows"):
        as_of_violations(one, other)
    with pytest.raises(DataError, match="1 columns but 2 names"):
        find_leaks(("a", "b"), Rows(np.ones((2, 1)), np.ones(2)), "binary")
