from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from shoploom.data.sources.base import ImportRequest
from shoploom.data.sources.complete_journey import CompleteJourney


@pytest.fixture
def source(tmp_path: Path) -> CompleteJourney:
    """The package's tables in small, with its oddities."""
    pl.DataFrame(
        {
            "household_id": [900, 900, 1],
            "store_id": [330, 330, 5],
            "basket_id": [31198570044, 31198570044, 2],
            "product_id": [25671, 26081, 99],
            "quantity": [2, 0, 1],
            "sales_value": [3.0, 0.5, 1.0],
            "retail_disc": [0.5, 0.0, 0.0],
            "coupon_disc": [0.0, 0.0, 0.55],
            "coupon_match_disc": [0.5, 0.0, 0.0],
            "week": [1, 1, 2],
            "transaction_timestamp": pl.Series([datetime(2017, 1, 1, 11, 53, 26)] * 3).cast(pl.Datetime("ns")),
        }
    ).write_parquet(tmp_path / "transactions.parquet")
    pl.DataFrame(
        {
            "product_id": [25671, 26081],
            "manufacturer_id": [2, 69],
            "department": ["GROCERY", "MISCELLANEOUS"],
            "brand": ["National", "Private"],
            "product_category": ["FRZN ICE", None],
            "product_type": ["ICE - CRUSHED/CUBED", None],
            "package_size": ["22 LB", None],
        }
    ).write_parquet(tmp_path / "products.parquet")
    pl.DataFrame(
        {"household_id": [900], "age": ["65+"]}
        | {
            name: [None]
            for name in ("income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
        },
        schema_overrides={"income": pl.Utf8},
    ).write_parquet(tmp_path / "demographics.parquet")
    pl.DataFrame(
        {
            "product_id": [1, 1, 1, 1, 2],
            "store_id": [10, 10, 11, 12, 13],
            "display_location": ["0", "0", "9", "A", "0"],
            "mailer_location": ["A", "A", "D", "0", "H"],
            "week": [1, 1, 1, 1, 12],
        }
    ).write_parquet(tmp_path / "promotions.parquet")
    return CompleteJourney(tmp_path)


def frame(source: CompleteJourney, table: str) -> pl.DataFrame:
    return next(batch.frame for batch in source.read(ImportRequest()) if batch.table == table)


def test_money_is_per_unit_and_lines_without_pieces_keep_their_amount(source):
    events = frame(source, "events")
    assert events.select("price", "amount", "discount").rows() == [(1.5, 3.0, 0.5), (None, 0.5, None), (1.0, 1.0, 0.0)]
    assert [None if one is None else json.loads(one) for one in events["context"]] == [
        None,
        None,
        {"coupon_disc": 0.55},
    ]


def test_shares_count_stores_once(source):
    plan = frame(source, "promotions")
    first = dict(plan.filter(pl.col("product_id") == "1").select("kind", "share").rows())
    assert first == {"display": 0.5, "front_page": 0.25, "mailer": 0.5}  # of four stores


def test_weeks_begin_on_monday_of_the_shops_clock_in_winter_and_summer(source):
    plan = frame(source, "promotions")
    assert plan.filter(pl.col("product_id") == "1")["start"][0] == datetime(2016, 12, 26, 5)
    # Week 12 begins on 13 March 2017, the Monday after clocks went forward.
    later = plan.filter(pl.col("product_id") == "2")
    assert later.select("start", "end").row(0) == (datetime(2017, 3, 13, 4), datetime(2017, 3, 20, 4))


def test_titles_are_readable(source):
    products = frame(source, "products")
    assert products["title"].to_list() == ["Ice - Crushed / Cubed, 22 lb", None]
    assert products["category"].to_list() == [["GROCERY", "FRZN ICE", "ICE - CRUSHED/CUBED"], ["MISCELLANEOUS"]]


def test_the_plan_previews_without_aggregating(source):
    tables = {table.table: table for table in source.plan(ImportRequest()).tables}
    assert tables["events"].rows == 3
    assert len(tables["events"].preview) == 3
    assert len(tables["promotions"].preview) == 0
    assert "week" in tables["events"].unused
