"""Co-purchases: counts worked by hand, lift that does not return bestsellers, live orders, bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from shoploom.inference import pair_table, together
from shoploom.inference.pair_table import Block, PairTable, ranges, summed
from shoploom.inference.together import MIN_SUPPORT, PRIOR, Together, lift_of
from tests.orders import Row, shop_of

PASTA, SAUCE, MILK, RARE, OTHER = range(5)


def orders(*baskets: tuple[int, ...], start: int = 0) -> list[Row]:
    return [
        (number % 7, start + number, item, 100.0 - number / 10) for number, one in enumerate(baskets) for item in one
    ]


def grocer() -> Together:
    """40 orders: milk in all of them, pasta with sauce in 8, pasta alone in 2, a rare product twice with pasta."""
    baskets = [(PASTA, SAUCE, MILK)] * 8 + [(PASTA, MILK, RARE)] * 2 + [(MILK, OTHER)] * 30
    return Together.of(shop_of(orders(*baskets), items=6, customers=7))


def test_support_and_lift_are_those_of_the_formula() -> None:
    found = grocer().beside(PASTA)
    assert found.items.tolist() == [SAUCE]
    assert found.support.tolist() == [8.0]
    assert found.lift[0] == pytest.approx((8 + PRIOR) / (10 * 8 / 40 + PRIOR))


def test_what_is_in_every_order_is_not_beside_anything() -> None:
    assert MILK not in grocer().beside(PASTA).items
    assert MILK not in grocer().beside(OTHER).items


def test_pairs_below_the_support_are_not_shown() -> None:
    assert MIN_SUPPORT == 3
    assert RARE not in grocer().beside(PASTA).items
    assert grocer().pair(PASTA, SAUCE)[0] == 8


def test_few_cases_stay_near_one() -> None:
    few, many = lift_of(np.array([3.0, 300.0]), np.array([0.3, 30.0]))
    assert 1 < few < 1.4
    assert many > 7


def test_live_orders_count_at_once_and_bring_new_products_in() -> None:
    found = grocer()
    new = 6
    for number in range(3):
        for item in (PASTA, new):
            found.observe(item, customer=-1, order=f"live {number}", day=1)
    assert found.beside(PASTA).items.tolist() == [SAUCE, new]
    assert found.beside(new).items.tolist() == [PASTA]
    assert found.bought(PASTA) == 13
    assert found.table.units == 43


def test_a_repeated_line_and_a_nameless_one_count_nothing() -> None:
    found = grocer()
    for _ in range(5):
        found.observe(PASTA, customer=-1, order="one", day=1)
        found.observe(SAUCE, customer=-1, order=None, day=1)
    assert (found.bought(PASTA), found.bought(SAUCE)) == (11, 8)


def test_lines_without_an_order_belong_together_by_customer_and_day() -> None:
    rows = [(number % 5, -1, item, 10.0 + number) for number in range(6) for item in (PASTA, SAUCE)]
    rows += [(-1, -1, item, 5.0) for item in (RARE, OTHER)] * 9
    found = Together.of(shop_of(rows + orders(*[(MILK,)] * 9), items=5, customers=9))
    assert found.basis == "orders"
    assert found.beside(PASTA).support.tolist() == [6.0]
    assert not len(found.beside(RARE).items)


def test_where_orders_hold_single_products_customers_are_counted() -> None:
    rows = [(customer, 10 * customer + item, item, 50.0 - item) for customer in range(4) for item in (PASTA, SAUCE)]
    rows += [(customer, 100 + customer, MILK, 20.0) for customer in range(4, 30)]
    found = Together.of(shop_of(rows, items=5, customers=31))
    assert found.basis == "customers"
    assert found.beside(PASTA).support.tolist() == [4.0]
    found.observe(RARE, customer=0, order="x", day=1)
    found.observe(RARE, customer=1, order="y", day=1)
    found.observe(RARE, customer=2, order="z", day=1)
    assert found.pair(RARE, PASTA)[0] == 3  # with what these customers bought long ago
    assert found.table.units == 30


def test_a_basket_gets_what_its_products_ask_for_and_says_which() -> None:
    found = grocer().missing([OTHER, PASTA])
    best = int(found.items[np.argmax(found.scores)])
    assert best == SAUCE
    assert found.because[found.items == SAUCE].tolist() == [PASTA]


def test_the_newest_orders_are_looked_at_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "PAIRS_LOOKED_AT", 5 * 4)
    old, new = orders(*[(PASTA, SAUCE)] * 9), orders(*[(MILK, RARE)] * 4, (SAUCE, OTHER), start=50)
    rows = [(customer, order, item, day + 300) for customer, order, item, day in old] + new
    found = Together.of(shop_of(rows, items=5, customers=7))
    assert found.table.units == 5
    assert found.bought(PASTA) == 0
    assert found.beside(MILK).support.tolist() == [4.0]


def test_blocks_of_any_size_give_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(0)
    baskets = [tuple(draws.choice(12, 4, replace=False).tolist()) for _ in range(200)]
    shop = shop_of(orders(*baskets), items=12, customers=7)
    whole = Together.of(shop)
    monkeypatch.setattr(together, "BLOCK_PAIRS", 50)
    parts = Together.of(shop)
    for item in range(12):
        np.testing.assert_array_equal(whole.beside(item).items, parts.beside(item).items)
        for other, support in zip(whole.beside(item).items, whole.beside(item).support, strict=True):
            assert support == sum(item in basket and other in basket for basket in baskets)


def test_a_shop_without_orders_has_no_pairs() -> None:
    found = Together.of(shop_of([], items=3, customers=1))
    assert not len(found.beside(0).items)
    assert not len(found.missing([0, 1]).items)


def test_only_the_strongest_neighbours_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_table, "NEIGHBOURS", 3)
    monkeypatch.setattr(pair_table, "FEWEST_NEIGHBOURS", 1)
    other = np.arange(10)
    table = PairTable.of([Block(np.zeros(10, np.int64), other, other + 1.0, other + 1.0)], np.ones(10), 10)
    items, weights = table.beside(0)
    assert sorted(zip(items.tolist(), weights.tolist(), strict=True)) == [(7, 8.0), (8, 9.0), (9, 10.0)]
    for one in range(20, 40):
        table.add(0, one, float(one))
    items, _ = table.beside(0)
    assert {37, 38, 39} <= set(items.tolist())
    assert len(items) < 3 + 2 * 3 + 1


def test_all_live_pairs_together_are_bounded_and_the_strongest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_table, "MOST_LIVE_PAIRS", 10)
    table = grocer().table
    for weight in range(1, 12):
        table.add(10 + weight, 1, float(weight))
        table.add(10 + weight, 1, 0.0)  # a pair that is known counts once
    left = {weight for weight in range(1, 12) if len(table.beside(10 + weight)[0])}
    assert left == {7, 8, 9, 10, 11}
    table.add(99, 1, 1.0)
    assert table.beside(99)[0].tolist() == [1]


def test_a_sibling_shares_the_bulk_pairs_and_not_the_live_ones() -> None:
    table = grocer().table
    other = table.sibling()
    table.add(PASTA, RARE, 5.0)
    assert RARE in table.beside(PASTA)[0]
    assert other.beside(PASTA)[0].tolist() == [SAUCE]


def test_sums_name_the_loudest_voice() -> None:
    found = summed([(1, np.array([5, 6]), np.array([0.2, 0.3])), (2, np.array([5]), np.array([0.7]))])
    assert found.items.tolist() == [5, 6]
    assert found.scores.tolist() == pytest.approx([0.9, 0.3])
    assert found.because.tolist() == [2, 1]


def test_ranges_cover_all_rows_once() -> None:
    costs = np.random.default_rng(1).random(100)
    found = list(ranges(costs, 3.0))
    assert [start for start, _ in found] == [0, *(end for _, end in found[:-1])]
    assert found[-1][1] == 100
    assert all(costs[start:end].sum() <= 3.0 or end == start + 1 for start, end in found)
