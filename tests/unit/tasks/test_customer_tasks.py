"""Truths and metrics of the customer tasks on a shop of a few lines, worked by hand."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from shoploom.config import CleaningConfig, ClockConfig
from shoploom.data import schema
from shoploom.data.arrays import ShopArrays
from shoploom.data.tables import GOODS_FLAG, PRICED_FLAG, PURCHASE_FLAG, SHELF, ShopTables
from shoploom.tasks.base import Cases, Classes, Numbers, Ranked, Truth
from shoploom.tasks.churn import Churn
from shoploom.tasks.new_for_you import NewForYou
from shoploom.tasks.next_basket import NextBasket
from shoploom.tasks.profile import Profile, held_customers
from shoploom.tasks.slices import slices
from shoploom.tasks.spend import Spend
from tests.shops import make_shop

CUT = datetime(2024, 5, 1)

# days from the cut, customer, order, product, amount, goods
LINES = [
    (-40, "ann", "1", "apple", 2.0, True),
    (-40, "ann", "1", "fuel", 30.0, False),
    (-95, "old", "2", "apple", 2.0, True),
    (-10, "bob", "3", "bread", 3.0, True),
    (1, "ann", "4", "bread", 3.0, True),
    (1, "ann", "4", "apple", 2.0, True),
    (1, "new", "5", "apple", 2.0, True),
    (2, "ann", "6", "cheese", 9.5, True),
    (3, "ann", "6", "fuel", 20.0, False),
    (4, "old", "7", "bread", 3.0, True),
    (5, None, "8", "bread", 3.0, True),
]


def shop(lines=LINES, *, timezone="UTC"):
    frame = pl.DataFrame(
        {
            schema.TIME: [CUT + timedelta(days=row[0], hours=12) for row in lines],
            schema.CUSTOMER: [row[1] for row in lines],
            schema.ORDER: [row[2] for row in lines],
            schema.PRODUCT: [row[3] for row in lines],
            schema.AMOUNT: [row[4] for row in lines],
            schema.QUANTITY: [1.0] * len(lines),
            schema.TYPE: [schema.PURCHASE] * len(lines),
        },
        schema_overrides={schema.TIME: schema.STAMP, schema.CUSTOMER: pl.Utf8, schema.ORDER: pl.Utf8},
    )
    flags = pl.DataFrame(
        {
            PURCHASE_FLAG: [row[1] is not None for row in lines],
            GOODS_FLAG: [row[5] for row in lines],
            PRICED_FLAG: [row[5] for row in lines],
            SHELF: [row[4] for row in lines],
        }
    )
    events = schema.conform("events", frame).hstack(flags).sort(schema.TIME, maintain_order=True)
    none = (schema.empty("products"), schema.empty("customers"), schema.empty("promotions"))
    rest = (CleaningConfig(), ClockConfig(), "EUR", timezone, CUT + timedelta(days=56))
    return ShopArrays.build(ShopTables(events, *none, *rest))


def cases_of(task, full=None):
    full = shop() if full is None else full
    return full, task.cases(full.before(full.end - 56), full.between(full.end - 56, full.end))


def named(full, cases):
    """Customer -> names of the relevant products."""
    truth = cases.truth
    return {
        full.customers.ids[unit]: sorted(
            full.items.ids[item] for item in truth.items[truth.offsets[row] : truth.offsets[row + 1]]
        )
        for row, unit in enumerate(cases.units)
    }


def test_next_basket_is_the_first_order_of_customers_known_before():
    full, cases = cases_of(NextBasket())
    assert named(full, cases) == {"ann": ["apple", "bread"], "old": ["bread"]}
    assert cases.when.tolist() == pytest.approx([full.end - 56 + 1.5, full.end - 56 + 4.5])


def test_next_basket_marks_what_the_customer_had_never_bought():
    full, cases = cases_of(NextBasket())
    pairs = dict(zip([full.items.ids[item] for item in cases.truth.items], cases.truth.novel, strict=True))
    assert not pairs["apple"]
    assert cases.truth.novel.tolist() == [False, True, True]


def test_lines_without_an_order_belong_to_the_day_on_the_shops_clock():
    lines = [(row[0], row[1], None, *row[3:]) for row in LINES]
    lines.append((1.45, "ann", None, "plum", 1.0, True))  # 22:48 UTC: the same day in UTC, the next one in Paris
    assert named(*cases_of(NextBasket(), shop(lines)))["ann"] == ["apple", "bread", "plum"]
    assert named(*cases_of(NextBasket(), shop(lines, timezone="Europe/Paris")))["ann"] == ["apple", "bread"]


def test_new_for_you_holds_goods_of_the_whole_horizon_never_bought_before():
    full, cases = cases_of(NewForYou())
    assert named(full, cases) == {"ann": ["bread", "cheese"], "old": ["bread"]}
    assert cases.repeats == "exclude"


def test_only_customers_of_the_last_90_days_can_churn():
    full, cases = cases_of(Churn())
    assert {full.customers.ids[one]: label for one, label in zip(cases.units, cases.truth.numbers, strict=True)} == {
        "ann": 0.0,
        "bob": 1.0,
    }


def test_spend_adds_all_purchases_fuel_too():
    full, cases = cases_of(Spend())
    assert {full.customers.ids[one]: round(x, 2) for one, x in zip(cases.units, cases.truth.numbers, strict=True)} == {
        "ann": 34.5,
        "bob": 0.0,
    }


def test_ranked_metrics_by_hand():
    full, cases = cases_of(NextBasket())
    apple, bread, cheese = (full.items.row(one) for one in ("apple", "bread", "cheese"))
    lists = np.array([[cheese, apple, bread], [apple, cheese, -1]], dtype=np.int32)
    values = NextBasket().measure(cases, Ranked(lists, -np.arange(6.0).reshape(2, 3))).values()
    ann = (1 / np.log2(3) + 1 / np.log2(4)) / (1 + 1 / np.log2(3))
    assert values == pytest.approx(
        {"ndcg@10": ann / 2, "recall@20": 0.5, "recall@10": 0.5, "phr@10": 0.5, "novel_recall@20": 0.5}
    )


def test_spend_metrics_by_hand():
    _, cases = cases_of(Spend())
    numbers = {"mean": np.array([30.5, 2.0]), "p10": np.array([0.0, 0.0]), "p90": np.array([40.0, 1.0])}
    values = Spend().measure(cases, Numbers(numbers)).values()
    assert values["wape"] == pytest.approx(6 / 34.5)
    assert values["bias"] == pytest.approx(-2 / 34.5)
    assert values["coverage_p10_p90"] == 1.0
    # 0.1 * 34.5 below; 0.1 * 5.5 and 0.1 * 1 above
    assert values["pinball"] == pytest.approx((3.45 + 0.55 + 0.1) / 2 / 34.5)


def test_a_perfect_order_of_spend_has_rank_correlation_one_and_ties_are_averaged():
    cases = Cases(np.arange(4, dtype=np.int32), truth=Truth(numbers=np.array([1.0, 2.0, 2.0, 4.0])))
    good = Spend().measure(cases, Numbers({"mean": np.array([1.0, 3.0, 3.0, 9.0])})).values()
    assert good["spearman"] == pytest.approx(1.0)
    bad = Spend().measure(cases, Numbers({"mean": np.array([4.0, 2.0, 2.0, 1.0])})).values()
    assert bad["spearman"] == pytest.approx(-1.0)


def test_measuring_what_was_never_told_raises():
    with pytest.raises(ValueError, match="no truth"):
        Churn().measure(Cases(np.zeros(1, dtype=np.int32)), Numbers({"probability": np.zeros(1)}))
    with pytest.raises(TypeError, match="Ranked"):
        NextBasket().measure(Cases(np.zeros(1, dtype=np.int32)), Numbers({"probability": np.zeros(1)}))
    with pytest.raises(ValueError, match="one number per case"):
        Churn().measure(cases_of(Churn())[1], Numbers({"probability": np.zeros(1)}))


def test_profile_hides_a_fixed_part_and_says_so():
    full, task = make_shop(), Profile()
    hidden = task.hold_out(full)
    held = held_customers(full)
    assert 0 < held.sum() < 0.5 * len(held)
    assert (hidden.attributes["segment"].codes[held] == -1).all()
    np.testing.assert_array_equal(hidden.attributes["segment"].codes[~held], full.attributes["segment"].codes[~held])
    np.testing.assert_array_equal(hidden.held["profile"], held)
    np.testing.assert_array_equal(held, held_customers(make_shop()))
    cases = task.cases(full, full.lines)
    assert (cases.truth.codes["segment"] >= 0).all()
    with pytest.raises(ValueError, match="before hold_out"):
        task.cases(hidden, full.lines)


def test_profile_metrics_leave_out_unknown_values():
    codes = {"pet": np.array([0, 1, -1], dtype=np.int32)}
    cases = Cases(np.arange(3, dtype=np.int32), truth=Truth(codes=codes))
    sure = np.array([[0.75, 0.25], [0.75, 0.25], [0.0, 1.0]])
    values = Profile().measure(cases, Classes({"pet": ("no", "yes")}, {"pet": sure})).values()
    assert values["accuracy"] == 0.5
    assert values["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert values["pet macro_f1"] == values["macro_f1"]
    assert values["log_loss"] == pytest.approx((np.log(4 / 3) + np.log(4)) / 2)


def test_tasks_say_what_a_shop_lacks():
    empty = make_shop(attributes=False, days=31)
    assert "attribute" in Profile().missing(empty)
    assert "horizons" in Churn().missing(empty)
    assert "horizons" in Spend().missing(empty)
    anonymous = shop([(-1, None, "1", "apple", 1.0, True), (1, None, "1", "pear", 1.0, True)])
    assert "names a customer" in NextBasket().missing(anonymous)
    assert "no customer" in Churn().missing(anonymous)
    for task in (NextBasket, NewForYou, Churn, Spend, Profile):
        assert task().missing(make_shop()) is None


def test_slices_split_the_customers_without_rest():
    full = make_shop()
    cases = NextBasket().serve_cases(full)
    parts = slices(full, cases)
    assert list(parts) == ["new", "occasional", "loyal"]
    assert (sum(one.astype(int) for one in parts.values()) == 1).all()
    assert parts["loyal"].sum() > 10
    nobody = slices(full, Cases(np.array([-1], dtype=np.int32)))
    assert nobody["new"].tolist() == [True]
