"""Buy again: rhythms worked by hand, who is due, products without figures of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shoploom.inference.rhythm import ITEM_PRIOR, REPEAT_PRIOR, Due, Rhythm
from tests.orders import Row, shop_of

NOW = 20_000.0
WEEKLY, MONTHLY, ONCE = 0, 1, 2


def habits() -> list[Row]:
    """Three customers who buy one product every 7 days, another every 28; the first has a third bought once."""
    rows: list[Row] = [(0, 900, ONCE, 40.0)]
    for customer in range(3):
        rows += [(customer, 10 + week, WEEKLY, 7.0 * week + 1 + customer) for week in range(12)]
        rows += [(customer, 50 + month, MONTHLY, 28.0 * month + 3) for month in range(4)]
    return rows


def due_of(rows: list[Row], customer: int = 0, when: float = NOW) -> Due:
    shop = shop_of(rows, items=5, customers=4)
    return Rhythm.of(shop).due(shop.histories(np.array([customer])).lines, when)


def by_item(found: Due) -> dict[int, tuple[int, float, float, bool]]:
    columns = (found.items, found.times, found.since, found.every, found.due)
    return {int(item): (int(t), float(s), float(e), bool(d)) for item, t, s, e, d in zip(*columns, strict=True)}


def test_days_and_medians_are_counted() -> None:
    found = by_item(due_of(habits()))
    assert found[WEEKLY] == (12, 1.0, 7.0, False)
    assert found[MONTHLY] == (4, 3.0, 28.0, False)
    assert found[ONCE][:2] == (1, 40.0)


def test_a_product_is_due_from_three_quarters_of_its_days_on() -> None:
    assert not by_item(due_of(habits(), when=NOW + 4.2))[WEEKLY][3]  # 5 of 7 days
    assert by_item(due_of(habits(), when=NOW + 5.2))[WEEKLY][3]


def test_of_two_products_the_quicker_one_is_likelier() -> None:
    found = due_of(habits(), when=NOW + 6)
    assert found.items[0] == WEEKLY
    assert np.all(np.diff(found.chance) <= 0)
    assert np.all((found.chance > 0) & (found.chance < 1))


def test_a_habit_that_was_given_up_is_less_likely_than_one_that_is_due() -> None:
    rows = [row for row in habits() if not (row[0] == 0 and row[2] == WEEKLY and row[3] < 60)]
    given_up = due_of(rows)
    kept = due_of(habits(), when=NOW + 6)
    chance = {name: float(one.chance[one.items == WEEKLY][0]) for name, one in (("up", given_up), ("kept", kept))}
    assert chance["up"] < chance["kept"]


def test_a_single_purchase_has_the_rhythm_of_the_product() -> None:
    rows = [*habits(), (3, 700, WEEKLY, 6.0)]
    gaps, usual = 33, np.log([7.0] * 33 + [28.0] * 9).mean()
    mean = (gaps * math.log(7.0) + ITEM_PRIOR * usual) / (gaps + ITEM_PRIOR)
    found = by_item(due_of(rows, customer=3))
    assert found[WEEKLY] == (1, 6.0, pytest.approx(math.exp(mean)), True)


def test_what_is_bought_again_by_many_is_likelier_to_be_bought_again() -> None:
    again: list[Row] = [(customer, customer, 3, 30.0) for customer in range(50)]
    again += [(customer, 100 + customer, 3, 10.0) for customer in range(50)]
    never: list[Row] = [(customer, 200 + customer, 4, 30.0) for customer in range(50)]
    shop = shop_of([*again, *never], items=5, customers=50)
    rhythm = Rhythm.of(shop)
    usual = 50 / 100
    assert rhythm._repeated[3] == pytest.approx((50 + REPEAT_PRIOR * usual) / (50 + REPEAT_PRIOR))
    assert rhythm._repeated[4] == pytest.approx(REPEAT_PRIOR * usual / (50 + REPEAT_PRIOR))


def test_products_that_came_later_have_the_rhythm_of_the_shop() -> None:
    rhythm = Rhythm.of(shop_of(habits(), items=3, customers=3))
    later = shop_of([(0, 1, 4, 9.0)], items=5, customers=1)
    found = rhythm.due(later.histories(np.array([0])).lines, NOW)
    assert found.items.tolist() == [4]
    assert found.every[0] == pytest.approx(math.exp(np.log([7.0] * 33 + [28.0] * 9).mean()))


def test_two_lines_of_one_day_are_one_purchase() -> None:
    assert by_item(due_of([*habits(), (0, 901, ONCE, 40.0)]))[ONCE][0] == 1


def test_without_purchases_nothing_is_due() -> None:
    shop = shop_of([], items=2, customers=1)
    assert not len(Rhythm.of(shop).due(shop.lines, NOW).items)
    assert not len(due_of(habits(), customer=3).items)
