from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoploom.ensemble.fusion import Blend, blended, chosen
from shoploom.ensemble.members.mean_of_8 import MeanOf8
from shoploom.tasks.base import Classes, Numbers, Ranked
from shoploom.tasks.demand import Demand
from tests.shops import make_shop


def numbers(*values: float) -> Numbers:
    return Numbers({"mean": np.array(values)})


def ranked(items: list[list[int]], scores: list[list[float]] | None = None) -> Ranked:
    rows = np.array(items, dtype=np.int32)
    plain = np.tile(np.arange(rows.shape[1], 0, -1.0), (len(rows), 1))
    return Ranked(rows, plain if scores is None else np.array(scores))


def test_numbers_are_averaged_and_unshared_columns_left_out() -> None:
    second = Numbers({"mean": np.array([4.0, 0.0]), "p10": np.zeros(2)})
    found = blended(numbers(0.0, 8.0), second, 0.25)
    assert isinstance(found, Numbers)
    assert {name: values.tolist() for name, values in found.columns.items()} == {"mean": [3.0, 2.0]}


def test_classes_are_matched_by_name() -> None:
    first = Classes({"pet": ("cat", "dog")}, {"pet": np.array([[0.8, 0.2]])})
    second = Classes({"pet": ("dog", "cat")}, {"pet": np.array([[1.0, 0.0]])})
    found = blended(first, second, 0.5)
    assert isinstance(found, Classes)
    np.testing.assert_allclose(found.probabilities["pet"], [[0.4, 0.6]])


def test_rankings_add_reciprocal_ranks() -> None:
    # with weight 0.5: item 1: 1/11 + 1/13, item 2: 1/12 + 1/11, item 3: 1/13, item 4: 1/12 (all halved)
    found = blended(ranked([[1, 2, 3]]), ranked([[2, 4, 1]]), 0.5)
    assert isinstance(found, Ranked)
    assert found.items.tolist() == [[2, 1, 4]]
    np.testing.assert_allclose(found.scores[0], np.array([1 / 12 + 1 / 11, 1 / 11 + 1 / 13, 1 / 12]) / 2)


def test_empty_places_and_items_without_a_score_get_no_credit() -> None:
    found = blended(ranked([[7, -1, -1]]), ranked([[8, 9, -1]], [[5.0, 0.0, 0.0]]), 0.5)
    assert isinstance(found, Ranked)
    assert found.items.tolist() == [[7, 8, 9]]
    assert found.scores[0, 2] == 0
    short = blended(ranked([[7, -1, -1]]), ranked([[7, -1, -1]]), 0.5)
    assert isinstance(short, Ranked)
    assert short.items.tolist() == [[7, -1, -1]]


def test_chosen_takes_rows_from_either() -> None:
    found = chosen(numbers(1.0, 2.0), numbers(3.0, 4.0), np.array([True, False]))
    assert isinstance(found, Numbers)
    assert found.columns["mean"].tolist() == [1.0, 4.0]
    lists = chosen(ranked([[1], [2]]), ranked([[3], [4]]), np.array([False, True]))
    assert isinstance(lists, Ranked)
    assert lists.items.tolist() == [[3], [2]]


def test_raises_when_kinds_differ() -> None:
    with pytest.raises(TypeError, match="Numbers and Ranked cannot be blended"):
        blended(numbers(1.0), ranked([[1]]), 0.5)


def test_raises_when_the_weight_is_outside() -> None:
    with pytest.raises(ValueError, match=r"weight of a blend is 1\.5"):
        Blend(MeanOf8(), MeanOf8(), 1.5)


def test_a_saved_blend_answers_the_same(tmp_path: Path) -> None:
    shop, task = make_shop(), Demand()
    blend = Blend(MeanOf8(), MeanOf8(), 0.3)
    blend.fit(shop, task)
    blend.save(tmp_path)
    cases = task.serve_cases(shop)
    first, second = blend.predict(shop, cases), Blend.load(tmp_path).predict(shop, cases)
    assert isinstance(first, Numbers)
    assert isinstance(second, Numbers)
    np.testing.assert_array_equal(first.columns["mean"], second.columns["mean"])
