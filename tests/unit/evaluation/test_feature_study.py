"""The shop's features are rated on earlier horizons, and a planted attribute that knows the answer is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoploom.data import schema
from shoploom.data.arrays import Attribute, Lines, ShopArrays
from shoploom.errors import DataError, UsageError
from shoploom.evaluation import feature_study
from shoploom.evaluation.feature_page import write_feature_report
from shoploom.evaluation.feature_study import shop_features, study_features
from shoploom.features.timeline import FeatureTable
from shoploom.tasks.churn import Churn
from tests.shops import make_shop


@pytest.fixture(scope="module")
def shop() -> ShopArrays:
    return make_shop(customers=150, days=260)


def test_features_of_churn_are_rated_and_the_report_is_written(shop: ShopArrays, tmp_path: Path) -> None:
    stages: list[str] = []
    found = study_features(
        shop, "churn", runs=19, rounds=30, told=lambda stage, done, total: stages.append(stage)
    ).to_dict()
    assert found["leaks"] == []
    assert {"features", "leaks", "compare"} <= set(stages)
    names = [one["name"] for one in found["features"]]
    assert {"recency", "purchase_decayed_count_30", "attribute segment"} <= set(names)
    assert len(names) == len(set(names))
    assert 0 < len(found["kept"]) < len(names) / 2  # the same is said many times over
    assert found["validated_at"] == "2024-05-06"  # two horizons of 28 days before 1 July
    assert max(found["trained_at"]) == "2024-04-08"
    page, data = write_feature_report({**found, "shop": "Corner <shop>"}, tmp_path)
    assert json.loads(data.read_text())["kept"] == found["kept"]
    text = page.read_text()
    assert "Corner &lt;shop&gt;" in text
    assert text.count("<tr>") == len(names) + 1
    assert "<script" not in text
    assert "None tells" not in text
    assert "No: none tells the label alone" in text


def test_the_last_horizon_is_not_looked_at(shop: ShopArrays) -> None:
    one = study_features(shop, "churn", runs=19, rounds=30).to_dict()
    cut = shop.end - 28
    other = study_features(replace(shop.before(cut), end=shop.end), "churn", runs=19, rounds=30).to_dict()
    assert one == other


def test_an_attribute_that_was_written_after_the_fact_is_named(shop: ShopArrays, tmp_path: Path) -> None:
    """A status that says who left after one of the moments."""
    moment = shop.end - 3 * 28  # the newest moment that is learned from
    cases = Churn().cases(shop.before(moment), shop.between(moment, moment + 28))
    assert cases.truth is not None
    assert cases.truth.numbers is not None
    assert 20 <= cases.truth.numbers.sum() <= len(cases) - 20
    codes = np.full(len(shop.customers), -1, dtype=np.int32)
    codes[cases.units] = cases.truth.numbers.astype(np.int32)
    planted = replace(shop, attributes={**shop.attributes, "status": Attribute(("open", "closed"), codes)})
    found = study_features(planted, "churn", runs=19, rounds=30)
    assert {one.feature for one in found.leaks} == {"attribute status"}
    page, _ = write_feature_report({**found.to_dict(), "shop": "x"}, tmp_path)
    assert "attribute status alone tells the label" in page.read_text()


def test_a_feature_that_looks_ahead_is_named(shop: ShopArrays, monkeypatch: pytest.MonkeyPatch) -> None:
    def peeking(shop: ShopArrays, customers: np.ndarray, moment: float, kinds: Sequence[str]) -> FeatureTable:
        counts = np.bincount(shop.lines.customer[shop.lines.customer >= 0], minlength=len(shop.customers))
        return shop_features(shop, customers, moment, kinds).beside(
            FeatureTable(("lines_ever",), counts[customers][:, None].astype(float))
        )

    monkeypatch.setattr(feature_study, "shop_features", peeking)
    found = study_features(shop, "spend", runs=19, rounds=30)
    assert [(one.feature, one.check) for one in found.leaks] == [("lines_ever", "as_of")]


def test_a_kind_of_event_that_comes_late_has_its_columns_at_every_moment(shop: ShopArrays) -> None:
    """Views since ten days before the newest moment that is looked at: zeros before."""
    views = shop.lines.take((shop.lines.time >= shop.end - 66) & (shop.lines.customer >= 0))
    views.kind[:] = schema.EVENT_TYPES.index("view")
    for flag in (views.purchase, views.goods, views.priced):
        flag[:] = False
    both = Lines.join([shop.lines, views])
    order = np.lexsort((both.time, np.where(both.customer < 0, 2**31 - 1, both.customer)))
    lines = both.take(order)
    sizes = np.bincount(lines.customer[lines.customer >= 0], minlength=len(shop.customers))
    seen = replace(shop, lines=lines, offsets=np.concatenate([[0], np.cumsum(sizes)]))
    found = study_features(seen, "churn", runs=19, rounds=30)
    assert {"view_count", "view_per_purchase"} <= {one.name for one in found.selection.rated}


def test_wrong_tasks_and_short_histories_are_named(shop: ShopArrays) -> None:
    with pytest.raises(UsageError, match="'demand' is not answered from a table of customers' features; take churn"):
        study_features(shop, "demand")
    with pytest.raises(DataError, match="features are chosen on horizons before the last one, which takes 112 days"):
        study_features(make_shop(days=90), "churn")
