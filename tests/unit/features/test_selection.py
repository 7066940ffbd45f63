"""Feature selection on data whose answer is known: signal, copies of it, and noise."""

from __future__ import annotations

import numpy as np
import pytest

from shoploom.errors import DataError, UsageError
from shoploom.features.selection import (
    Learner,
    Rows,
    alike,
    mutual_information,
    null_importance,
    permutation_importance,
    rank_correlations,
    select,
)
from shoploom.metrics.classification import auc

NAMES = ("strong", "strong_cubed", "weak", "noise_0", "noise_1", "noise_2", "constant")


def rows(seed: int, number: int = 1500) -> Rows:
    draws = np.random.default_rng(seed)
    strong, weak, noise = draws.normal(size=number), draws.normal(size=number), draws.normal(size=(number, 3))
    labels = (draws.random(number) < 1 / (1 + np.exp(-(2 * strong + 0.8 * weak)))).astype(float)
    return Rows(np.column_stack([strong, strong**3, weak, noise, np.ones(number)]), labels)


def test_signal_is_kept_copies_and_noise_go() -> None:
    found = select(NAMES, rows(0), rows(1), "binary", runs=30)
    rated = {one.name: one for one in found.rated}
    assert sum(name.startswith("strong") for name in found.kept) == 1
    assert "weak" in found.kept
    assert not rated["constant"].kept
    assert sum(rated[f"noise_{one}"].kept for one in range(3)) <= 1
    loser = next(one for one in found.rated if one.name.startswith("strong") and not one.kept)
    assert "says the same as strong" in loser.reason
    assert found.metric == "auc"
    assert found.score_kept > found.score_all - 0.01 > found.score_none


def test_random_labels_keep_next_to_nothing() -> None:
    kept = 0
    for seed in range(3):
        draws = np.random.default_rng(seed)
        train, valid = (Rows(draws.normal(size=(300, 12)), draws.integers(0, 2, 300).astype(float)) for _ in range(2))
        kept += len(select([f"x{one}" for one in range(12)], train, valid, "binary", runs=20, repeats=1).kept)
    assert kept <= 6  # of 36 at a level of 5 %: two are expected, more than six happen once in two hundred times


def test_permutation_importance_of_a_known_rule_by_hand() -> None:
    features = np.array([[0.0, 5.0], [0.0, 6.0], [1.0, 7.0], [1.0, 8.0]] * 50)
    labels = features[:, 0].copy()
    drop = permutation_importance(lambda x: x[:, 0], Rows(features, labels), auc, repeats=20)
    assert (drop[1] == 0).all()  # the model does not look at it
    assert drop[0].mean() == pytest.approx(0.5, abs=0.03)  # from 1 to a coin


def test_shuffled_labels_give_the_p_value_by_counting() -> None:
    calls: list[float] = []

    def gains(data: Rows, seed: int) -> np.ndarray:
        calls.append(float(seed))
        return np.array([5.0, float(len(calls))])

    two = rows(0, 50).columns([0, 1])
    real, null, p = null_importance(gains, two, runs=9)
    assert real.tolist() == [5.0, 1.0]
    assert null.shape == (9, 2)
    assert p.tolist() == [1.0, 1.0]  # 5 >= 5 nine times; 2..10 >= 1 nine times
    lower = null_importance(lambda data, seed: np.array([0.0, 1.0 if seed else 2.0]), two, runs=9)[2]
    assert lower.tolist() == [1.0, 0.1]


def test_mutual_information_sees_what_a_correlation_does_not() -> None:
    draws = np.random.default_rng(0)
    x = draws.normal(size=2000)
    data = Rows(np.column_stack([x, draws.normal(size=2000)]), (np.abs(x) > 0.6745).astype(int))
    found = mutual_information(data, "binary")
    assert found[0] == pytest.approx(np.log(2), abs=0.05)  # half of all rows, told exactly: one bit
    assert found[1] < 0.03


def test_rank_correlations_equal_a_slow_reference() -> None:
    from scipy.stats import spearmanr

    draws = np.random.default_rng(0)
    x = draws.normal(size=(40, 3))
    assert rank_correlations(x)[0, 1] == pytest.approx(spearmanr(x[:, 0], x[:, 1]).statistic)
    assert rank_correlations(np.ones((5, 2)))[0, 1] == 0


def test_groups_hold_only_pairs_that_are_all_alike() -> None:
    draws = np.random.default_rng(0)
    x = draws.normal(size=500)
    near, far = x + 0.05 * draws.normal(size=500), draws.normal(size=500)
    groups = alike(np.column_stack([x, near, np.exp(x), far]), limit=0.95)
    assert groups[0] == groups[1] == groups[2] != groups[3]


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_other_kinds_of_labels(kind: str) -> None:
    def make(seed: int) -> Rows:
        draws = np.random.default_rng(seed)
        x = draws.normal(size=(600, 3))
        numbers = 3 * x[:, 0] + 0.3 * draws.normal(size=600)
        return Rows(x, np.digitize(x[:, 0], [-0.5, 0.5]) if kind == "classes" else numbers)

    found = select(("signal", "a", "b"), make(0), make(1), kind, runs=20)  # type: ignore[arg-type]
    assert found.rated[0].name == "signal"
    assert found.kept[0] == "signal"
    assert found.score_kept > 0.5 > 0 == found.score_none


def test_scores_by_hand() -> None:
    number, classes = Learner("number"), Learner("classes")
    truth = np.array([0.0, 1.0, 2.0])
    assert number.score(truth, np.full(3, 1.0)) == 0
    assert number.score(truth, truth) == 1
    codes = np.array([0, 1])
    assert classes.score(codes, np.full((2, 2), 0.5)) == pytest.approx(0)
    assert classes.score(codes, np.eye(2)) == pytest.approx(np.log(2))


def test_what_cannot_be_chosen_by_is_said() -> None:
    data = rows(0, 50)
    with pytest.raises(DataError, match="one value only"):
        select(NAMES, data, Rows(data.features, np.ones(50)), "binary")
    with pytest.raises(DataError, match="one column per name"):
        select(NAMES[:3], data, data, "binary")
    with pytest.raises(UsageError, match="take 19 or more"):
        select(NAMES, data, data, "binary", runs=18)
