"""Features as of a moment: five events in, numbers worked by hand out; nothing at or after the moment counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shoploom.data.arrays import Lines
from shoploom.errors import DataError
from shoploom.features import timeline
from shoploom.features.timeline import (
    NEVER,
    FeatureTable,
    Recipe,
    Timeline,
    build,
    calendar_table,
    crosses,
    customers_as_of,
)
from tests.shops import make_shop

TIME = np.array([0.0, 10.0, 20.0, 30.0, 40.0])
VALUE = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
GROUP = np.array([5, 6, 5, 7, 8])
LINE = Timeline(np.zeros(5, dtype=int), TIME, value=VALUE, group=GROUP)


def at(moment: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([0]), np.array([moment])


def value(moment: float, name: str) -> float:
    return float(build({"buy": LINE}, *at(moment), Recipe(spans=(10.0, 20.0), half_lives=(10.0,))).column(name)[0])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("buy_count", 4),
        ("buy_total", 15),
        ("buy_recency", 5),
        ("buy_age", 35),
        ("buy_different", 3),
        ("buy_gap", 10),
        ("buy_overdue", 0.5),
        ("buy_mean", 15 / 4),
        ("buy_count_10", 1),
        ("buy_total_20", 12),
        ("buy_trend_20", 0),
        ("buy_share_10", 0.25),
        ("buy_decayed_total_10", 8 * 2**-0.5 + 4 * 2**-1.5 + 2 * 2**-2.5 + 2**-3.5),
        ("buy_decayed_count_10", 2**-0.5 + 2**-1.5 + 2**-2.5 + 2**-3.5),
    ],
)
def test_five_events_and_one_value(name: str, wanted: float) -> None:
    assert value(35.0, name) == pytest.approx(wanted, abs=1e-12)


def test_an_event_at_the_moment_itself_does_not_count() -> None:
    assert value(40.0, "buy_count") == 4
    assert value(np.nextafter(40.0, 41.0), "buy_count") == 5
    assert value(40.0, "buy_recency") == 10
    assert value(0.0, "buy_count") == 0
    assert value(0.0, "buy_recency") == NEVER


def test_a_window_is_closed_at_its_far_end() -> None:
    assert LINE.count(*at(30.0), days=10.0).tolist() == [1.0]  # the event ten days old counts, that of today does not
    assert LINE.count(*at(30.5), days=20.0, until=10.0).tolist() == [1.0]


def test_what_comes_later_changes_nothing() -> None:
    earlier = LINE.where(LINE.time < 25.0)
    for name in build({"buy": LINE}, *at(25.0)).names:
        one, two = (build({"buy": line}, *at(25.0)).column(name) for line in (LINE, earlier))
        np.testing.assert_array_equal(one, two, err_msg=name)


def test_a_batch_and_one_by_one_give_the_same_bits() -> None:
    draws = np.random.default_rng(0)
    entity, time = draws.integers(0, 20, 500), draws.uniform(0, 300, 500)
    amount = draws.lognormal(size=500)
    line = Timeline(entity, time, value=amount, group=draws.integers(0, 9, 500))
    who, when = draws.integers(0, 22, 60), draws.uniform(-5, 320, 60)
    whole = build({"buy": line}, who, when).values
    for row in range(60):
        own = line.where(line.entity == who[row])
        np.testing.assert_array_equal(
            build({"buy": own}, who[row : row + 1], when[row : row + 1]).values[0], whole[row]
        )


@pytest.mark.parametrize("few", [0, 10**9])
def test_both_ways_to_add_up_give_the_same_bits(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(2)
    entity, time, amount = draws.integers(0, 9, 3000), draws.uniform(0, 300, 3000), draws.lognormal(size=3000)
    who, when = np.arange(9), np.full(9, 250.0)
    usual = build({"buy": Timeline(entity, time, value=amount)}, who, when).values
    monkeypatch.setattr(timeline, "FEW_PER_RANK", few)
    np.testing.assert_array_equal(build({"buy": Timeline(entity, time, value=amount)}, who, when).values, usual)


def test_sums_equal_a_slow_reference() -> None:
    draws = np.random.default_rng(1)
    entity, time, amount = draws.integers(0, 5, 200), draws.integers(0, 50, 200) * 1.0, draws.normal(size=200)
    line, who, when = Timeline(entity, time, value=amount), np.arange(5), np.full(5, 37.0)
    for row in range(5):
        kept = (entity == row) & (time < 37) & (time >= 37 - 14)
        assert line.total(who, when, days=14)[row] == pytest.approx(amount[kept].sum())
        old = (entity == row) & (time < 37)
        slow = (amount[old] * 0.5 ** ((37 - time[old]) / 9)).sum()
        assert line.decayed(who, when, half_life=9)[row] == pytest.approx(slow)


def test_a_further_kind_brings_its_own_columns_and_a_ratio() -> None:
    views = Timeline(np.zeros(8, dtype=int), np.arange(8.0))
    table = build({"view": views, "buy": LINE}, *at(35.0), Recipe(calendar=False))
    assert table.column("buy_per_view").tolist() == [4 / 8]
    assert table.column("view_count").tolist() == [8]


def test_the_calendar_is_told_on_the_shops_clock() -> None:
    noon_on_sunday = 10.5  # 11 January 1970
    table = calendar_table(np.array([noon_on_sunday]))
    found = {name: table.column(name)[0] for name in table.names}
    assert found["weekday_sin"] == pytest.approx(np.sin(2 * np.pi * 6 / 7))
    assert found["hour_cos"] == pytest.approx(-1.0)
    assert (found["month_day"], found["holiday_in"]) == (11, 34)  # to 14 February


def test_columns_of_the_same_name_are_refused() -> None:
    table = FeatureTable(("a",), np.ones((1, 1)))
    with pytest.raises(DataError, match="features a come from two tables"):
        table.beside(table)
    assert table.beside(crosses(table, (("a", "a"),))).names == ("a", "a*a")


def test_a_time_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="time that is no number"):
        Timeline(np.zeros(1, dtype=int), np.array([np.nan]))


def test_customers_of_a_shop_as_of_a_cut_do_not_see_what_follows() -> None:
    shop = make_shop()
    cut, rows = shop.end - 30, np.array([0, 5, -1, 5])
    whole = customers_as_of(shop, rows, cut)
    np.testing.assert_array_equal(whole.values, customers_as_of(shop.before(cut), rows, cut).values)
    assert whole.column("purchase_count")[2] == 0
    past = shop.lines.take(shop.lines.purchase & (shop.lines.time < cut))
    assert whole.column("purchase_total")[1] == pytest.approx(past.amount[past.customer == 5].sum(), rel=1e-6)


def test_live_lines_count_at_once() -> None:
    shop = make_shop()
    last = shop.histories(np.array([3])).lines
    later = Lines(**{**vars(last.take(slice(-1, None)))})
    later.time[:] = shop.end + 0.5
    live = replace(shop, live={3: later})
    before, after = (customers_as_of(one, np.array([3]), shop.end + 1.0) for one in (shop, live))
    assert after.column("purchase_count")[0] == before.column("purchase_count")[0] + 1
    assert after.column("purchase_recency")[0] == pytest.approx(0.5)
