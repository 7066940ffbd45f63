from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoploom.config import CleaningConfig
from shoploom.data import schema
from shoploom.data.arrays import F64, Lines, ShopArrays
from shoploom.data.hidden import Hidden
from shoploom.ensemble.members.decayed_frequency import DecayedFrequency
from shoploom.ensemble.members.neighbours import SimilarCustomers
from shoploom.ensemble.members.popularity import Popularity
from shoploom.inference.because import Asked, Replay, Why, because
from shoploom.inference.catalogue import Filters
from shoploom.inference.served import Served
from shoploom.inference.state import ShopState
from shoploom.inference.suspects import WIDEST, Suspect, Suspects
from shoploom.tasks import TASKS
from shoploom.tasks.base import Cases, Ranked
from tests.shops import make_shop, make_tables

WANTED = 44
"""The product that toy members are asked about; customer c001 never bought it."""


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop(customers=40, products=120, days=150)


class Toy:
    """Ranks products by row, but puts one at the place that a function of the history says (from 0)."""

    name = "toy"

    def __init__(self, place: Callable[[Lines], float]) -> None:
        self.place = place
        self.calls = 0

    def predict(self, shop: ShopArrays, cases: Cases) -> Ranked:
        self.calls += 1
        items = np.empty((len(cases), cases.k), dtype=np.int32)
        scores = np.empty((len(cases), cases.k))
        for row, unit in enumerate(cases.units):
            value: F64 = -np.arange(len(shop.items), dtype=np.float64)
            value[WANTED] = 0.5 - self.place(shop.histories(np.array([unit])).lines)
            items[row] = np.argsort(-value, kind="stable")[: cases.k]
            scores[row] = value[items[row]]
        return Ranked(items, scores)


def serve(shop: ShopArrays, tmp_path: Path, **members: object) -> Served:
    state = ShopState(
        shop, customers=schema.empty("customers"), cleaning=CleaningConfig(), hidden=Hidden(tmp_path / "hidden.json")
    )
    return Served("v0001", {}, members, state)  # type: ignore[arg-type]


def asked_of(served: Served, customer: str, repeats: str = "auto", k: int = 10) -> Asked:
    state = served.state
    return Asked(state.customer(customer), state.shop.end, k, repeats, state.allowed(Filters()))  # type: ignore[arg-type]


def explain(shop: ShopArrays, tmp_path: Path, toy: Toy) -> Why:
    served = serve(shop, tmp_path, next_basket=toy)
    return because(served, asked_of(served, "c001"), [WANTED])[0]


def own_of(shop: ShopArrays, customer: str) -> list[int]:
    lines = shop.histories(np.array([shop.customers.row(customer)])).lines
    items, times = np.unique(lines.item, return_counts=True)
    return items[np.argsort(-times, kind="stable")].tolist()


def apart(shop: ShopArrays) -> tuple[int, int]:
    """Two frequent products of a customer, of different categories."""
    own = own_of(shop, "c001")
    assert WANTED not in own
    return own[0], next(one for one in own if one % 4 != own[0] % 4)


def fitted(name: str, member: type, shop: ShopArrays) -> object:
    found = member()
    found.fit(shop, TASKS.load(name)())
    return found


def test_the_product_that_makes_the_place_is_the_reason(shop: ShopArrays, tmp_path: Path) -> None:
    cause, _ = apart(shop)
    toy = Toy(lambda lines: 2.0 if (lines.item == cause).any() else 20.0)
    found = explain(shop, tmp_path, toy)
    assert found.code == "history"
    assert (found.rank, found.without_history, found.popular) == (3, 21, False)
    best = found.effects[0]
    assert best.suspect == Suspect("product", (cause,))
    assert (best.before, best.after, best.fall) == (3, 21, 18)
    assert best.score_change == pytest.approx(-18.0)
    assert toy.calls == 1


def test_a_fall_that_is_too_short_is_not_claimed(shop: ShopArrays, tmp_path: Path) -> None:
    cause, _ = apart(shop)
    served = serve(shop, tmp_path, next_basket=Toy(lambda lines: 2.0 if (lines.item == cause).any() else 6.0))
    asked = asked_of(served, "c001")
    assert because(served, asked, [WANTED], least=5)[0].code == "popular"
    assert because(served, asked, [WANTED], least=4)[0].effects[0].suspect == Suspect("product", (cause,))


def test_two_products_are_the_reason_where_each_stands_in_for_the_other(shop: ShopArrays, tmp_path: Path) -> None:
    one, other = apart(shop)
    places = {2: 1.0, 1: 3.0, 0: 25.0}
    toy = Toy(lambda lines: places[len({one, other} & set(lines.item.tolist()))])
    best = explain(shop, tmp_path, toy).effects[0]
    assert best.suspect.kind == "products"
    assert set(best.suspect.items) == {one, other}
    assert (best.before, best.after) == (2, 26)
    assert toy.calls == 2


def test_a_category_is_the_reason_where_any_of_it_suffices(shop: ShopArrays, tmp_path: Path) -> None:
    toys = {one for one in own_of(shop, "c001") if one % 4 == 3}
    assert 1 < len(toys) <= WIDEST * len(own_of(shop, "c001"))
    best = explain(shop, tmp_path, Toy(lambda lines: 1.0 if toys & set(lines.item.tolist()) else 30.0)).effects[0]
    assert best.suspect.kind == "category"
    assert best.suspect.categories == ("Toys",)
    assert set(best.suspect.items) == toys


def test_where_all_purchases_count_alike_the_whole_history_is_named(shop: ShopArrays, tmp_path: Path) -> None:
    found = explain(shop, tmp_path, Toy(lambda lines: 1.0 if len(lines) else 30.0))
    assert found.code == "whole_history"
    assert [one.suspect.kind for one in found.effects] == ["everything"]


def test_what_everybody_is_shown_has_no_reason_in_the_history(shop: ShopArrays, tmp_path: Path) -> None:
    served = serve(shop, tmp_path, next_basket=fitted("next_basket", Popularity, shop))
    asked = asked_of(served, "c001")
    shown = served.recommend("c001", k=10).items
    found = because(served, asked, shown)
    assert [one.code for one in found] == ["popular"] * 10
    assert [one.without_history for one in found] == [one.rank for one in found] == list(range(1, 11))


def test_a_product_beyond_all_places_is_not_ranked(shop: ShopArrays, tmp_path: Path) -> None:
    found = explain(shop, tmp_path, Toy(lambda lines: 90.0 + len(lines)))
    assert (found.code, found.rank, found.effects) == ("not_ranked", None, ())


def test_off_the_list_is_a_fall_of_at_least_the_places_that_are_looked_at(shop: ShopArrays, tmp_path: Path) -> None:
    cause, _ = apart(shop)
    best = explain(shop, tmp_path, Toy(lambda lines: 0.0 if (lines.item == cause).any() else 99.0)).effects[0]
    assert (best.after, best.score_change, best.fall) == (None, None, 60)


def test_ranks_without_a_product_are_those_of_a_shop_that_never_sold_it_to_the_customer(tmp_path: Path) -> None:
    """The slow way: take the lines out of the tables, build the shop anew, ask the same fitted member."""
    tables = make_tables(customers=20, products=40, days=150)
    shop = ShopArrays.build(tables)
    member = fitted("next_basket", DecayedFrequency, shop)
    served = serve(shop, tmp_path, next_basket=member)
    asked = asked_of(served, "c002")
    found = because(served, asked, served.recommend("c002", k=10).items)
    assert {one.code for one in found} >= {"history"}
    for why in found:
        for effect in why.effects:
            ids = [shop.items.ids[row] for row in effect.suspect.items]
            gone = (pl.col(schema.CUSTOMER) == "c002") & pl.col(schema.PRODUCT).is_in(ids)
            events = tables.events.filter(~gone.fill_null(False))  # anonymous lines stay
            other = ShopArrays.build(replace(tables, events=events))
            assert other.items.ids == shop.items.ids
            cases = Cases(np.array([asked.customer], dtype=np.int32), k=60, allowed=asked.allowed)
            ranked = member.predict(other, cases).items[0].tolist()  # type: ignore[attr-defined]
            assert effect.after == (ranked.index(why.item) + 1 if why.item in ranked else None)


def test_products_that_were_taken_out_take_no_places_among_discoveries(shop: ShopArrays, tmp_path: Path) -> None:
    served = serve(shop, tmp_path, new_for_you=fitted("new_for_you", SimilarCustomers, shop))
    asked = asked_of(served, "c001", repeats="exclude")
    replay = Replay(served, asked)
    own = own_of(shop, "c001")
    usual, without = replay.lists([Suspect("products", tuple(own[:5]))])
    shown = served.recommend("c001", k=10, repeats="exclude").items
    assert [item for item in usual.places if usual.places[item] <= 10] == shown
    assert not set(own) & set(without.places)
    assert sorted(without.places.values()) == list(range(1, len(without.places) + 1))


def test_suspects_begin_with_the_product_itself_and_hold_no_half_of_the_history(
    shop: ShopArrays, tmp_path: Path
) -> None:
    served = serve(shop, tmp_path, next_basket=Toy(lambda lines: 0.0))
    history = served.state.history(shop.customers.row("c001"))
    own = own_of(shop, "c001")
    suspects = Suspects(served, history)
    habit = suspects.of(own[0])
    assert habit[0] == Suspect("product", (own[0],))
    new = next(one for one in range(120) if one not in own)
    found = suspects.of(new, 12)
    assert len(found) == 12
    assert {item for one in found for item in one.items} <= set(own)
    assert len(set(found)) == 12
    for one in found:
        assert one.kind == "product" or len(one.items) <= WIDEST * len(own)


def test_a_list_fills_its_suspects_up_for_discoveries_only(shop: ShopArrays, tmp_path: Path) -> None:
    served = serve(shop, tmp_path, next_basket=Toy(lambda lines: 0.0))
    suspects = Suspects(served, served.state.history(shop.customers.row("c001")))
    own = own_of(shop, "c001")
    new = next(one for one in range(120) if one not in own)
    assert len(suspects.of_all([own[0]], 30)) < 30
    filled = suspects.of_all([own[0], new], 30)
    assert len(filled) == len(set(filled)) == 30
