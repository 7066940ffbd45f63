"""Lists of one version: who gets the ranking, who gets what stands in for it, and what is said about that."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoploom.config import CleaningConfig, RecommendConfig
from shoploom.data import schema
from shoploom.data.arrays import ShopArrays
from shoploom.data.hidden import Hidden
from shoploom.data.live_event import LiveEvent
from shoploom.data.vocabulary import Vocabulary
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.base import Member
from shoploom.errors import UsageError
from shoploom.inference.catalogue import Filters
from shoploom.inference.live import columns_of
from shoploom.inference.rerank import Arrangement, Wishes
from shoploom.inference.rules import Rules
from shoploom.inference.served import Served
from shoploom.inference.state import ShopState
from shoploom.tasks import TASKS
from shoploom.tasks.base import Repeats
from tests.shops import END, make_shop


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop(customers=30, products=24, days=120)


@pytest.fixture(scope="module")
def members(shop: ShopArrays) -> dict[str, Member]:
    found = {"next_basket": MEMBERS.load("decayed_frequency")(), "new_for_you": MEMBERS.load("recent_popularity")()}
    for name, one in found.items():
        one.fit(shop, TASKS.load(name)())
    return found


@pytest.fixture
def served(shop: ShopArrays, members: dict[str, Member], tmp_path: Path) -> Served:
    own = replace(shop, items=Vocabulary(shop.items.ids), customers=Vocabulary(shop.customers.ids))
    hidden = Hidden(tmp_path / "hidden.json")
    state = ShopState(own, customers=schema.empty("customers"), cleaning=CleaningConfig(), hidden=hidden)
    return Served("v0001", {}, members, state)


def wish(seed: str = "", **given: Any) -> Arrangement:
    rules = {name: given.pop(name) for name in list(given) if isinstance(given[name], list)}
    return Arrangement.of(RecommendConfig(), Wishes(Rules.of_texts(**rules), **given), seed=seed)


def bought(served: Served, customer: str) -> set[int]:
    own = served.state.history(served.state.customer(customer))
    return set(own.item[own.purchase].tolist())


def test_neutral_settings_and_no_settings_give_the_same_answer(served: Served) -> None:
    assert served.recommend("c003", k=7, arrangement=Arrangement()) == served.recommend("c003", k=7)
    assert served.recommend("c003", k=7).applied is None


def test_a_filter_reaches_beyond_the_first_candidates(served: Served) -> None:
    found = served.recommend("c003", k=5, arrangement=wish(filter=['category == "Garden"']))
    assert {row % 4 for row in found.items} == {2}
    assert len(found.items) == 5
    assert (found.applied.filtered, found.fallback, found.cold_start) == (18, False, False)


def test_unknown_forgotten_and_empty_customers_get_popular_products_by_the_rules(served: Served) -> None:
    asked = wish(filter=['category == "Toys"'], pin=["p007@2"])
    expected = served.recommend(None, k=4, arrangement=asked)
    assert expected.cold_start
    assert expected.items[1] == 7
    assert {row % 4 for row in expected.items} == {3}
    served.state.put_customer("empty", {})
    served.state.forget_customer("c003")
    for one in ("nobody", "empty", "c003"):
        assert served.recommend(one, k=4, arrangement=asked).items == expected.items


def test_being_shown_products_is_no_history(served: Served) -> None:
    shown = [LiveEvent(type="impression", product_id="p001", customer_id=one) for one in ("seen", "c003")]
    before = served.recommend("c003", k=10)
    assert served.state.observe(columns_of(shown)) == 0
    assert served.recommend("seen", k=3).cold_start
    assert served.recommend("c003", k=10) == before
    viewed = LiveEvent(type="view", product_id="p001", customer_id="seen")
    assert served.state.observe(columns_of([viewed, *shown])) == 1
    assert not served.recommend("seen", k=3).cold_start


def test_a_list_cannot_be_longer_than_the_catalogue(served: Served) -> None:
    for asked in (None, wish(diversity=0.3), wish(cap=["category:100"])):
        found = served.recommend("c003", k=500, arrangement=asked)
        assert 12 <= len(found.items) <= 24
        assert len(set(found.items)) == len(found.items)


def test_excluding_what_was_bought_is_a_rule_as_well(served: Served) -> None:
    by_rule = served.recommend("c003", k=30, arrangement=wish(exclude=["bought"]))
    assert by_rule.items
    assert not bought(served, "c003") & set(by_rule.items)
    assert by_rule.items == served.recommend("c003", k=30, repeats="exclude").items
    own = served.state.shop.items.ids[min(bought(served, "c003"))]
    with pytest.raises(UsageError, match=f"pin={own}@1 cannot be kept: the customer has bought it"):
        served.recommend("c003", k=3, arrangement=wish(exclude=["bought"], pin=[f"{own}@1"]))


def test_excluding_what_was_bought_holds_without_a_ranking(served: Served, members: dict[str, Member]) -> None:
    bare = Served("v0001", {}, {}, served.state)
    assert bought(served, "c003") & set(bare.recommend("c003", k=24).items)
    assert not bought(served, "c003") & set(bare.recommend("c003", k=24, repeats="exclude").items)


def old_stock(served: Served) -> None:
    """Two products that never sold: one came a year ago, one now."""
    for name, days in (("old", 365), ("new", 0)):
        created = END - timedelta(days=days)
        served.state.put_product(name, {"title": name, "brand": "rare", "created_at": created})


def test_products_that_neither_rank_nor_sell_stand_in_newest_first(served: Served) -> None:
    old_stock(served)
    for customer, cold in (("c003", False), (None, True)):
        found = served.recommend(customer, k=5, arrangement=wish(filter=['brand == "rare"']))
        names = [served.state.shop.items.ids[row] for row in found.items]
        assert names == ["new", "old"]
        assert (found.fallback, found.cold_start, found.served_by) == (True, cold, "popular")
        assert "sold within a year or is new stands in" in str(found.reason)


def test_a_short_list_by_rules_goes_on_with_what_neither_ranks_nor_sells(served: Served) -> None:
    old_stock(served)
    for customer, cold in (("c003", False), (None, True)):
        asked = wish(filter=['product_id in ("p003", "old", "new")'])
        found = served.recommend(customer, k=5, arrangement=asked)
        assert [served.state.shop.items.ids[row] for row in found.items] == ["p003", "new", "old"]
        assert (found.fallback, found.reason, found.cold_start) == (False, None, cold)
        assert found.filled == (0 if cold else 2)


def rank_only(served: Served, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the member rank so many products at most."""
    member = served.members["next_basket"]
    predict = member.predict

    def short(shop: ShopArrays, cases: Any) -> Any:
        found = predict(shop, cases)
        return replace(found, items=np.where(np.arange(found.items.shape[1]) < most, found.items, -1))

    monkeypatch.setattr(member, "predict", short)


def test_popular_products_stand_in_where_nothing_that_is_ranked_may_be_shown(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    rank_only(served, 0, monkeypatch)
    found = served.recommend("c003", k=5, arrangement=wish(filter=['category == "Toys"']))
    assert found.items == served.recommend(None, k=5, arrangement=wish(filter=['category == "Toys"'])).items
    assert (found.fallback, found.cold_start, found.filled) == (True, False, 5)
    assert "no product that is ranked for this customer may be shown" in str(found.reason)


def test_filled_counts_what_is_shown(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    rank_only(served, 4, monkeypatch)
    plain = served.recommend("c003", k=10)
    assert (plain.filled, plain.fallback) == (6, False)
    found = served.recommend("c003", k=10, arrangement=wish(bury=[f'product_id == "p{plain.items[0]:03d}"*1000']))
    assert plain.items[0] not in found.items
    assert found.filled == 7


@pytest.mark.parametrize(
    ("filters", "given", "reason"),
    [
        (Filters(), {"filter": ["price > 0", "price < 0"]}, "filter=price < 0 leaves none of 24"),
        (
            Filters(),
            {"filter": ['brand == "brand 1"', 'brand == "brand 2"']},
            'filter=brand == "brand 2" leaves none of 8',
        ),
        (
            Filters(hidden=tuple(f"p{row:03d}" for row in range(24))),
            {},
            "category, stock and hidden products leave none",
        ),
    ],
)
def test_an_empty_list_says_what_emptied_it(
    served: Served, filters: Filters, given: dict[str, Any], reason: str
) -> None:
    for customer in ("c003", None):
        found = served.recommend(customer, k=5, filters=filters, arrangement=wish(diversity=0.2, **given))
        assert (found.items, found.fallback) == ([], False)
        assert reason in str(found.reason)


def test_a_customer_who_bought_all_there_is_gets_an_empty_list_that_says_so(served: Served) -> None:
    mine = min(bought(served, "c003"))
    asked = wish(filter=[f'product_id == "{served.state.shop.items.ids[mine]}"'], exclude=["bought"])
    found = served.recommend("c003", k=5, arrangement=asked)
    assert found.items == []
    assert "the customer has bought all that might be" in str(found.reason)


def test_exploring_repeats_itself_for_one_request_and_differs_between_requests(served: Served) -> None:
    lists = [served.recommend("c003", k=8, arrangement=wish(str(n), explore=0.4)).items for n in range(8)]
    assert [served.recommend("c003", k=8, arrangement=wish(str(n), explore=0.4)).items for n in range(8)] == lists
    assert len({tuple(one) for one in lists}) > 3


def test_out_of_stock_products_are_excluded_by_rule(served: Served) -> None:
    first = served.recommend("c003", k=1).items[0]
    served.state.put_product(served.state.shop.items.ids[first], {"attributes": json.dumps({"stock": 0})})
    assert served.recommend("c003", k=1).items == [first]
    found = served.recommend("c003", k=24, arrangement=wish(exclude=["out_of_stock"]))
    assert first not in found.items
    assert found.applied.filtered == 1


@pytest.mark.parametrize("repeats", ["auto", "exclude"])
def test_popular_products_stand_in_for_a_member_that_fails_and_it_is_counted(
    served: Served, monkeypatch: pytest.MonkeyPatch, repeats: Repeats
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a wire came loose")

    task, name = ("next_basket", "decayed_frequency") if repeats == "auto" else ("new_for_you", "recent_popularity")
    monkeypatch.setattr(served.members[task], "predict", broken)
    for number, asked in enumerate((None, wish(filter=['category == "Toys"'], pin=["p007@1"])), start=1):
        asked = asked if repeats == "auto" else None
        found = served.recommend("c003", k=4, repeats=repeats, arrangement=asked)
        assert (found.served_by, found.fallback, found.cold_start) == ("popular", True, False)
        assert f"{name}, which ranks, failed" in str(found.reason)
        assert len(found.items) == 4
        if repeats == "exclude":
            assert not bought(served, "c003") & set(found.items)
        elif asked is not None:
            assert found.items[0] == 7
            assert {row % 4 for row in found.items} == {3}
        assert served.dropped[task][name, "failed"] == number


def test_products_that_came_after_a_mask_was_made_break_no_count(served: Served) -> None:
    allowed = served.state.allowed(Filters())
    sold = LiveEvent(type="purchase", product_id="brand new", customer_id="c003", price=2.0)
    served.state.observe(columns_of([sold]))
    assert max(served._popular(30, allowed)[0]) < len(allowed)
    assert served.state.shop.items.row("brand new") in served.popular(k=30, days=28.0, filters=Filters())[0]


def test_freshness_brings_unsold_products_that_are_like_what_was_bought(served: Served) -> None:
    for name, kind in (("kite", "Toys"), ("bun", "Bakery")):
        served.state.put_product(name, {"title": name, "category": ["Goods", kind]})
    kite, bun = (served.state.shop.items.row(name) for name in ("kite", "bun"))
    plain = served.recommend("c003", k=24).items
    assert not {kite, bun} & set(plain)
    asked = served.recommend("c003", k=26, arrangement=wish(freshness=1e-9)).items
    assert asked == [*plain, kite, bun]
    assert served.recommend("c000", k=26, arrangement=wish(freshness=1e-9)).items[-2:] == [bun, kite]
    assert served.recommend("c003", k=2, arrangement=wish(freshness=50.0)).items == [kite, bun]
    assert kite not in served.recommend("c003", k=26, arrangement=wish(freshness=50.0, filter=["price > 0"])).items
