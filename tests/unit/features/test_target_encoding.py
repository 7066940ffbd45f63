"""Target encodings: no row sees its own label, and none sees what was not known yet."""

from __future__ import annotations

import numpy as np
import pytest

from shoploom.errors import DataError
from shoploom.features.encodings import Encoding
from shoploom.features.target_encoding import TargetEncoder, group_folds, ordered


def random_rows(seed: int, number: int = 2000, values: int = 400) -> tuple[list[str], np.ndarray]:
    draws = np.random.default_rng(seed)
    return [f"v{one}" for one in draws.integers(0, values, number)], (draws.random(number) < 0.3).astype(float)


@pytest.mark.parametrize("how", ["folds", "time"])
def test_random_labels_stay_unpredictable_where_the_naive_encoding_gives_them_away(how: str) -> None:
    found, naive = [], []
    for seed in range(10):
        column, labels = random_rows(seed)
        time = np.arange(len(labels), dtype=float)
        encoder = TargetEncoder(how=how, seed=seed)  # type: ignore[arg-type]
        found.append(np.corrcoef(encoder.fit_transform(column, labels, time=time), labels)[0, 1])
        naive.append(np.corrcoef(Encoding.fit(column, labels)(column)[0], labels)[0, 1])
    assert min(naive) > 0.3
    assert abs(np.mean(found)) < 0.03
    assert max(map(abs, found)) < 0.1


def test_a_real_effect_is_kept() -> None:
    draws = np.random.default_rng(0)
    codes = draws.integers(0, 20, 2000)
    labels = (draws.random(2000) < codes / 20).astype(float)
    column = [f"v{one}" for one in codes]
    encoder = TargetEncoder()
    assert np.corrcoef(encoder.fit_transform(column, labels), codes)[0, 1] > 0.95
    assert encoder.transform(["v0"])[0] < 0.1 < 0.8 < encoder.transform(["v19"])[0]


def test_ordered_values_by_hand() -> None:
    labels, time = np.array([1.0, 1.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0, 4.0])
    means, counts = ordered(["a", "b", "a", "a"], labels, time, draw=2.0)
    # known before: nothing; 1 row, mean 1; two rows, mean 1, of which one a; three rows, mean 2/3, of which two a
    np.testing.assert_allclose(means, [0.0, 2 / 2, (1 + 2) / 3, (1 + 2 * 2 / 3) / 4])
    assert counts.tolist() == [0, 0, 1, 2]


def test_a_label_counts_only_once_it_is_known() -> None:
    labels, time = np.array([1.0, 1.0, 1.0]), np.array([0.0, 10.0, 60.0])
    assert ordered(["a", "a", "a"], labels, time, delay=56.0)[1].tolist() == [0, 0, 1]
    assert ordered(["a", "a"], labels[:2], np.array([5.0, 5.0]))[1].tolist() == [0, 0]


def test_rows_of_one_customer_share_a_fold() -> None:
    customers = np.repeat(np.arange(50), 4)
    fold = group_folds(customers, seed=3)
    assert all(len(set(fold[customers == one])) == 1 for one in range(50))
    assert np.bincount(fold).tolist() == [40] * 5


def test_wrong_use_is_named() -> None:
    with pytest.raises(DataError, match="needs the moment of each row"):
        TargetEncoder(how="time").fit_transform(["a"], np.ones(1))
    with pytest.raises(DataError, match="has seen no labels yet"):
        TargetEncoder().transform(["a"])
    with pytest.raises(DataError, match="2 values but 1 labels"):
        TargetEncoder().fit_transform(["a", "b"], np.ones(1))
