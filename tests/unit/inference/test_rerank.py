from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from shoploom.config import CleaningConfig, RecommendConfig, RuleConfig
from shoploom.data import schema
from shoploom.data.arrays import F32, ShopArrays
from shoploom.data.hidden import Hidden
from shoploom.data.vocabulary import Vocabulary
from shoploom.errors import ConfigError, UsageError
from shoploom.inference.catalogue import Filters
from shoploom.inference.rerank import MOST_CANDIDATES, Arrangement, Arranger, Wishes
from shoploom.inference.rules import Rule, Rules
from shoploom.inference.similar import SimilarItems
from shoploom.inference.state import ShopState
from tests.shops import END, make_shop

ITEMS, SCORES = list(range(40)), [float(100 - row) for row in range(40)]


class Kinds:
    """Vectors that tell only the remainder by four apart: the category of the synthetic shop."""

    def item_vectors(self, shop: ShopArrays) -> F32:
        return np.eye(4, dtype=np.float32)[np.arange(len(shop.items)) % 4] * 3


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop()


@pytest.fixture
def state(shop: ShopArrays, tmp_path: Path) -> ShopState:
    hidden = Hidden(tmp_path / "hidden.json")
    own = replace(shop, items=Vocabulary(shop.items.ids), customers=Vocabulary(shop.customers.ids))
    return ShopState(own, customers=schema.empty("customers"), cleaning=CleaningConfig(), hidden=hidden)


@pytest.fixture
def arranger(state: ShopState) -> Arranger:
    return Arranger(state, SimilarItems(state.facts, Kinds()))


def wish(settings: RecommendConfig | None = None, seed: str = "", **given: object) -> Arrangement:
    """An arrangement of what a request writes: rules as lists of texts, settings as numbers."""
    rules = {name: given.pop(name) for name in list(given) if isinstance(given[name], list)}
    wishes = Wishes(Rules.of_texts(**rules), **given)  # type: ignore[arg-type]
    return Arrangement.of(settings or RecommendConfig(), wishes, seed=seed)


def test_neutral_settings_leave_the_ranking_exactly_as_it_is(arranger: Arranger) -> None:
    order = np.random.default_rng(0).permutation(40).tolist()
    found = arranger.arranged(order, SCORES, Arrangement(), k=12)
    assert (found.items, found.scores, found.propensities) == (order[:12], SCORES[:12], [1.0] * 12)
    assert Arrangement().plain
    assert Arrangement().depth(20) == 20


@pytest.mark.parametrize(
    "neutral",
    [
        {"cap": ["brand:1000"]},
        {"filter": ["price > 0"]},
        {"boost": ["price > 0*3"]},
        {"bury": ["price > 1e6*3"]},
        {"freshness": 1.0, "half_life_days": 1e-3},
    ],
)
def test_rules_that_change_nothing_leave_the_ranking(arranger: Arranger, neutral: dict[str, object]) -> None:
    assert arranger.arranged(ITEMS, SCORES, wish(**neutral), k=12).items == ITEMS[:12]


def test_more_candidates_are_asked_for_where_there_is_something_to_choose() -> None:
    some = wish(diversity=0.1)
    assert [some.depth(k) for k in (1, 20, 50, 300, 2000)] == [100, 100, 250, MOST_CANDIDATES, 2000]


def test_a_boost_lifts_by_the_factor_on_the_scale_of_ranks(arranger: Arranger) -> None:
    # u = 11 / (10 + r): row 29 has rank 30, u = 11/40; doubled 11/20, between the ranks 9 (11/19) and 10 (11/20).
    found = arranger.arranged(ITEMS, SCORES, wish(boost=['product_id == "p029"*2']), k=12)
    assert found.items == [*range(10), 29, 10]
    assert found.scores[10] == SCORES[29]
    assert (found.applied.boosted, found.applied.buried, found.applied.candidates) == (1, 0, 40)
    # Halved, rank 1 has u = 1/2 = 11/22, that of rank 12.
    found = arranger.arranged(ITEMS, SCORES, wish(bury=['product_id == "p000"*2']), k=13)
    assert found.items == [*range(1, 11), 0, 11, 12]


def test_the_scale_does_not_depend_on_the_units_of_scores(arranger: Arranger) -> None:
    asked = wish(boost=['category == "toys"*1.5'], diversity=0.2)
    other = [np.exp(-row / 7) - 5 for row in range(40)]
    one, two = (arranger.arranged(ITEMS, scores, asked, k=20).items for scores in (SCORES, other))
    assert one == two


def test_factors_of_several_rules_multiply(arranger: Arranger) -> None:
    both = wish(boost=['product_id == "p020"*3', "price > 0*2"], bury=['product_id contains "p02"*3'])
    assert arranger.arranged(ITEMS, SCORES, both, k=20).items == ITEMS[:20]  # 20 to 29 fall, but p020 is lifted again
    found = arranger.arranged(ITEMS, SCORES, both, k=40).items
    assert found.index(20) < min(found.index(row) for row in range(21, 30))


def test_filters_and_exclusions_are_counted_over_the_catalogue(arranger: Arranger, state: ShopState) -> None:
    state.put_product("p002", {"attributes": json.dumps({"stock": 0})})
    found = arranger.arranged(ITEMS, SCORES, wish(filter=['category != "Toys"'], exclude=["out_of_stock"]), k=5)
    assert found.items == [0, 1, 4, 5, 6]
    assert (found.applied.filtered, found.applied.candidates) == (11, 29)


def test_new_products_move_up_and_the_effect_halves(arranger: Arranger, state: ShopState) -> None:
    state.put_product("p030", {"created_at": END})
    state.put_product("p020", {"created_at": END - timedelta(days=10)})
    found = arranger.arranged(ITEMS, SCORES, wish(freshness=1.0, half_life_days=10), k=40, day=state.shop.end)
    # p030: 2 * 11/41 is rank 10.5; p020: 1.5 * 11/31 is rank 10.67; the shop is 200 days old: others hardly move.
    assert found.items.index(30) == 10
    assert found.items.index(20) == 11
    state.put_product("later", {"title": "Later"})
    late = arranger.arranged([*range(40), 40], [*SCORES, 0.0], wish(freshness=5.0), k=41)
    assert late.items.index(40) < 5  # came while serving


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_diversity_mixes_the_kinds(arranger: Arranger, method: str) -> None:
    by_kind = sorted(ITEMS, key=lambda row: (row % 4, row))
    plain = arranger.arranged(by_kind, SCORES, Arrangement(), k=8).items
    mixed = arranger.arranged(by_kind, SCORES, wish(diversity=0.7, method=method), k=8).items
    assert {row % 4 for row in plain} == {0}
    assert {row % 4 for row in mixed[:4]} == {0, 1, 2, 3}
    assert mixed[0] == plain[0]


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_without_vectors_the_category_tells_products_apart(state: ShopState, method: str) -> None:
    arranger = Arranger(state, SimilarItems(state.facts))
    by_kind = sorted(ITEMS, key=lambda row: (row % 4, row))
    mixed = arranger.arranged(by_kind, SCORES, wish(diversity=0.7, method=method), k=4).items
    assert {row % 4 for row in mixed} == {0, 1, 2, 3}


def test_pins_count_for_diversity_and_caps(arranger: Arranger) -> None:
    pinned = wish(pin=["p004@1"], diversity=0.7)
    assert arranger.arranged([0, 8, 1, 12, 2, 3], SCORES[:6], pinned, k=4).items[0] == 4
    assert {row % 4 for row in arranger.arranged([0, 8, 1, 12, 2, 3], SCORES[:6], pinned, k=4).items} == {0, 1, 2, 3}
    capped = arranger.arranged(ITEMS, SCORES, wish(pin=["p008@1"], cap=["category:1"]), k=10)
    assert capped.items == [8, 1, 2, 3]
    assert capped.applied.capped == 39 - 3  # the list is short, so every other candidate would be on it


def test_caps_hold_on_each_column(arranger: Arranger) -> None:
    found = arranger.arranged(ITEMS, SCORES, wish(cap=["category:2", "colour:1"]), k=20).items
    assert max(np.bincount([row % 4 for row in found])) == 2
    assert max(np.bincount([row % 5 for row in found])) == 1
    assert found == [0, 1, 2, 3, 4]
    assert arranger.arranged(ITEMS, SCORES, wish(cap=["category:1"]), k=3).applied.capped == 0
    late = arranger.arranged([0, 4, 8, 1, 2], SCORES[:5], wish(cap=["category:1"]), k=2)
    assert (late.items, late.applied.capped) == ([0, 1], 2)


def test_pins_stand_where_they_should_and_are_never_twice_on_the_list(arranger: Arranger) -> None:
    found = arranger.arranged(ITEMS, SCORES, wish(pin=["p003@1", "p035@4"]), k=6)
    assert found.items == [3, 0, 1, 35, 2, 4]
    assert found.applied.pinned == 2
    assert arranger.arranged([5], [1.0], wish(pin=["p003@1", "p035@4"]), k=6).items == [3, 5, 35]
    outside = arranger.arranged([5, 6], [2.0, 1.5], wish(pin=["p003@2"]), k=6)
    assert outside.scores == [2.0, 1.5, 1.5]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pin": ["nosuch@1"]}, "pin=nosuch@1 names an unknown product"),
        ({"pin": ["p007@1"]}, "pin=p007@1 cannot be kept: the product is hidden; PUT"),
        ({"pin": ["p001@1"], "filter": ['category == "Toys"']}, 'filter=category == "Toys" leaves the product out'),
        ({"pin": ["p002@1"], "exclude": ["out_of_stock"]}, "exclude=out_of_stock leaves the product out"),
        ({"pin": ["p001@21"]}, "pin=p001@21 cannot be kept: the list has 20 positions"),
        ({"pin": ["p001@1", "p005@2"], "cap": ["category:1"]}, "cap=category:1 has no room for it beside the other"),
        ({"pin": ["p011@1"]}, "the customer has bought it"),
        ({"pin": ["p015@1"]}, "category, in_stock or hide leave the product out"),
        ({"cap": ["price:1"]}, "cap=price:1 does not fit the catalogue: price is no text"),
        ({"filter": ["prise < 5"]}, "filter=prise < 5 does not fit the catalogue at column 1: .*Did you mean 'price'"),
    ],
)
def test_what_a_request_cannot_have_is_an_error(
    arranger: Arranger, state: ShopState, given: dict[str, object], message: str
) -> None:
    state.hidden.set("products", "p007", hidden=True)
    state.put_product("p002", {"attributes": json.dumps({"in_stock": False})})
    asked, base = wish(**given), state.allowed(Filters(hidden=("p015",)))

    def ask() -> None:
        permitted = arranger.permitted(asked.rules, base)
        arranger.arranged(ITEMS, SCORES, asked, k=20, permitted=permitted, bought=[11])

    with pytest.raises(UsageError, match=message):
        ask()


def test_a_standing_pin_that_cannot_be_kept_today_is_left_out_and_told(arranger: Arranger, state: ShopState) -> None:
    standing = RecommendConfig(
        rules=(
            RuleConfig(pin="p007", position=1),
            RuleConfig(pin="p009", position=2),
            RuleConfig(pin="p010", position=3),
            RuleConfig(pin="p011", position=30),
        )
    )
    state.hidden.set("products", "p007", hidden=True)
    found = arranger.arranged(ITEMS, SCORES, wish(standing, pin=["p021@2"], filter=['colour != "red"']), k=5)
    assert found.items == [1, 21, 2, 3, 4]
    assert found.applied.left_out == [
        "pin=p009@2: the request pins another product or position",
        "pin=p007@1: the product is hidden; PUT /v1/products/{id} shows it again",
        'pin=p010@3: filter=colour != "red" leaves the product out',
    ]
    wrong = RecommendConfig(rules=(RuleConfig(pin="typo", position=1),))
    with pytest.raises(ConfigError, match=r"rules\]\] number 1: pin=typo@1 names an unknown product"):
        arranger.arranged(ITEMS, SCORES, Arrangement.of(wrong), k=5)


def test_a_request_goes_before_the_settings_of_the_shop() -> None:
    shop = RecommendConfig(diversity=0.4, freshness=2.0, explore=0.1)
    assert Arrangement.of(shop).diversity == 0.4
    assert wish(shop, diversity=0.0, explore=0.0) == Arrangement(freshness=2.0)
    with pytest.raises(UsageError, match=r"^diversity is 2.0; wanted a number from 0 to 1"):
        wish(diversity=2.0)


def test_exploration_keeps_pins_caps_and_filters(arranger: Arranger) -> None:
    given = {"pin": ["p008@2"], "cap": ["category:3"], "filter": ['colour != "red"'], "explore": 0.5}
    seen = set()
    for number in range(60):
        found = arranger.arranged(ITEMS, SCORES, wish(seed=str(number), **given), k=6)
        assert found.items[1] == 8
        assert found.propensities[1] == 1.0
        assert max(np.bincount([row % 4 for row in found.items])) <= 3
        assert all(row % 5 for row in found.items)
        assert found.applied.explored == sum(propensity < 0.5 for propensity in found.propensities)
        seen |= set(found.items)
    best = arranger.arranged(ITEMS, SCORES, wish(**{**given, "explore": 0.0}), k=6)
    assert set(best.items) < seen
    assert best.propensities == [1.0] * 6


def test_rearranging_does_not_change_what_it_was_given(arranger: Arranger, state: ShopState) -> None:
    items, scores = list(ITEMS), list(SCORES)
    mask = state.allowed(Filters()).copy()
    arranger.arranged(items, scores, wish(filter=["price < 3"], boost=["price < 2*2"], diversity=0.3), k=5)
    assert (items, scores) == (ITEMS, SCORES)
    np.testing.assert_array_equal(state.allowed(Filters()), mask)


def test_nothing_in_nothing_out(arranger: Arranger) -> None:
    found = arranger.arranged([], [], wish(diversity=0.3, cap=["brand:1"], explore=0.2), k=5)
    assert (found.items, found.scores) == ([], [])


def test_what_stands_in_stays_behind_whatever_moves_it(arranger: Arranger) -> None:
    lifted = wish(boost=["price > 0*1.5", 'product_id == "p030"*1000'], diversity=0.9)
    found = arranger.arranged([0, 4, 8, 30, 1, 2], SCORES[:6], lifted, k=6, standing_in=3)
    assert set(found.items[:3]) == {0, 4, 8}, "alike as they are, they belong on the list"
    assert found.items[3:] == [30, 1, 2]
    capped = arranger.arranged([0, 4, 8, 30, 1, 2], SCORES[:6], wish(cap=["category:1"]), k=6, standing_in=3)
    assert capped.items == [0, 30, 1], "row 30 and row 2 are of one category"


def test_a_list_may_have_no_place_for_a_pin(arranger: Arranger) -> None:
    def foreign(rule: Rule, row: int) -> str:
        return "the product is none of these" if row == 21 or rule.standing else ""

    standing = RecommendConfig(rules=(RuleConfig(pin="p009", position=2),))
    found = arranger.arranged(ITEMS, SCORES, wish(standing, pin=["p020@1"]), k=3, foreign=foreign)
    assert found.items == [20, 0, 1]
    assert found.applied.left_out == ["pin=p009@2: the product is none of these"]
    with pytest.raises(UsageError, match="pin=p021@1 cannot be kept: the product is none of these"):
        arranger.arranged(ITEMS, SCORES, wish(pin=["p021@1"]), k=3, foreign=foreign)


def test_a_standing_cap_gives_way_where_it_would_count_everything(arranger: Arranger, state: ShopState) -> None:
    standing = RecommendConfig(rules=(RuleConfig(cap="category", most=2), RuleConfig(cap="brand", most=3)))
    toys = arranger.permitted(Rules(), state.before_rules(Filters(category="Toys")))
    found = arranger.arranged(ITEMS, SCORES, wish(standing), k=8, permitted=toys)
    assert found.items == [3, 7, 11, 15, 19, 23, 27, 31]  # brands are row % 3: 0 1 2 0 1 2 0 1
    assert found.applied.left_out == ["cap=category:2: all that this list may show has the same category"]
    wished = arranger.arranged(ITEMS, SCORES, wish(standing, cap=["category:1"]), k=8, permitted=toys)
    assert wished.items == [3], "what a request asks for, it gets"
    everything = arranger.arranged(ITEMS, SCORES, wish(standing), k=8)
    assert everything.items == list(range(8))
    assert everything.applied.left_out == []


def test_standing_filters_of_the_shop_count_without_being_asked_for(shop: ShopArrays, tmp_path: Path) -> None:
    hidden = Hidden(tmp_path / "hidden.json")
    rules = (
        RuleConfig(filter='category != "Toys"'),
        RuleConfig(exclude="out_of_stock"),
        RuleConfig(cap="brand", most=1),
    )
    own = replace(shop, items=Vocabulary(shop.items.ids), customers=Vocabulary(shop.customers.ids))
    state = ShopState(own, customers=schema.empty("customers"), cleaning=CleaningConfig(), hidden=hidden, rules=rules)
    state.put_product("p002", {"attributes": json.dumps({"stock": 0})})
    expected = [row for row in ITEMS if row % 4 != 3 and row != 2]
    assert np.flatnonzero(state.allowed(Filters())).tolist() == expected
    few = Filters(rules=Rules.of_texts(filter=['brand == "brand 1"'], cap=["brand:1"]))
    assert np.flatnonzero(state.allowed(few)).tolist() == [row for row in expected if row % 3 == 1]
    assert state.before_rules(few).all()
    permitted = Arranger(state, SimilarItems(state.facts)).permitted(Rules())
    assert (int(permitted.base.sum()), int(permitted.mask.sum())) == (40, 29)


def test_a_standing_filter_that_does_not_fit_is_named_wherever_a_list_is_made(shop: ShopArrays, tmp_path: Path) -> None:
    hidden, rules = Hidden(tmp_path / "hidden.json"), (RuleConfig(filter="prise < 5"),)
    state = ShopState(shop, customers=schema.empty("customers"), cleaning=CleaningConfig(), hidden=hidden, rules=rules)
    with pytest.raises(
        ConfigError, match=r"rules\]\] number 1: filter=prise < 5 does not fit the catalogue at column 1"
    ):
        state.allowed(Filters())
