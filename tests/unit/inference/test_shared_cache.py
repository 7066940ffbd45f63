from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from shoploom.config import CleaningConfig, TrainConfig
from shoploom.data import schema
from shoploom.data.arrays import ShopArrays
from shoploom.data.hidden import Hidden
from shoploom.data.vocabulary import Vocabulary
from shoploom.ensemble.fusion import Blend
from shoploom.ensemble.members import MEMBERS
from shoploom.ensemble.members.shared import Shared, SharedAnswers
from shoploom.features.items import ItemFeatures
from shoploom.inference.catalogue import Filters
from shoploom.inference.served import Served
from shoploom.inference.state import ShopState
from shoploom.tasks import TASKS
from shoploom.training import loop
from shoploom.training.shared import SharedModel, train_shared
from tests.shops import make_shop

CHANGED = {
    "title": "white garden chair 3 KG",
    "category": ["Goods", "Garden"],
    "brand": "brand 2",
    "price": 99.0,
    "attributes": '{"colour":"white"}',
}


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop(customers=30, products=24, days=120)


@pytest.fixture(scope="module")
def trained(shop: ShopArrays) -> Iterator[SharedModel]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(loop.STEPS, "tiny", 6)
        tasks = {name: TASKS.load(name)() for name in ("next_basket", "price")}
        yield train_shared(shop, tasks, TrainConfig(size="tiny", device="cpu", patience=99))


def serve(shop: ShopArrays, trained: SharedModel, tmp_path, *, blend: bool = False) -> Served:
    """The shared model on its own shop, with nothing read yet."""
    answers = SharedAnswers.of(trained, shop)
    shop = replace(shop, items=Vocabulary(shop.items.ids), customers=Vocabulary(shop.customers.ids))
    hidden = Hidden(tmp_path / "hidden.json")
    state = ShopState(shop, customers=schema.empty("customers"), cleaning=CleaningConfig(), hidden=hidden)
    members = {name: Shared(answers, name) for name in ("next_basket", "price")}
    vectors = members["price"]
    if blend:
        members = {name: Blend(one, one, 0.5) for name, one in members.items()}
    return Served("v0001", {}, members, state, vectors)


def answers_of(served: Served, row: int) -> tuple[list[float], dict[str, float], dict[int, float]]:
    """Scores of a list, a price and similar products, all by product."""
    count = len(served.state.shop.items)
    found = served.recommend("c003", k=count)
    similar = served.similar(row, k=count, filters=Filters())
    scores = dict(zip(found.items, found.scores, strict=True))
    return (
        [scores.get(item, -np.inf) for item in range(count)],
        served.predict("price", [row])[0],
        dict(zip(similar.items, similar.scores, strict=True)),
    )


@pytest.mark.parametrize("blend", [False, True])
def test_a_changed_product_is_answered_for_as_after_a_restart(shop, trained, tmp_path, blend):
    served = serve(shop, trained, tmp_path, blend=blend)
    before = answers_of(served, 5)
    served.put_product("p005", CHANGED)
    after = answers_of(served, 5)
    assert after[0] != before[0]
    assert after[1] != before[1]
    assert after[2] != before[2]
    fresh = serve(replace(shop, catalogue=served.state.shop.catalogue), trained, tmp_path, blend=blend)
    expected = answers_of(fresh, 5)
    np.testing.assert_allclose(after[0], expected[0], rtol=1e-4)
    assert after[1] == pytest.approx(expected[1], rel=1e-4)
    assert after[2] == pytest.approx(expected[2], abs=2e-4)


def test_a_change_survives_products_that_come_later(shop, trained, tmp_path):
    served = serve(shop, trained, tmp_path)
    answers_of(served, 5)
    served.put_product("new", {"title": "red toys item"})
    answers_of(served, 5)
    served.put_product("p005", CHANGED)
    served.put_product("new", {"brand": "brand 1"})
    served.put_product("newer", {"title": "blue toys item"})
    known = replace(shop, items=Vocabulary(served.state.shop.items.ids), catalogue=served.state.shop.catalogue)
    expected = answers_of(serve(known, trained, tmp_path), 5)
    np.testing.assert_allclose(answers_of(served, 5)[2][1], expected[2][1], atol=2e-4)
    assert answers_of(served, 5)[1] == pytest.approx(expected[1], rel=1e-4)


def test_only_the_changed_product_is_encoded_again(shop, trained, tmp_path, monkeypatch):
    served = serve(shop, trained, tmp_path)
    answers_of(served, 5)
    encoded: list[int] = []
    original = SharedAnswers._encoded

    def counting(self, view, rows, *args):
        encoded.append(len(rows))
        return original(self, view, rows, *args)

    monkeypatch.setattr(SharedAnswers, "_encoded", counting)
    served.put_product("p005", CHANGED)
    served.recommend("c003", k=5)
    served.similar(5, k=3, filters=Filters())
    assert encoded == [1]


def test_one_row_is_replaced_whatever_the_length_of_its_text(shop):
    features = ItemFeatures.fit(shop, buckets=64)
    whole = features.rows(shop.catalogue)
    for row in (0, 7, len(shop.items) - 1):
        other = shop.catalogue.with_row_index("row").with_columns(title=pl.lit("a much longer title than any"))
        other = other.filter(row=row).drop("row")
        changed = shop.catalogue[:row].vstack(other).vstack(shop.catalogue[row + 1 :])
        found, expected = whole.replaced(row, features.rows(other)), features.rows(changed)
        for name, values in vars(expected).items():
            np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)
    np.testing.assert_array_equal(whole.tokens, features.rows(shop.catalogue).tokens)


def test_attributes_are_kept_name_by_name_as_in_the_workspace(shop, trained, tmp_path):
    state = serve(shop, trained, tmp_path).state
    row = state.put_product("p005", {"attributes": '{"stock": 0, "colour": null}'})
    assert state.catalogue.row(row)["attributes"] == {"colour": "red", "stock": 0}


def test_the_day_a_product_came_can_be_changed(shop, trained, tmp_path):
    served = serve(shop, trained, tmp_path)
    served.put_product("p003", {"created_at": datetime(2024, 6, 30)})
    assert served.latest(k=1, filters=Filters())[0] == [3]


@pytest.mark.parametrize("member", ["shared", "lightgbm_price", "linear_price", "category_back_off"])
def test_a_quote_is_the_price_of_the_product_once_it_is_there(shop, trained, tmp_path, member, monkeypatch):
    served = serve(shop, trained, tmp_path)
    if member != "shared":
        served.members["price"] = MEMBERS.load(member)()
        served.members["price"].fit(shop, TASKS.load("price")())
    copies: list[int] = []
    original = Vocabulary.__init__

    def counting(self, ids=()):
        copies.append(1)
        original(self, ids)

    monkeypatch.setattr(Vocabulary, "__init__", counting)
    products = {"kite": {"title": "red kite"}, "p9": {"title": "blue ball", "category": ["Goods", "Toys"]}}
    quotes = {one: served.quote({"product_id": one, **values}) for one, values in products.items()}
    assert served.quote({"product_id": "p001", **products["kite"]})["mean"] > 0  # an id that is taken
    assert sum(copies) == 1
    assert "kite" not in served.state.shop.items
    for one, values in products.items():
        row = served.put_product(one, values)
        assert served.predict("price", [row])[0] == pytest.approx(quotes[one], rel=1e-5)


def test_quotes_leave_the_products_that_were_added_encoded(shop, trained, tmp_path, monkeypatch):
    served = serve(shop, trained, tmp_path)
    served.put_product("new", {"title": "red toys item"})
    served.put_product("newer", {"title": "blue toys item"})
    before = answers_of(served, 24)
    served.quote({"title": "red kite"})
    monkeypatch.setattr(SharedAnswers, "_encoded", lambda *args: pytest.fail("encoded again"))
    assert served.similar(24, k=99, filters=Filters()).scores == list(before[2].values())


def test_states_that_are_kept_answer_as_fresh_ones_and_live_customers_are_read_anew(shop, trained, tmp_path):
    served = serve(shop, trained, tmp_path)
    fresh = serve(shop, trained, tmp_path)
    ids = shop.customers.ids[:5]
    served.warm_up()
    member = served.members["next_basket"]
    assert len(member.answers._kept) == int((np.diff(shop.offsets) > 0).sum())
    for one in ids:
        kept, made = served.recommend(one, k=5), fresh.recommend(one, k=5)
        assert kept.items == made.items
        np.testing.assert_allclose(kept.scores, made.scores, atol=1e-5)
    before = served.recommend(ids[0], k=5)
    row = served.state.customer(ids[0])
    served.state.live.add(shop.histories(np.array([row])).lines.take(slice(0, 3)))
    after = served.recommend(ids[0], k=5)
    assert after.scores != before.scores
    assert served.recommend(ids[1], k=5).scores == pytest.approx(fresh.recommend(ids[1], k=5).scores, abs=1e-5)
