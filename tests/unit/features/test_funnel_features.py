"""Features of impressions and of pairs: five events, one value; and what came later is not looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoploom.data.impressions import ImpressionLog, Impressions, nested
from shoploom.errors import DataError
from shoploom.features.funnel import STRENGTH, FunnelFeatures
from shoploom.features.pair_days import Behaviour, PairFeatures, viewed_pairs

NAN = float("nan")


def log() -> ImpressionLog:
    """Five impressions of two customers and two items; the first was clicked a day later."""
    return ImpressionLog(
        ("click", "cart"),
        np.array([1, 1, 2, 1, 1], dtype=np.int32),
        np.array([1, 2, 1, 1, 1], dtype=np.int32),
        np.array([1, 1, 1, 1, 1], dtype=np.int32),
        (3, 3, 2),
        np.array([0, 1, 1, 1, 0], dtype=np.int32),
        np.array([10.0, 10.5, 10.6, 12.0, 13.0]),
        np.array([[11.0, NAN], [NAN, NAN], [10.7, 10.8], [NAN, NAN], [13.1, NAN]]),
    )


def column(features: FunnelFeatures, asked: ImpressionLog, name: str) -> list[float]:
    return [float(one) for one in features.numbers(asked)[:, features.names.index(name)]]


def test_a_click_counts_from_the_moment_of_the_click() -> None:
    features = FunnelFeatures(log())
    assert column(features, log(), "customer_exposure") == pytest.approx(np.log1p([0, 1, 0, 2, 3]))
    rate = features.overall[0]
    # as of day 13 item 1 was shown three times before and clicked twice
    expected = (2 + STRENGTH["item"] * rate) / (3 + STRENGTH["item"])
    found = column(features, log(), "item_click_rate")
    assert found[4] == pytest.approx(np.log(expected / (1 - expected)), rel=1e-5)
    assert found[2] == pytest.approx(np.log(rate * 50 / 51 / (1 - rate * 50 / 51)), rel=1e-5)  # not clicked yet
    assert column(features, log(), "customer_since_click") == pytest.approx([60, 60, 60, 1, 2])


def test_exposure_is_what_was_looked_at() -> None:
    features = FunnelFeatures(log(), theta=np.array([1.0, 0.25]))
    assert column(features, log(), "customer_exposure")[4] == pytest.approx(np.log1p(1.5))


def test_what_comes_later_changes_nothing() -> None:
    early = FunnelFeatures(log().known_at(12.5))
    whole = FunnelFeatures(log(), overall=early.overall)
    asked = log().take(np.arange(4))
    assert np.array_equal(whole.numbers(asked), early.numbers(asked))
    blind = replace(asked, stage_time=np.full((4, 2), NAN))
    assert np.array_equal(whole.numbers(asked), whole.numbers(blind))


def test_a_log_as_of_a_moment_forgets_later_outcomes() -> None:
    known = log().known_at(10.75)
    assert len(known) == 3
    assert np.isfinite(known.stage_time).tolist() == [[False, False], [False, False], [True, False]]


def test_impressions_carry_codes_numbers_and_outcome() -> None:
    rows = FunnelFeatures(log()).impressions(log())
    assert rows.reached.tolist() == [[1, 0], [0, 0], [1, 1], [0, 0], [1, 0]]
    assert rows.fields == ("customer", "item", "category")
    assert len(rows.number_names) == rows.numbers.shape[1]


def test_a_later_stage_without_the_earlier_is_refused() -> None:
    rows = FunnelFeatures(log()).impressions(log())
    with pytest.raises(DataError, match="row 1 reached 'cart' without 'click'"):
        replace(rows, reached=np.array([[1, 0], [0, 1], [0, 0], [0, 0], [0, 0]], dtype=np.float32))
    with pytest.raises(DataError, match="field 'item' holds codes from 1 to 2, expected 0 to 1"):
        replace(rows, sizes=(3, 2, 2))


def test_the_latest_moments_are_held_out_whole() -> None:
    rows = replace(FunnelFeatures(log()).impressions(log()), time=np.array([1.0, 1.0, 2.0, 2.0, 2.0]))
    early, late = rows.split_by_time(0.2)
    assert (early.time.tolist(), late.time.tolist()) == ([1.0, 1.0], [2.0, 2.0, 2.0])
    assert isinstance(early, Impressions)


def test_later_stages_imply_earlier_ones() -> None:
    assert nested([0, 0, 1], [0, 1, 0], [1, 0, 0]).tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0]]


STAGES = {"any": (1, 2), "cart": (1,)}


def behaviour() -> Behaviour:
    """Three days; the shop's midnight is a quarter of a day before the clock's."""
    day = np.array([5, 5, 5, 6, 6, 6, 7, 7])
    return Behaviour(
        np.array([1, 1, 1, 1, 2, 1, 1, 2], dtype=np.int32),
        np.array([1, 2, 1, 2, 2, 3, 1, 2], dtype=np.int32),
        np.array([1, 1, 1, 1, 1, 2, 1, 1], dtype=np.int32),
        np.array([0, 0, 1, 0, 0, 0, 0, 2], dtype=np.int8),
        ("view", "cart", "mark"),
        day - 0.25 + np.array([0.0, 0.2, 0.3, 0.0, 0.1, 0.9, 0.5, 0.6]),
        day,
        0.25,
        (3, 4, 3),
    )


def first(rows: int) -> Behaviour:
    """The log's first rows."""
    whole = behaviour()
    cut = {name: getattr(whole, name)[:rows] for name in ("user", "item", "category", "kind", "time", "day")}
    return replace(whole, **cut)


def test_a_pair_of_a_day_goes_as_far_as_it_got_that_day() -> None:
    pairs = viewed_pairs(behaviour(), STAGES)
    table = list(zip(pairs.day.tolist(), pairs.user.tolist(), pairs.item.tolist(), strict=True))
    assert table == [(5, 1, 1), (5, 1, 2), (6, 1, 2), (6, 1, 3), (6, 2, 2), (7, 1, 1)]
    assert pairs.reached.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0]]


def test_features_of_a_pair_by_hand() -> None:
    features = PairFeatures(behaviour(), STAGES)
    pairs = features.pairs
    table = dict(zip(features.names, features.numbers(pairs).T, strict=True))
    row = 2  # day 6, user 1, item 2
    assert table["day_user"][row] == 2
    assert table["day_user_category"][row] == 1
    assert table["day_item"][row] == 2
    assert table["day_user_categories"][row] == 2
    assert table["day_category_share"][row] == 0.5
    assert table["day_against_usual"][row] == 0.0  # two pairs, as on the one day before
    assert (table["user_view"][row], table["user_cart"][row]) == (2, 1)
    assert table["user_item_view"][row] == 1
    assert table["user_item_since"][row] == pytest.approx(0.8)
    assert table["user_since_beyond_view"][row] == pytest.approx(0.7)
    # 2 pairs before, one of which went further: overall (1 + .05) / 3; user (1 + 10 overall) / (2 + 10)
    overall = 1.05 / 3
    assert table["user_any_rate"][row] == pytest.approx(np.log((1 + 10 * overall) / 12), rel=1e-5)
    assert table["user_days"][row] == 1


def test_features_of_a_day_do_not_depend_on_what_happens_on_it_or_later() -> None:
    whole = behaviour()
    before = first(3)
    asked = viewed_pairs(whole, STAGES).take(np.array([2, 3, 4]))
    assert np.array_equal(PairFeatures(whole, STAGES).numbers(asked), PairFeatures(before, STAGES).numbers(asked))


def test_stages_go_from_wide_to_narrow() -> None:
    with pytest.raises(DataError, match="stage 'any' has kinds that the one before has not"):
        viewed_pairs(behaviour(), {"cart": (1,), "any": (1, 2)})


def test_days_to_learn_from_have_a_day_before() -> None:
    assert set(PairFeatures(behaviour(), STAGES).training_pairs().day.tolist()) == {6, 7}
    two = first(6)
    with pytest.raises(DataError, match="2 ordinary days; three are needed"):
        PairFeatures(two, STAGES).training_pairs()
