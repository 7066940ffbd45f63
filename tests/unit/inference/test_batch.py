from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoploom.data.arrays import ShopArrays
from shoploom.data.hidden import Hidden
from shoploom.data.tables import ShopTables
from shoploom.ensemble.members import MEMBERS
from shoploom.errors import NotFoundError, UsageError
from shoploom.inference.batch import predict_all, split_known
from shoploom.inference.served import Served
from shoploom.inference.state import ShopState
from shoploom.tasks import TASKS
from tests.shops import make_tables

CHEAPEST = {
    "next_basket": "popularity",
    "new_for_you": "recent_popularity",
    "churn": "few_trips",
    "profile": "majority",
    "demand": "mean_of_8",
}


@pytest.fixture(scope="module")
def tables() -> ShopTables:
    return make_tables()


@pytest.fixture
def served(tables: ShopTables, tmp_path: Path) -> Served:
    """The cheapest rivals, fitted and serving."""
    shop = ShopArrays.build(tables)
    members = {}
    for task, name in CHEAPEST.items():
        members[task] = MEMBERS.load(name)()
        members[task].fit(shop, TASKS.load(task)())
    state = ShopState(
        shop, customers=tables.customers, cleaning=tables.cleaning, hidden=Hidden(tmp_path / "hidden.json")
    )
    return Served("v0001", {"tasks": {"price": {"missing": "no prices"}}}, members, state)


def test_ranked_lists_have_a_row_per_place(served: Served) -> None:
    frame = predict_all(served, "next_basket", k=5)
    assert frame.columns == ["customer_id", "rank", "product_id", "score"]
    sizes = frame.group_by("customer_id").agg(pl.len())["len"]
    assert sizes.max() == 5
    first = frame.filter(customer_id=frame["customer_id"][0])
    assert first["rank"].to_list() == [1, 2, 3, 4, 5]
    assert first["score"].is_sorted(descending=True)
    assert set(frame["product_id"]) <= set(served.state.shop.items.ids)


def test_discoveries_were_never_bought(served: Served, tables: ShopTables) -> None:
    frame = predict_all(served, "new_for_you")
    bought = tables.events.select("customer_id", "product_id")
    assert frame.join(bought, on=["customer_id", "product_id"], how="semi").height == 0


def test_demand_names_each_block_and_its_start(served: Served, tables: ShopTables) -> None:
    frame = predict_all(served, "demand")
    blocks = tables.clock.num_blocks
    assert frame["block"].to_list()[:blocks] == list(range(blocks))
    assert frame["start"][0] == tables.end
    assert frame["start"][1] - frame["start"][0] == timedelta(days=tables.clock.block_days)
    last = frame["product_id"][-1]
    one = predict_all(served, "demand", [last])
    assert one.height == blocks
    assert one["mean"].to_list() == pytest.approx(frame.filter(product_id=last)["mean"].to_list())


def test_profiles_have_a_row_per_value_and_add_up_to_one(served: Served) -> None:
    frame = predict_all(served, "profile", ["c001", "c000"])
    assert list(dict.fromkeys(frame["customer_id"])) == ["c001", "c000"]
    sums = frame.group_by("customer_id", "attribute").agg(pl.col("probability").sum())["probability"].to_numpy()
    assert sums == pytest.approx(np.ones(len(sums)))


def test_ids_keep_their_order_and_repeat(served: Served) -> None:
    assert predict_all(served, "churn", ["c005", "c001", "c005"])["customer_id"].to_list() == ["c005", "c001", "c005"]


def test_unknown_ids_are_named(served: Served) -> None:
    with pytest.raises(NotFoundError, match="2 of 3 customer ids are unknown to this version: 'C001', 'x'"):
        predict_all(served, "churn", ["C001", "c001", "x"])


def test_known_and_unknown_ids_are_told_apart_in_their_order(served: Served) -> None:
    assert split_known(served, "churn", ["x", "c005", "C001", "c001"]) == (["c005", "c001"], ["x", "C001"])
    with pytest.raises(NotFoundError, match="no prices"):
        split_known(served, "price", ["x"])


def test_a_forgotten_customer_is_left_out(served: Served) -> None:
    before = predict_all(served, "churn")
    one = before["customer_id"][0]
    served.state.hidden.set("customers", one, hidden=True)
    assert predict_all(served, "churn")["customer_id"].to_list() == before["customer_id"].to_list()[1:]


def test_a_task_that_is_off_says_why(served: Served) -> None:
    with pytest.raises(NotFoundError, match="'price' is off for this shop: no prices"):
        predict_all(served, "price")
    with pytest.raises(UsageError, match="k is 0"):
        predict_all(served, "next_basket", k=0)
